"""How long work says how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told the number of things done and of all things."""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""
