"""Networks that the families share: transforms, hyperprior, context, and how the rate modulates them."""
