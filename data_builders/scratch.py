"""A place to build in that a killed build cannot leave behind for good."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, a killed build's directory stays
    fcntl = None

_PREFIX = ".incomplete."


@contextmanager
def scratch_directory(out: Path) -> Iterator[Path]:
    """Give an empty directory in `out`, removed at the end.

    Those of earlier builds whose process is gone are removed first; that of
    a build that still runs is left alone.

    Args:
        out: directory of data sets.

    Yields:
        The directory. `incomplete` in its name tells readers to pass it by.
    """
    for stale in out.glob(f"{_PREFIX}*"):
        with ExitStack() as stack:
            if _lock(stale, stack):
                shutil.rmtree(stale, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new", dir=out))
    scratch.chmod(0o755)  # mkdtemp makes it private
    with ExitStack() as stack:
        _lock(scratch, stack)
        # Named once it is locked, or another build might take it for stale.
        scratch = scratch.rename(scratch.with_name(_PREFIX + scratch.name[4:]))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _lock(directory: Path, stack: ExitStack) -> bool:
    """Lock a directory until `stack` ends; says whether it could.

    The system lets go of the lock with the process, however that ends.
    """
    if fcntl is None:
        return False
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a build that runs holds it, or has just removed it
        return False
    return True


def move_into_place(built: Path, target: Path) -> None:
    """Give a finished data set its name; what was there is replaced.

    Args:
        built: directory on the same disk as `target`.
        target: the set's place; its parents are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        # Aside first: while it is being removed, nothing stands half there.
        target.replace(built.with_name("replaced"))
    built.replace(target)
