"""Finding the file that meets a wish: a target of size or quality, or the fewest bits for some effort."""
