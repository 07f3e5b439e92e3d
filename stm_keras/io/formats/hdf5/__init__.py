"""NeXus and plain HDF5."""
