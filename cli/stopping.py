"""Ctrl-C and SIGTERM: the work ends cleanly, and says what is kept."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

KEPT = "Nothing is half-written. Run the same command again."


class Stopped(BaseException):
    """The user, or the system, wants this process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def message(self) -> str:
        """One line."""
        return " ".join(["stopped.", *getattr(self, "__notes__", [KEPT])])

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 of Ctrl-C, 143 of SIGTERM."""
        return 128 + self.number


@contextmanager
def stopping() -> Iterator[None]:
    """Have both signals raise `Stopped`, once: the second one kills.

    A signal that is ignored, as Ctrl-C is in a shell's background, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


@contextmanager
def when_stopped(kept: Callable[[], str]) -> Iterator[None]:
    """Say what is kept of work that is stopped in this block.

    Args:
        kept: gives a sentence or two, with how to go on.
    """
    try:
        yield
    except Stopped as stop:
        stop.add_note(kept())
        raise
