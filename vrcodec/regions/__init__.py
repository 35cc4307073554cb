"""Which part of a picture is computed at a time: crops and previews, windows of latents, tiles, the canvas."""
