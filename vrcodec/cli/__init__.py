"""The command line: one module a command, shared flags in `options`, tables and JSON in `output`."""
