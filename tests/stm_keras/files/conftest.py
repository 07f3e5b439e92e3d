"""Kills: a process ends by itself, at the n-th thing it does to files."""

import os
import sys
from pathlib import Path

import pytest

from stm_keras import files

EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "open")


def killed_at(moment, action):
    """Run an action in a process that ends before its n-th file event.

    Gives whether it was killed; it was not where there are fewer events.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def step():
            nonlocal count
            count += 1
            if count > moment:
                os._exit(137)

        def hook(event, arguments):
            if event not in EVENTS:
                return
            if event == "open" and not (
                isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
            ):
                return
            step()

        exchange = files._exchange

        def exchange_or_die(one, other):
            step()
            done = exchange(one, other)
            step()
            return done

        files._exchange = exchange_or_die
        sys.addaudithook(hook)
        try:
            action()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 137)
    return status == 137


@pytest.fixture
def at_every_moment(tmp_path):
    """Kill an action at each of its file events, in a new folder each time.

    Takes what makes the folder, the action, and a check of what is left; gives
    how many kills there were.
    """

    def run(prepare, action, check):
        for moment in range(1000):
            folder = tmp_path / f"{moment}"
            folder.mkdir()
            prepare(folder)
            killed = killed_at(moment, lambda f=folder: action(f))
            check(folder, killed)
            if not killed:
                return moment
        raise AssertionError("no end")

    return run


def tree(folder):
    """Text of every file below a folder, by its name; scratch left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and ".stmk-" not in str(path.relative_to(folder))
    }
