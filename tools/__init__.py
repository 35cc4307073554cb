"""Generators of files for other programs, in share/ (`make share`)."""
