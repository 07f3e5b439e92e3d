"""Nanonis: grids (.3ds) and scans (.sxm)."""
