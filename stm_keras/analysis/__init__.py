"""Positions from score maps, and how good they are."""
