"""The file format: container, chunks, streams of symbols, and what a file says about itself."""
