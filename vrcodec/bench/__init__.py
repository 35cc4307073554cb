"""Measuring codecs on real files."""
