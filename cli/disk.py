"""What TensorFlow and others raise where the disk, not the program, fails."""

import errno
import os
import sys
from collections.abc import Mapping

from stm_keras.errors import one_line

_ADVICE = {
    errno.ENOSPC: "Free some space, or choose another directory",
    errno.EDQUOT: "Free some space, or choose another directory",
    errno.EFBIG: "Choose another directory",
    errno.EROFS: "Choose another directory",
    errno.EACCES: "Choose another directory",
    errno.EPERM: "Choose another directory",
    errno.ELOOP: "A link leads to itself: mend it",
    errno.EIO: "The disk fails",
    errno.ENOENT: "It was removed meanwhile: run the same command again",
    errno.ENOTDIR: "Choose another directory",
    errno.ESTALE: "The network's disk went away: run the same command again",
    errno.EMFILE: "Too many files are open: raise `ulimit -n`",
}
"""What to do, by the fault's number."""


_NEVER_EXPECTED = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.ELOOP,
    errno.EIO,
    errno.ESTALE,
)
_CUT_SHORT = " requested and "


def of_the_disk(error: BaseException | None) -> str | None:
    """One line on a fault of the disk that came in another exception.

    TensorFlow, HDF5 and TFDS wrap what the system says in exceptions of their
    own, of which the text alone is left.

    Args:
        error: what was raised; its causes are looked at too.

    Returns:
        The line; None where the fault is none of the disk.
    """
    known: Mapping[int, str] = _ADVICE
    while error is not None:
        line = _told(error, known)
        if line is not None:
            return line
        if error.__cause__ is None:
            # Of what was merely handled meanwhile, a missing file says little.
            known = {n: _ADVICE[n] for n in _NEVER_EXPECTED}
        error = error.__cause__ or error.__context__
    return None


def _told(error: BaseException, known: Mapping[int, str]) -> str | None:
    told = str(error)
    by_number = error.errno if isinstance(error, OSError) else None
    kinds = isinstance(error, OSError | RuntimeError)
    if not kinds and not _is_tensorflows(error):
        return None
    for number, advice in known.items():
        if by_number == number or os.strerror(number) in told:
            where = told.strip().splitlines()[0][:200]
            return one_line(f"{where}. {advice}.")
    if by_number is None and _CUT_SHORT in told:  # NumPy's words
        advice = _ADVICE[errno.ENOSPC]
        return f"A file could not be written whole. {advice}."
    return None


def _is_tensorflows(error: BaseException) -> bool:
    """Without loading it for that."""
    errors = sys.modules.get("tensorflow.python.framework.errors_impl")
    return errors is not None and isinstance(error, errors.OpError)
