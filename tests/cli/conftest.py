import sys

import pytest

from cli.main import main


@pytest.fixture
def stmk(monkeypatch, capfd, tmp_path):
    """Runs `stmk` in an empty folder: exit code, output, error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["stmk", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        out, error = capfd.readouterr()
        return code, out, error

    return run
