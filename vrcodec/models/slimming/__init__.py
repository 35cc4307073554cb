"""Slimmable networks: slicing a width out of wide networks, and storing all widths in a weights file."""
