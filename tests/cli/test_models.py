"""`stmk models`: a list, a description, a check."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stmk(stmk):
    """The lines of what `stmk` says, none of a traceback."""

    def run(*arguments):
        code, out, error = stmk(*arguments)
        assert "Traceback" not in error
        return code, out.splitlines(), error.splitlines()

    return run


@pytest.fixture
def folder(tmp_path):
    """Two copies of the shipped model, with its checksums."""
    for name in ("a", "b"):
        shutil.copytree(
            ROOT / "saved_models/wang2020",
            tmp_path / "models" / name,
            ignore=shutil.ignore_patterns("training"),
        )
    return tmp_path / "models"


def test_what_ships_is_listed_and_described(stmk):
    code, lines, error = stmk("models", "--verify")
    assert (code, error) == (0, [])
    assert lines[0].split()[:2] == ["name", "network"]
    (line,) = (line for line in lines if line.startswith("wang2020"))
    assert line.endswith("ok")
    code, lines, error = stmk("models", "wang2020")
    assert (code, error) == (0, [])
    assert any("Wang2020, 39,113 parameters" in line for line in lines)
    assert "  serving_default" in lines


def test_a_list_needs_no_tensorflow():
    """What makes it quick."""
    code = (
        "import sys; from cli.main import main\n"
        "sys.argv = ['stmk', 'models']\n"
        "try: main()\n"
        "except SystemExit: print('tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert run.stdout.splitlines()[-1] == "False"


def test_damage_is_listed_and_refused(stmk, folder):
    content = bytearray((folder / "b/model.keras").read_bytes())
    content[1000] ^= 1
    (folder / "b/model.keras").write_bytes(content)
    code, lines, error = stmk("models", "--folder", folder)
    assert (code, error) == (0, [])
    assert [line.split()[-1] for line in lines[1:]] == ["ok", "damaged"]
    code, again, error = stmk("models", "--folder", folder, "--verify")
    assert code == 2
    assert again == lines
    assert error == [
        f"stmk: The model b in {folder / 'b'} is damaged: changed model.keras."
        " Restore it, or train it again."
    ]


def test_a_line_for_each_damaged_model(stmk, folder):
    (folder / "a/fingerprint.pb").unlink()
    (folder / "b/notes.txt").write_text("keep the tip")
    code, _, error = stmk("models", "--folder", folder, "--verify")
    assert code == 2
    assert error[0].startswith("stmk: The model a in ")
    assert "is damaged: missing fingerprint.pb." in error[0]
    assert error[1].startswith("stmk: The model b in ")
    assert "is damaged: extra notes.txt." in error[1]
    assert len(error) == 2


def test_one_model_is_verified_alone(stmk, folder):
    (folder / "b/fingerprint.pb").unlink()
    assert stmk("models", folder / "a", "--verify")[::2] == (0, [])
    code, lines, error = stmk("models", "b", "--folder", folder, "--verify")
    assert code == 2
    assert "damaged: missing fingerprint.pb" in error[0]
    assert any(line.endswith("missing") for line in lines)
    assert stmk("models", "b", "--folder", folder)[::2] == (0, [])


def test_a_damaged_card(stmk, folder):
    (folder / "b/SHA256SUMS").unlink()
    (folder / "b/model_card.json").write_text("{")
    code, lines, error = stmk("models", "--folder", folder)
    assert (code, error) == (0, [])
    assert "b/model_card.json is damaged" in lines[2]
    code, _, error = stmk("models", "--folder", folder, "--verify")
    assert code == 2
    assert "b/model_card.json is damaged" in error[0]
    code, lines, error = stmk("models", folder / "b")
    assert (code, lines) == (2, [])
    assert len(error) == 1
    assert error[0].startswith("stmk: The model card")


def test_a_model_of_another_version(stmk, folder, tmp_path):
    card = json.loads((folder / "b/model_card.json").read_text())
    card |= {"format": 99, "versions": {"stm-keras": "9.0"}}
    (folder / "b/model_card.json").write_text(json.dumps(card))
    (folder / "b/SHA256SUMS").unlink()
    code, lines, error = stmk("models", "--folder", folder, "--verify")
    assert (code, error) == (0, [])
    assert "was made by stm-keras 9.0; this is stm-keras" in lines[2]
    np.savez(
        tmp_path / "scan.npz",
        maps=np.random.default_rng(0).normal(size=(1, 40, 40)),
        bias_v=[0.0],
        extent_nm=[20.0, 20.0],
    )
    for command in (
        ("models", folder / "b"),
        ("predict", "scan.npz", "--model", folder / "b", "--out", "out"),
    ):
        code, _, error = stmk(*command)
        assert code == 2
        assert len(error) == 1
        assert "has the form 99 and was made by stm-keras 9.0" in error[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--folder", "no"), "no does not exist: give --folder"),
        (("--folder", "file"), "file is not a folder"),
        (("--folder", "empty"), "No model in empty"),
        (("--folder", "empty", "--verify"), "No model in empty"),
        (("empty",), "empty is not a model directory"),
        (
            ("c", "--folder", "models"),
            "No model 'c' in models. There are: a, b",
        ),
        (("c", "--folder", "no"), "no does not exist"),
    ],
)
def test_bad_input(stmk, folder, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    code, lines, error = stmk("models", *arguments)
    assert (code, lines) == (2, [])
    assert len(error) == 1
    assert message in error[0]
