"""Files, memory, processes, and versions of packages."""

import ctypes
import multiprocessing
import os
import platform
import re
import signal
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from types import FrameType
from typing import Any

from stm_keras import __version__

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a damaged zip archive raises, .npz and .keras among them."""


_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_PLENTY_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep large blocks that were freed, for the next ones.

    By default it returns each to the system and has the next one's pages
    mapped and cleared anew. The arrays of a network are large and live
    shortly: on two cores a stack of 126 maps of 80 x 80 px takes three
    quarters of the time once they are kept. The process then stays as large
    as it ever was.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _PLENTY_BYTES)
    )


ONE_THREAD: dict[str, str] = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    ),
    "1",
)
"""Environment of a process that computes with one thread."""


@contextmanager
def single_threaded() -> Iterator[None]:
    """Have processes that start here compute with one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_STOPS = signal.SIGINT, signal.SIGTERM


@contextmanager
def deaf_to_stops() -> Iterator[None]:
    """Start processes in here: whole, and deaf to Ctrl-C and SIGTERM.

    A terminal and many a supervisor send these to all processes at once, and
    each of a pool's would print a traceback of its own, or die in the middle
    of starting, for which a pool waits for ever. So does one whose owner is
    stopped while it starts them: what comes in this block counts at its end.
    The owner ends them, see `end_with_parent`.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    # The mask is for what starts here: another thread can still be told.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    handlers = {
        number: signal.signal(number, note)
        for number in _STOPS
        if callable(signal.getsignal(number))
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number in came:
        signal.raise_signal(number)


def end_with_parent() -> None:
    """Have this process end as soon as the one that started it has.

    A pool's process would otherwise wait for work for ever once its parent
    was killed.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


Progress = Callable[[int, int], None]
"""Told the number of things done and of all things."""


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


OURS = "stm-keras"
_OTHERS = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
_DECIDE = (OURS, "tensorflow", "keras")
"""Packages on which it depends whether a model can be loaded."""


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make a model."""
    versions = {"python": platform.python_version(), OURS: __version__}
    for package in _OTHERS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def maker(versions: Any) -> str:
    """Which stm-keras made a model, in words.

    Args:
        versions: what its card says of them, whatever that is.
    """
    known = isinstance(versions, Mapping) and versions.get(OURS)
    return f"{OURS} {versions[OURS]}" if known else f"an unknown {OURS}"


def made_by_newer(versions: Any) -> str | None:
    """What to say where a newer package than those here made a model.

    Args:
        versions: what its card says of them, whatever that is.

    Returns:
        Who made it, and what to do; None where nothing that decides whether
        a model can be loaded is newer than here.
    """
    if not isinstance(versions, Mapping):
        return None
    here = package_versions()
    newer = [
        f"{name} {versions[name]} (here: {here[name]})"
        for name in _DECIDE
        if name in versions
        and _release(versions[name]) > _release(here[name]) > ()
    ]
    if not newer:
        return None
    return (
        f"It was made by {', '.join(newer)}: install what made it, or train "
        "it again with this version."
    )


def _release(version: Any) -> tuple[int, ...]:
    """The numbers that a version begins with, without zeros at its end."""
    numbers = re.match(r"\d+(\.\d+)*", str(version))
    parts = [int(n) for n in numbers[0].split(".")] if numbers else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
