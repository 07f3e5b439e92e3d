"""`stmk demo`: the whole job at a small scale."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import all_cores
from cli.quiet import quiet_imports


def demo(
    out: Annotated[
        Path, typer.Option(help="Directory for all that it makes.")
    ] = Path("stmk-demo"),
) -> None:
    """Simulate, train, find and compare with the truth, in a few minutes.

    A second run uses the data set and the network of the first.

    Example: stmk demo --out stmk-demo
    """
    with quiet_imports():
        from data_builders.building import build, named_config
        from data_builders.scattering.scattering_dataset_builder import Builder
        from stm_keras.demo import run_demo
    typer.echo("simulating maps ...")
    config = named_config(Builder, "demo")
    data = build(Builder, config, out / "data", processes=all_cores())
    verbosity = "bar" if sys.stdout.isatty() else "lines"
    for line in run_demo(data, out, verbosity=verbosity):
        typer.echo(line)
