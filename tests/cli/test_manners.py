"""How `stmk` talks: at once, in plain words, for programs too."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from cli.progress import Status
from stm_keras.detections import read_positions
from stm_keras.units import counted, plainly

# What must be found before TensorFlow is imported.
MISTAKES = [
    ("predict", "no.sxm", "--out", "x"),
    ("predict", "a.npz", "--out", "x", "--rows", "up"),
    ("predict", "a.npz", "--out", "x", "--surface", "pt111"),
    ("predict", "a.npz", "--out", "x", "--threshold", "7"),
    ("predict", "a.npz", "--out", "x", "--model", "wang2020", "--no-give-q"),
    ("predict", "a.npz", "--out", "x", "--export", "word"),
    ("predict", "a.npz", "--out", "x", "--model", "none"),
    ("predict", "a.npz", "--out", "x", "--channel", "Z"),
    ("predict", "a.npz", "--out", "a.npz/x"),
    ("predict", "--config", "no.yaml"),
    ("prepare", "a.npz", "--out", "x", "--model", "none"),
    ("export", "--model", "none"),
    ("evaluate", "--model", "none", "--data", "x"),
    ("waves", "a.npz", "--positions", "no.csv"),
    ("inspect", "no.sxm"),
]


@pytest.fixture
def scan(tmp_path):
    maps = np.random.default_rng(0).normal(size=(1, 40, 40))
    path = tmp_path / "a.npz"
    np.savez(path, maps=maps, bias_v=[0.0], extent_nm=[20.0, 20.0])
    return path


def test_mistakes_are_found_before_tensorflow_is_imported(scan, tmp_path):
    code = (
        "import json, sys, cli.main\n"
        "for arguments in json.loads(sys.stdin.read()):\n"
        "    sys.argv = ['stmk', *arguments]\n"
        "    try: cli.main.main()\n"
        "    except SystemExit as stop: print(stop.code, end=' ')\n"
        "    print('tensorflow' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(MISTAKES),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines() == ["2 False"] * len(MISTAKES), run.stderr
    said = [x for x in run.stderr.splitlines() if x.startswith("stmk: ")]
    assert len(said) == len(MISTAKES)
    assert not (tmp_path / "x").exists()


def test_a_result_repeats_itself(stmk, model, scan, tmp_path):
    options = ("--surface", "au111", "--rows", "0:38", "--threshold", 1.5)
    code, out, error = stmk(
        *("predict", scan, "--model", model, "--out", "one", *options)
    )
    assert code == 0, error
    settings = yaml.safe_load((tmp_path / "one/options.yaml").read_text())
    assert settings["files"] == [str(scan)]
    assert settings["rows"] == "0:38"
    code, out, error = stmk(
        *("predict", "--config", "one/options.yaml", "--out", "two", "--json")
    )
    assert code == 0, error
    (told,) = json.loads(out)
    table = read_positions(tmp_path / "two/positions.csv")
    assert told["found"] == len(told["positions"]) == len(table.positions_px)
    first, second = (
        (tmp_path / name / "positions.csv").read_text()
        for name in ("one", "two")
    )
    assert first == second
    again = yaml.safe_load((tmp_path / "two/options.yaml").read_text())
    assert again == settings | {"out": "two"}


def test_words_are_left_out_or_added(stmk, model, scan):
    run = (
        "predict",
        scan,
        "--model",
        model,
        "--surface",
        "au111",
        "--out",
        "o",
    )
    assert stmk(*run, "--quiet")[:2] == (0, "")
    few, many = (stmk(*run, *more)[1] for more in ((), ("-v",)))
    assert "plane subtracted" in many
    assert "plane subtracted" not in few


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("surfac: au111", "no option 'surfac'"),
        ("- au111", "no table of options"),
        ("a: [", "is no YAML"),
        ("surface: {a: b}", "surface takes one value"),
    ],
)
def test_a_config_that_is_none(stmk, tmp_path, text, part):
    (tmp_path / "c.yaml").write_text(text)
    code, _, error = stmk("predict", "--config", "c.yaml")
    assert code == 2
    assert part in error


def test_help_has_groups_and_no_path_of_this_machine(stmk):
    _, text, _ = stmk("predict", "--help")
    first = text.split("Reading the file:")[0]
    for name in ("--out", "--surface", "--model", "--stack", "--threshold"):
        assert f"\n  {name} " in first
    assert "--tip-jumps" not in first
    for command in ("predict", "models", "export", "prepare", "bench"):
        assert "site-packages" not in stmk(command, "--help")[1]
        assert sys.prefix not in stmk(command, "--help")[1]


def test_a_shell_is_told_how_words_end(stmk):
    assert "--install-completion" in stmk("--help")[1]
    asked = {
        "_STMK_COMPLETE": "complete_bash",
        "COMP_WORDS": "stmk pred",
        "COMP_CWORD": "1",
    }
    code = "import sys, cli.main; sys.argv = ['stmk']; cli.main.main()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == ["predict"], run.stderr


def test_a_terminal_is_told_at_once(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    status = Status()
    status.at("reading")
    assert capsys.readouterr().err.endswith("reading ...")
    status.took()
    assert "took 0." in capsys.readouterr().err
    Status(shown=False).at("reading")
    assert capsys.readouterr().err == ""


def test_numbers_in_words():
    expected = {0.02: "", 0.4: "perhaps 1", 1.1: "1", 2.5: "2 or 3", 184: "180"}
    for value, words in expected.items():
        assert counted(value).removeprefix("about ") == words
    assert plainly(184.3) == "180"
    assert plainly(1.84e6) == "1800000"
    assert plainly(1e-9) == "0"
