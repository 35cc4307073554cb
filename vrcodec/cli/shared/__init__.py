"""What commands share: flags, messages, paths, signals, and the loops over many files."""
