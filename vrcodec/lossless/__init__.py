"""Lossless coding of samples, without a model: alpha, bilevel pictures, and what is smaller so."""
