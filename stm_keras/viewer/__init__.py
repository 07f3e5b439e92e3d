"""Plugin of napari: instruments' files as images in nm, and a finder."""
