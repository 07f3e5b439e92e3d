"""Find impurities in scanning tunnelling microscopy maps."""

__version__ = "0.1.0"
