"""Between networks and bitstream: entropy parameters, symbols and their tables, block by block."""
