"""What a command is at: a line from the first second, a bar for long work."""

import sys
import time
from collections.abc import Callable

from tqdm import tqdm


def progress_bar(what: str) -> Callable[[int, int], None]:
    """A function to be told the number of things done and of all things.

    Args:
        what: the things, for the bar. It appears on standard error after two
            seconds and goes when all are done.
    """
    bar: tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=what, delay=2, leave=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    return show


class Status:
    """A line on a terminal that says what a command is at.

    Where standard error is no terminal, or `shown` is false, it says nothing.

    Args:
        shown: whether to say anything.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown and sys.stderr.isatty()
        self.began = time.perf_counter()

    def at(self, what: str) -> None:
        """Say what the command is at, in place of what it was at before."""
        self._write(f"\r\x1b[K{what} ...")

    def done(self) -> None:
        """Take the line away."""
        self._write("\r\x1b[K")

    def took(self) -> None:
        """Take the line away and say how long all took."""
        seconds = time.perf_counter() - self.began
        self._write(f"\r\x1b[Ktook {seconds:.1f} s\n")

    def _write(self, text: str) -> None:
        if self.shown:
            sys.stderr.write(text)
            sys.stderr.flush()
