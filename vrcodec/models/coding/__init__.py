"""Between networks and bitstream: tiled transforms, entropy models, and symbols with their tables, by block."""
