"""Createc (.dat)."""
