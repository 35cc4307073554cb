"""What is made from the program and kept beside it: `make share`."""
