"""The five families, one module each, and `hyperprior`, the base of three of them."""
