"""Trained models for programs that have nothing of this package."""
