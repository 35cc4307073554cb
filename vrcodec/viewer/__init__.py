"""A page in the browser that shows one .vrc file, served to this machine alone."""
