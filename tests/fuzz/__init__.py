"""Hostile files: how they are made, and what must not happen when one is read."""
