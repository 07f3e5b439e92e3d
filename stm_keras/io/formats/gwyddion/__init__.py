"""Gwyddion (.gwy)."""
