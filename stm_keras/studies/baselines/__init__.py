"""Finders without a network, and the bound that none can beat."""
