"""Samples stored exactly, without a model: alpha, bilevel pictures, and what is no larger so."""
