import sys

import pytest
from typer.testing import CliRunner

from cli.main import app, main


def run(*arguments):
    result = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_help_has_an_example_and_says_what_options_do():
    text = run("--help")
    assert "Example: stmk bench" in " ".join(text.split())
    for line in text.split("Options:")[1].splitlines():
        if line.startswith("  --"):
            assert len(line.split(maxsplit=2)) == 3, line


def test_from_end_to_end_with_a_little_model(model, tmp_path):
    arguments = (
        *("--suite", "eq3", "--cells", "eta 0.2", "--quick"),
        *("--finders", "log,rings,wang2020", "--wang2020", model),
        *("--maps", 2, "--tune-maps", 2, "--out", tmp_path / "out"),
    )
    text = run(*arguments)
    for name in ("log", "rings", "wang2020"):
        assert f"eq3/eta 0.2: {name}: Jaccard" in text
    report = (tmp_path / "out" / "bench.md").read_text()
    assert "| eta 0.2 |" in report
    assert (tmp_path / "out" / "bench.csv").is_file()
    again = run(*arguments)
    assert "Jaccard" not in again
    assert (tmp_path / "out" / "bench.md").read_text() == report


def test_tables_of_waves(tmp_path):
    text = run(
        *("--suite", "waves", "--cells", "waves/phases", "--maps", 1),
        *("--real", tmp_path, "--out", tmp_path / "out"),
    )
    assert "tables are left out" in text
    table = (tmp_path / "out" / "waves.md").read_text()
    assert "## phases" in table
    for noise in ("0.3 + 0.2", "1.0 + 0.5"):
        (line,) = (x for x in table.splitlines() if noise in x)
        assert line in text
        error = float(line.split("|")[2].split()[0])
        assert 0 < error < 0.15


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--suite", "gold"), "unknown suite"),
        (("--finders", "blob"), "unknown finder"),
        (("--cells", "gold", "--suite", "eq3"), "--cells"),
        (("--cells", "gold", "--suite", "waves"), "phases, left out"),
        (("--maps", "0"), "--maps"),
        (("--tune-maps", "0"), "--tune-maps"),
        (("--processes", "0"), "--processes"),
        (("--seed", "-1"), "--seed"),
        (("--seed", "10000"), "--seed"),
        (("--real", "no"), "No such folder"),
        (("--context", "no"), "No such model"),
        (("--wang2020", "no"), "No such model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    options, part, monkeypatch, capfd, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stmk", "bench", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    lines = [
        line
        for line in capfd.readouterr().err.splitlines()
        if line.startswith("stmk:")
    ]
    assert len(lines) == 1
    assert part in lines[0]
    assert list(tmp_path.iterdir()) == []
