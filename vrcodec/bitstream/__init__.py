"""The file format: container, chunks, entropy-coded latent streams, and inspection without decoding."""
