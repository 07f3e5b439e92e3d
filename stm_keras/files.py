"""Write a file or a directory whole or not at all."""

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stm_keras.errors import InputError

BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError)
"""What reading a damaged zip archive raises, .npz and .keras among them."""


def writable_directory(path: str | Path) -> Path:
    """Make `path` a directory that can be written to.

    Args:
        path: the directory; it and its parents are made where missing.

    Returns:
        The same path.

    Raises:
        InputError: where it is a file, or may not be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"Cannot write to the directory {path}: {error.strerror}. "
            "Choose another one."
        ) from error
    return path


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, renamed to `path` at the end.

    Args:
        path: the file to write. The temporary name keeps its suffix, so that
            libraries which choose a format by the suffix choose the same.

    Yields:
        The temporary name. If the block raises, it is removed and `path`
        keeps what it held before.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Give a temporary directory that takes the place of `path` at the end.

    Args:
        path: the directory to write; what it held before is replaced.

    Yields:
        An empty directory beside `path`. If the block raises, it is removed
        and `path` keeps what it held before.
    """
    path = Path(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)  # mkdtemp makes it private
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
