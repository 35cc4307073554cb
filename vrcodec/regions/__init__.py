"""Parts of a picture: the region to decode, the grid of coded blocks, windows of latents, tiles, the canvas."""
