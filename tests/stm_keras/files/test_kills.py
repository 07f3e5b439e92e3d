"""Whatever is killed, old or new is whole, and the next run clears up."""

import json
import os

import pytest

from stm_keras import files
from stm_keras.errors import InputError
from stm_keras.files import (
    JOURNAL,
    PREFIX,
    atomic_directory,
    atomic_file,
    finish,
    result_in,
    scratch_directory,
    whole_directory,
)
from tests.stm_keras.files.conftest import tree

OLD = {"card": "old", "sums": "old", "variables/data": "old"}
NEW = {"card": "new", "sums": "new", "variables/data": "new"}
USERS = {"notes.txt": "mine", "training/log.csv": "1,2"}


def write(folder, content):
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def leftovers(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(PREFIX)]


@pytest.mark.parametrize("there", [True, False])
def test_a_directory(at_every_moment, there):
    """A kill between removing and renaming used to leave neither."""

    def prepare(folder):
        if there:
            write(folder / "m", OLD | USERS)

    def action(folder):
        with whole_directory(folder / "m", drop=("card",)) as new:
            write(new, NEW)

    def check(folder, killed):
        before = [OLD | USERS] if there else [{}]
        after = NEW | USERS if there else NEW
        found = tree(folder / "m") if (folder / "m").exists() else {}
        assert found in [*before, after]
        assert killed or found == after
        action(folder)
        assert tree(folder / "m") == after
        assert not leftovers(folder)

    assert at_every_moment(prepare, action, check) >= 8


def test_a_directory_where_nothing_can_be_exchanged(
    at_every_moment, monkeypatch
):
    """Two steps then; the next run finishes what was stopped between them."""
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)

    def prepare(folder):
        write(folder / "m", OLD)

    def action(folder):
        with atomic_directory(folder / "m") as new:
            write(new, NEW)

    def check(folder, killed):
        with scratch_directory(folder):
            pass  # any next run in this folder
        assert tree(folder / "m") in (OLD, NEW)
        assert killed or tree(folder / "m") == NEW
        assert not leftovers(folder)

    assert at_every_moment(prepare, action, check) > 8


@pytest.mark.parametrize("at_one_stroke", [True, False])
def test_a_result_among_other_files(
    at_every_moment, monkeypatch, at_one_stroke
):
    """A new table beside an old picture is never without its journal."""
    if not at_one_stroke:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    gone = {"of_another_model": "old"}

    def prepare(folder):
        write(folder / "u", OLD | USERS | gone)

    def action(folder):
        with result_in(folder / "u", drop=["of_another_model"]) as new:
            write(new, NEW)

    def check(folder, killed):
        found = tree(folder / "u")
        mixed = found not in (OLD | USERS | gone, NEW | USERS)
        assert not mixed or JOURNAL in found
        assert killed or not mixed
        finish(folder / "u")
        with scratch_directory(folder / "u"):
            pass
        assert tree(folder / "u") in (OLD | USERS | gone, NEW | USERS)
        assert not leftovers(folder)

    assert at_every_moment(prepare, action, check) > 15


def test_a_file(at_every_moment):
    def action(folder):
        with atomic_file(folder / "a.csv") as temporary:
            temporary.write_text("new")

    def check(folder, killed):
        assert tree(folder)["a.csv"] in ("old", "new")
        action(folder)
        assert tree(folder) == {"a.csv": "new"}
        assert not leftovers(folder)

    def prepare(folder):
        write(folder, {"a.csv": "old"})

    assert at_every_moment(prepare, action, check) > 3


def test_scratch_of_a_process_that_runs_is_left_alone(tmp_path):
    with scratch_directory(tmp_path) as first, scratch_directory(tmp_path):
        assert first.is_dir()
        os.utime(first, (0, 0))
        with scratch_directory(tmp_path):
            assert first.is_dir()
    assert not list(tmp_path.iterdir())


def test_files_of_the_user_are_no_scratch(tmp_path):
    (tmp_path / ".stmk").mkdir()
    (tmp_path / "saved_model").mkdir()
    (tmp_path / ".results.2024.csv").touch()
    (tmp_path / ".stmk-link").symlink_to(tmp_path / "saved_model")
    with scratch_directory(tmp_path):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {
        *(".stmk", "saved_model", ".results.2024.csv", ".stmk-link"),
    }


def test_the_folder_that_the_user_stands_in_stays_the_same(
    tmp_path, monkeypatch
):
    """His shell would else be in a folder that is gone."""
    write(tmp_path / "m", OLD | USERS)
    monkeypatch.chdir(tmp_path / "m")
    inode = (tmp_path / "m").stat().st_ino
    with whole_directory(".") as new:
        write(new, NEW)
    assert (tmp_path / "m").stat().st_ino == inode
    assert tree(tmp_path / "m") == NEW | USERS
    assert not leftovers(tmp_path)


def test_a_link_to_a_directory_stays_a_link(tmp_path):
    write(tmp_path / "real", OLD)
    (tmp_path / "m").symlink_to("real")
    with whole_directory(tmp_path / "m") as new:
        write(new, NEW)
    assert (tmp_path / "m").is_symlink()
    assert tree(tmp_path / "real") == NEW


@pytest.mark.parametrize(
    "journal",
    [
        '{"from": "../other", "files": [], "remove": []}',
        '{"from": ".stmk-1", "files": [["../../a", 1, 0]], "remove": []}',
        '{"from": ".stmk-1", "files": [], "remove": ["../precious"]}',
        '{"from": ".stmk-1", "files": [], "remove": [".."]}',
        '{"from": ".stmk-1", "files": 3, "remove": []}',
        "[" * 100_000,
        "",
    ],
)
def test_a_journal_that_leads_elsewhere_is_refused(tmp_path, journal):
    (tmp_path / "precious").touch()
    out = tmp_path / "out"
    write(out, {JOURNAL: journal})
    with pytest.raises(InputError, match="no journal of stmk"):
        finish(out)
    assert (tmp_path / "precious").exists()


def test_a_journal_is_told_to_people(tmp_path):
    scratch = tmp_path / ".stmk-1-a"
    write(scratch / "new", {"a": "new"})
    moves = [["a", (scratch / "new/a").stat().st_ino, 0]]
    files._write_journal(tmp_path, scratch, moves, [])
    about = json.loads((tmp_path / JOURNAL).read_text())["about"]
    assert "Run the same command again" in about


def test_a_name_taken_by_a_folder(tmp_path):
    (tmp_path / "card").mkdir()
    with (
        pytest.raises(InputError, match="card is a folder"),
        result_in(tmp_path) as new,
    ):
        write(new, NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["card"]
