"""Instrument files in, `ConductanceMaps` out."""
