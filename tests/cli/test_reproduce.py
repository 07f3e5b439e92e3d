import pytest
from typer.testing import CliRunner

from cli.main import app
from stm_keras.errors import InputError


def run(*arguments):
    result = CliRunner().invoke(app, ["reproduce", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.mark.parametrize("command", ["fig4", "fig3", "sweep"])
def test_every_command_has_an_example_and_says_what_options_do(command):
    text = run(command, "--help")
    assert f"Example: stmk reproduce {command}" in " ".join(text.split())
    for line in text.split("Options:")[1].splitlines():
        if line.startswith("  --"):
            assert len(line.split(maxsplit=2)) == 3, line


def test_all_three_are_listed():
    listed = run("--help")
    for command in ("fig4", "fig3", "sweep"):
        assert command in listed


@pytest.mark.parametrize(
    "arguments",
    [
        ("fig4", "--runs", "0"),
        ("fig4", "--only", "both"),
        ("fig4", "--only", "all:1"),
        ("fig4", "--epochs", "0"),
        ("fig4", "--compare", "points.csv"),
        ("fig3", "--run", "both:10"),
        ("fig3", "--region", "16"),
        ("fig3", "--experiment", "4"),
        ("sweep", "--over", "colour"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError) as raised:
        run(*arguments, "--out", str(out))
    assert "\n" not in str(raised.value)
    assert not out.exists()


def test_too_few_jobs_are_refused(tmp_path):
    with pytest.raises(InputError, match="--jobs"):
        run("sweep", "--over", "alpha", "--jobs", "0", "--out", str(tmp_path))
