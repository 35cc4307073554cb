"""Finding the file that meets a target of size or quality, and checking that a file is the picture."""
