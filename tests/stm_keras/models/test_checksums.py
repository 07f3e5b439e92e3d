import hashlib
import shutil
import subprocess

import pytest

from stm_keras.errors import InputError
from stm_keras.models.card import (
    SUMS_NAME,
    model_files,
    verify_checksums,
    write_checksums,
)


@pytest.fixture
def directory(tmp_path):
    """A directory like a model's, with checksums."""
    path = tmp_path / "model"
    for name in ("saved_model.pb", "variables/data", "training/last.keras"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"content of " + name.encode())
    (path / ".DS_Store").touch()
    write_checksums(path)
    return path


def test_they_are_of_all_files_but_itself_and_the_training(directory):
    digest = hashlib.sha256(b"content of saved_model.pb").hexdigest()
    lines = (directory / SUMS_NAME).read_text().splitlines()
    assert lines[0] == f"{digest}  saved_model.pb"
    assert [line.split("  ")[1] for line in lines] == [
        "saved_model.pb",
        "variables/data",
    ]
    differences = verify_checksums(directory)
    assert differences is not None
    assert not differences
    assert str(differences) == ""


def test_a_training_goes_on_beside_them(directory):
    (directory / "training/last.keras").write_bytes(b"more")
    shutil.rmtree(directory / "training")
    assert not verify_checksums(directory)


def test_what_changed_is_named(directory):
    for name in ("saved_model.pb", "variables/data"):
        content = bytearray((directory / name).read_bytes())
        content[3] ^= 1
        (directory / name).write_bytes(content)
    differences = verify_checksums(directory)
    assert differences.changed == ("saved_model.pb", "variables/data")
    assert str(differences) == "changed saved_model.pb, variables/data"


def test_what_is_missing_or_extra_is_named(directory):
    (directory / "variables/data").unlink()
    (directory / "notes.txt").touch()
    # As deep as that, it is no training of this model.
    (directory / "variables/training").touch()
    differences = verify_checksums(directory)
    assert differences.missing == ("variables/data",)
    assert differences.extra == ("notes.txt", "variables/training")
    assert str(differences) == (
        "missing variables/data; extra notes.txt, variables/training"
    )


def test_none_stored(directory):
    (directory / SUMS_NAME).unlink()
    assert verify_checksums(directory) is None


ODD = ("with space ", "back\\slash", "new\nline", "\\n", "grün", "ret\rurn")


def test_odd_names_go_there_and_back(directory):
    for name in ODD:
        (directory / name).write_text(name)
    write_checksums(directory)
    assert set(ODD) < set(model_files(directory))
    assert not verify_checksums(directory)
    (directory / "new\nline").write_text("other")
    assert verify_checksums(directory).changed == ("new\nline",)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs coreutils")
def test_coreutils_understands_them(directory):
    for name in ODD[:-1]:  # older ones keep \r as it is
        (directory / name).write_text(name)
    write_checksums(directory)

    def check():
        return subprocess.run(
            ["sha256sum", "-c", "--strict", SUMS_NAME],
            cwd=directory,
            capture_output=True,
        ).returncode

    assert check() == 0
    (directory / "back\\slash").write_text("other")
    assert check() == 1


def test_we_understand_those_of_coreutils(directory):
    lines = (directory / SUMS_NAME).read_text().splitlines()
    digest, name = lines[0].split("  ")
    # As `sha256sum --binary` writes it; other programs write large letters.
    lines[0] = f"{digest.upper()} *{name}"
    (directory / SUMS_NAME).write_text("\n".join(lines))
    assert not verify_checksums(directory)


@pytest.mark.parametrize("content", ["", "nonsense\n", f"{'0' * 63}  a\n"])
def test_checksums_that_are_none(directory, content):
    (directory / SUMS_NAME).write_text(content)
    with pytest.raises(InputError, match=r"SHA256SUMS is damaged: line 1"):
        verify_checksums(directory)


def test_they_are_replaced_whole_or_not_at_all(directory, monkeypatch):
    before = (directory / SUMS_NAME).read_bytes()

    def fail(*_):
        raise OSError(5, "Input/output error")

    (directory / "more").touch()
    monkeypatch.setattr(hashlib, "file_digest", fail)
    with pytest.raises(InputError, match=r"Cannot read .*more.*Input/output"):
        write_checksums(directory)
    monkeypatch.undo()
    assert (directory / SUMS_NAME).read_bytes() == before
    assert verify_checksums(directory).extra == ("more",)
