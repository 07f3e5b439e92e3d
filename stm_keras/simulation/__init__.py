"""Simulated dI/dV maps: formulas, scenes, experiment effects."""
