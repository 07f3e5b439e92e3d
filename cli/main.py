"""The program `stmk`: its commands, and how it says that something is wrong."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from cli import (
    bench,
    build_data,
    demo,
    evaluate,
    export,
    fit,
    inspect,
    models,
    predict,
    prepare,
    reproduce,
    waves,
)
from cli.disk import of_the_disk
from cli.grouped import Grouped
from cli.stopping import Stopped, stopping
from stm_keras import __version__
from stm_keras.errors import InputError
from stm_keras.system import keep_freed_memory

app = typer.Typer(
    name="stmk",
    help=(
        "Find impurities in scanning tunnelling microscopy maps.\n\n"
        "Start with `stmk demo`, or with a file of your own: "
        "`stmk predict scan.sxm --surface cu111 --out found`."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("inspect")(inspect.inspect)
app.command("predict", cls=Grouped)(predict.predict)
app.command("waves")(waves.waves)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(build_data.app, name="build-data")
app.command("fit")(fit.fit)
app.command("models")(models.models)
app.add_typer(
    reproduce.app,
    name="reproduce",
    short_help="Repeat the paper's Figures 3 and 4.",
)
app.command("prepare")(prepare.prepare)
app.command("export")(export.export)
app.command("bench")(bench.bench)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"stm-keras {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_version,
        is_eager=True,
        help="Print the version and stop.",
    ),
) -> None:
    del version


def main() -> None:
    """Run `stmk`: exit code 2 and one line for a user's mistake."""
    # Read by TensorFlow when a command imports it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    keep_freed_memory()
    _open_standard_files()
    try:
        with stopping():
            app()
    except InputError as error:
        _refuse(str(error))
    except Stopped as stop:
        print(f"stmk: {stop.message}", file=sys.stderr)
        sys.exit(stop.exit_code)
    except Exception as error:
        reason = of_the_disk(error)
        if reason is None and isinstance(error, OSError):
            where = f" ({error.filename})" if error.filename else ""
            reason = f"{error.strerror or error}{where}."
        if reason is None:
            raise
        _refuse(reason)


def _open_standard_files() -> None:
    """Where one is closed, the next file of a user would take its number.

    What is meant for the terminal would then be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # Python's own, where it was closed
            file = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, file)


def _refuse(message: str) -> NoReturn:
    print(f"stmk: {message}", file=sys.stderr)
    sys.exit(2)
