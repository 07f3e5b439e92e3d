"""Readers: one package a maker, from a path to a `Recording`."""
