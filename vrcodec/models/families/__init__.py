"""The families, one module each. What they are built of is in `networks`, `coding` and `slimming`."""
