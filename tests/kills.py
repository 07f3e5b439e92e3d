"""What a kill would leave: the state of a folder before every file event."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

from stm_keras import files

EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "open")

_DEAD = f"{files.PREFIX}{2**22 + 1}-"  # above any number of a process
_watch = None


def _hook(event, arguments):
    if _watch is None or event not in EVENTS:
        return
    if event == "open" and not (
        isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
    ):
        return
    _watch()


def _of_the_copy(path, original):
    """A journal that knows the directories of the copy."""
    journal = json.loads(path.read_text())
    for move in journal["files"]:
        new = Path(journal["from"]) / "new" / move[0]
        if not (original / new).exists():
            continue
        there = (original / new).lstat().st_ino
        known = [there == inode for inode in move[1:]]
        copied = (path.parent / new).lstat().st_ino
        move[1:] = [copied if same else 0 for same in known]
    journal["from"] = journal["from"].replace(
        f"{files.PREFIX}{os.getpid()}-", _DEAD
    )
    path.write_text(json.dumps(journal))


def states_of(folder, action, store):
    """Run an action; give copies of a folder as kills would leave it.

    A copy is made before each thing that Python does to files, before and
    after two directories change places, and at the end. In the copies, the
    process that did it is dead.
    """
    global _watch
    states = []

    def copy():
        global _watch
        watch, _watch = _watch, None
        state = Path(store) / f"{len(states):03}"
        shutil.copytree(folder, state, symlinks=True)
        mine = f"{files.PREFIX}{os.getpid()}-"
        for path in state.rglob(files.JOURNAL):
            if not path.parent.name.startswith(files.PREFIX):
                there = Path(folder) / path.parent.relative_to(state)
                _of_the_copy(path, there)
        for path in sorted(state.rglob(f"{mine}*"), reverse=True):
            path.rename(path.with_name(path.name.replace(mine, _DEAD)))
        states.append(state)
        _watch = watch

    exchange = files._exchange

    def watched(one, other):
        copy()
        done = exchange(one, other)
        copy()
        return done

    sys.addaudithook(_hook)
    files._exchange = watched
    _watch = copy
    try:
        action()
    finally:
        _watch = None
        files._exchange = exchange
    copy()
    return states


def digests(folder):
    """Digest of every file below a folder, but for scratch directories."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and files.PREFIX not in path.relative_to(folder).as_posix()
    }
