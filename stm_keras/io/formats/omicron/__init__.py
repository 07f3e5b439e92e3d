"""Omicron and Scienta Matrix (_mtrx)."""
