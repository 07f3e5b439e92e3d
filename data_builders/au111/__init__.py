"""The `au111` data set."""
