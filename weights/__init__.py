"""Weights of the model families, and their cards."""
