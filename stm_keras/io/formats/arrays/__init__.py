"""Arrays that carry few units: NumPy, TIFF, and the sidecar."""
