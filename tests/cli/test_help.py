import pytest
from typer.testing import CliRunner

from cli.main import app
from stm_keras import __version__

COMMANDS = [
    ["demo"],
    ["inspect"],
    ["predict"],
    ["evaluate"],
    ["fit"],
    ["models"],
    ["prepare"],
    ["export"],
    ["bench"],
    ["reproduce", "fig4"],
    ["reproduce", "fig3"],
    ["reproduce", "sweep"],
    ["build-data", "friedel"],
    ["build-data", "scattering"],
    ["build-data", "au111"],
]


def output(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_is_listed():
    listed = output("--help") + output("build-data", "--help")
    listed += output("reproduce", "--help")
    for command in COMMANDS:
        assert command[-1] in listed


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_and_says_what_options_do(command):
    text = output(*command, "--help")
    assert "Example" in text
    assert f"stmk {' '.join(command)}" in text
    options = text.split("Options:")[1]
    for line in options.splitlines():
        if line.startswith("  --"):
            assert len(line.split(maxsplit=2)) == 3, line


def test_version():
    assert __version__ in output("--version")
