"""Networks of several widths in one: slicing them, and how weights files store them."""
