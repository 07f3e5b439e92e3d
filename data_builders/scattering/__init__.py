"""The `scattering` data set."""
