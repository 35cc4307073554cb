"""Benchmarks: rate, distortion, time and memory of codecs, from real files."""
