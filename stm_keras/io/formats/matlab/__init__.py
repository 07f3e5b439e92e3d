"""MATLAB (.mat), all versions."""
