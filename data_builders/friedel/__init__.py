"""The `friedel` data set."""
