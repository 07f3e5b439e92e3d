"""Write a file, a directory or a result whole or not at all.

What is written lies in a scratch directory beside its place until it is
whole, and takes its place at one stroke. Scratch directories are named
`.stmk-PID-...` and locked by their process: the next one that writes there
removes those whose process is gone.

A directory is exchanged with what was there (`atomic_directory`). Files that
are put among others of the user's cannot be; there a journal, written once all
of them are whole, tells that they are on their way (`result_in`), and whatever
stops the process, the next that comes there brings them home (`finish`).
"""

import ctypes
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: there, what a kill leaves behind stays
    fcntl = None

PREFIX = ".stmk-"
"""Of the names of scratch directories."""
JOURNAL = "INCOMPLETE.json"
"""Beside the files of a result that are on their way."""
_NEW = "new"
_AT_FIRST_S = 10.0
"""How long a directory may be there before its process locks it."""


def check_paths(paths: Iterable[str | Path]) -> None:
    """Refuse paths of which none exists, before any work.

    Where some do, those that do not are refused one by one, beside the others.

    Raises:
        InputError: naming the first.
    """
    paths = list(map(Path, paths))
    if paths and not any(path.exists() for path in paths):
        raise InputError(f"No such file: {paths[0]}. Check the path.")


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
        with scratch_directory(path):
            pass
    except OSError as error:
        raise InputError(
            f"Cannot write to the directory {path}: {error.strerror}. "
            "Choose another one."
        ) from error
    return path


MODEL_SIGNS = ("model_card.json", "SHA256SUMS", "saved_model.pb")
"""A directory with one of these is a model's, if not a whole one."""


def is_model(directory: str | Path) -> bool:
    """Whether a directory is that of a model, if not of a whole one."""
    return any((Path(directory) / name).is_file() for name in MODEL_SIGNS)


def refuse_model_directory(path: str | Path) -> None:
    """Refuse to put results in a model: its checksums would no longer hold.

    Raises:
        InputError: where `path` is, or lies in, a model's directory.
    """
    real = Path(os.path.realpath(path))
    for folder in (real, *real.parents):
        if is_model(folder):
            raise InputError(
                f"--out {path} is in the model directory {folder}, which only "
                "`stmk fit` and `stmk export --in-place` write to: choose "
                "another one."
            )


def result_directory(path: str | Path) -> Path:
    """Make `path` a directory for results.

    Raises:
        InputError: see `writable_directory` and `refuse_model_directory`.
    """
    refuse_model_directory(path)
    return writable_directory(path)


# --- scratch directories --------------------------------------------------


@contextmanager
def scratch_directory(parent: str | Path, mark: str = "") -> Iterator[Path]:
    """Give an empty directory in `parent`, removed at the end.

    Those of processes that are gone are removed first; that of a process
    which still runs is left alone.

    Args:
        parent: where.
        mark: end of its name.

    Yields:
        The directory.
    """
    parent = Path(parent)
    clear_stale(parent)
    name = f"{PREFIX}{os.getpid()}-{uuid.uuid4().hex[:8]}{mark}"
    scratch = parent / name
    scratch.mkdir()
    with ExitStack() as stack:
        lock(scratch, stack)
        try:
            yield scratch
        finally:
            if name != _named_in_journal(parent):
                shutil.rmtree(scratch, ignore_errors=True)


def clear_stale(parent: Path) -> None:
    """Remove scratch directories that killed processes left in a folder.

    Args:
        parent: the folder; it may be missing.
    """
    if fcntl is None:  # nor could `os.kill` ask whether a process is there
        return
    try:
        left = [p for p in parent.iterdir() if p.name.startswith(PREFIX)]
    except OSError:
        return
    for stale in left:
        with ExitStack() as stack:
            if (
                stale.name != _named_in_journal(parent)
                and not stale.is_symlink()
                and not _just_begun(stale)
                and lock(stale, stack)
            ):
                _bring_back(stale, parent)
                shutil.rmtree(stale, ignore_errors=True)


def can_lock() -> bool:
    """Whether processes of this system can lock directories."""
    return fcntl is not None


def lock(
    directory: str | Path, stack: ExitStack, *, wait: bool = False
) -> bool:
    """Lock a directory until `stack` ends; says whether it could.

    The system lets go of the lock with the process, however that ends.

    Args:
        directory: what to lock.
        stack: holds the lock.
        wait: until another process has let go of it.
    """
    if fcntl is None:
        return False
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another holds it, or has just removed it
        return False
    return True


def _just_begun(scratch: Path) -> bool:
    """Whether its process may be about to lock it."""
    try:
        age_s = time.time() - scratch.stat().st_mtime
        process = int(scratch.name.removeprefix(PREFIX).split("-")[0])
    except (OSError, ValueError):
        return False
    return age_s < _AT_FIRST_S and _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True


# --- a file, a directory --------------------------------------------------


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name, renamed to `path` at the end.

    Args:
        path: the file to write. The temporary one has the same name in a
            directory of its own, so that libraries which choose a format by
            the suffix choose the same.

    Yields:
        The temporary name. If the block raises, it is removed and `path`
        keeps what it held before.
    """
    path = Path(path)
    with scratch_directory(path.parent) as scratch:
        temporary = scratch / path.name
        yield temporary
        temporary.replace(path)


@contextmanager
def atomic_directory(
    path: str | Path, *, keep: bool = False, drop: Collection[str] = ()
) -> Iterator[Path]:
    """Give a temporary directory that takes the place of `path` at the end.

    Both change places at one stroke where the system can (Linux, macOS).

    Args:
        path: the directory to write.
        keep: what it held before, and the new one does not, stays in it.
        drop: names that do not stay.

    Yields:
        An empty directory. If the block raises, it is removed and `path`
        keeps what it held before.
    """
    path = Path(os.path.realpath(path))
    with scratch_directory(path.parent) as scratch:
        new = scratch / path.name
        new.mkdir()
        yield new
        if keep:
            carry_over(path, new, drop=drop)
        take_place(new, path)


@contextmanager
def whole_directory(
    path: str | Path, *, drop: Collection[str] = ()
) -> Iterator[Path]:
    """Give a directory whose content is put into `path` at one stroke.

    What else `path` holds stays. It is exchanged as a whole, see
    `atomic_directory`. Where that cannot be (a mount point, a parent that
    may not be written to, the folder that the user stands in), its files are
    moved one by one under a journal, see `result_in`.

    Args:
        path: the directory to write.
        drop: names in it that do not stay unless they are written anew.

    Yields:
        An empty directory.
    """
    real = Path(os.path.realpath(path))
    finish(real)
    if _exchangeable(real):
        with atomic_directory(real, keep=True, drop=drop) as new:
            yield new
    else:
        with result_in(real, drop=drop) as new:
            yield new


def _exchangeable(path: Path) -> bool:
    if not path.exists():
        return True
    here = os.path.realpath(Path.cwd())
    return (
        os.access(path.parent, os.W_OK | os.X_OK)
        and path.stat().st_dev == path.parent.stat().st_dev
        and not os.path.ismount(path)
        and os.path.commonpath([here, path]) != str(path)
    )


def carry_over(old: Path, new: Path, *, drop: Collection[str] = ()) -> None:
    """Have a new directory hold what the old one does, and it does not.

    Files are linked and not copied where the file system can.

    Args:
        old: the directory; nothing is done where it is missing.
        new: another one on the same disk.
        drop: names that are left out.
    """
    for entry in old.iterdir() if old.is_dir() else ():
        target = new / entry.name
        if (
            entry.name not in drop
            and not entry.name.startswith(PREFIX)
            and not os.path.lexists(target)
        ):
            _link(entry, target)


def _link(old: Path, new: Path) -> None:
    """The same file or folder at another place, without its content copied."""
    if old.is_symlink():
        new.symlink_to(old.readlink())
    elif old.is_dir():
        new.mkdir()
        shutil.copystat(old, new)
        for entry in old.iterdir():
            _link(entry, new / entry.name)
    else:
        try:
            os.link(old, new)
        except OSError:  # a file system that knows no links
            shutil.copy2(old, new)


def take_place(new: Path, place: Path) -> None:
    """Put a file or a directory where another may be, at one stroke.

    Args:
        new: what is to be put, in a scratch directory on the same disk.
        place: where. A directory that was there lies in the place of `new`
            afterwards.

    Raises:
        OSError: where the system refuses.
    """
    if not new.is_dir() or new.is_symlink():
        new.replace(place)
        return
    try:
        new.replace(place)  # where nothing is, or an empty directory
    except OSError as error:
        taken = (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES)
        if error.errno not in taken or not place.is_dir():
            raise
        if not _exchange(new, place):
            # A kill between the two: `_bring_back` undoes it.
            place.replace(new.with_name(f"{new.name}{_WAS}"))
            new.replace(place)


_WAS = ".was"


def _bring_back(stale: Path, parent: Path) -> None:
    """Finish an exchange of two steps that was stopped between them."""
    for was in stale.glob(f"*{_WAS}"):
        name = was.name.removesuffix(_WAS)
        if (stale / name).is_dir() and not os.path.lexists(parent / name):
            (stale / name).replace(parent / name)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # the same number on Linux and (RENAME_SWAP) on macOS


def _exchange(one: Path, other: Path) -> bool:
    """Have two paths change places at one stroke; says whether it could.

    `renameat2` of Linux, `renamex_np` of macOS.

    Raises:
        OSError: where the system can, and may not.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
    except (OSError, TypeError):  # Windows
        return False
    names = (os.fsencode(one), os.fsencode(other))
    if hasattr(libc, "renameat2"):
        status = libc.renameat2(
            _AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE
        )
    elif hasattr(libc, "renamex_np"):
        status = libc.renamex_np(*names, _RENAME_EXCHANGE)
    else:
        return False
    if status == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


# --- a result among other files -------------------------------------------


@contextmanager
def result_in(out: Path, *, drop: Collection[str] = ()) -> Iterator[Path]:
    """Give a directory whose files are put into `out` together at the end.

    Args:
        out: a directory that exists; what else it holds stays.
        drop: names that are removed from it unless they are written anew.

    Yields:
        An empty directory. If the block raises, `out` stays as it was.

    Raises:
        InputError: where a name is taken by a folder, or the other way.
    """
    finish(out)
    with scratch_directory(out) as scratch:
        folder = scratch / _NEW
        folder.mkdir()
        yield folder
        with ExitStack() as stack:
            lock(out, stack, wait=True)  # two at once: one after the other
            _finish(out)
            names = sorted(path.name for path in folder.iterdir())
            for name in names:
                _check_kind(folder / name, out / name)
            moves = [[n, _inode(folder / n), _inode(out / n)] for n in names]
            gone = [n for n in drop if n not in names and (out / n).exists()]
            _write_journal(out, scratch, moves, gone)
            _finish(out)


def finish(out: str | Path) -> None:
    """Bring home the files of a result that was stopped on its way.

    Args:
        out: its directory; it may be missing.

    Raises:
        InputError: where some are lost, or may not be moved.
    """
    out = Path(out)
    if not os.path.lexists(out / JOURNAL):
        return
    with ExitStack() as stack:
        lock(out, stack, wait=True)
        _finish(out)


def _check_kind(new: Path, place: Path) -> None:
    if os.path.lexists(place) and place.is_dir() != new.is_dir():
        what = "a folder" if place.is_dir() else "a file"
        raise InputError(
            f"{place} is {what}, and stmk would write there: move it away, or "
            "choose another --out."
        )


def _write_journal(
    out: Path, scratch: Path, moves: list[list[Any]], gone: list[str]
) -> None:
    journal = {
        "about": "stmk was stopped while it put these files here, so that some "
        "may be old and some new. Run the same command again: it finishes.",
        "from": scratch.name,
        "files": moves,
        "remove": gone,
    }
    draft = scratch / JOURNAL
    draft.write_text(json.dumps(journal, indent=2) + "\n", "utf-8")
    draft.replace(out / JOURNAL)


def _finish(out: Path) -> None:
    """What `finish` does, the directory being locked."""
    journal = _journal(out)
    if journal is None:
        return
    scratch, moves, gone = journal
    try:
        for name, *inodes in moves:
            new = scratch / _NEW / name
            if os.path.lexists(new) and not _has_moved(new, *inodes):
                take_place(new, out / name)
        for name in gone:
            _remove(out / name)
        (out / JOURNAL).unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{out / JOURNAL}: a result in {out} is on its way and cannot be "
            f"brought home ({error.strerror}). Mend that and run the same "
            "command again."
        ) from error


def _inode(path: Path) -> int:
    """By which a directory is known again; 0 where there is none."""
    return path.lstat().st_ino if os.path.lexists(path) else 0


def _has_moved(new: Path, inode: int, inode_before: int) -> bool:
    """Whether a directory has changed places: the old one is there then."""
    if new.is_symlink() or not new.is_dir() or _inode(new) == inode:
        return False
    if _inode(new) == inode_before:
        return True
    raise OSError(errno.ESTALE, "it was copied from elsewhere meanwhile")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_MOST_BYTES = 1 << 20


def _journal(
    out: Path,
) -> tuple[Path, list[tuple[str, int, int]], list[str]] | None:
    """What a folder's journal says; None where there is none.

    Raises:
        InputError: where it is no journal, or names anything elsewhere.
    """
    path = out / JOURNAL
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            if not os.path.lexists(path):
                return None
            raise ValueError("no file of ours")
        stored = json.loads(path.read_bytes())
        scratch = _plain(stored["from"])
        if not scratch.startswith(PREFIX):
            raise ValueError("of another folder")
        moves = [
            (_plain(name), int(inode), int(before))
            for name, inode, before in stored["files"]
        ]
        gone = [_plain(name) for name in stored["remove"]]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, RecursionError, OSError) as e:
        raise InputError(
            f"{path} is no journal of stmk ({type(e).__name__}): move it away, "
            "or choose another directory."
        ) from e
    return out / scratch, moves, gone


def _named_in_journal(parent: Path) -> str | None:
    """The scratch directory that a result is on its way from."""
    try:
        journal = _journal(parent)
    except InputError:
        return None
    return journal[0].name if journal else None


def _plain(name: Any) -> str:
    """A name that leads nowhere else."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name of a file")
    return name
