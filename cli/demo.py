"""`stmk demo`: the whole job at a small scale."""

import sys
import time
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
    """Simulate, train, find and compare with the truth, in three minutes.

    The paper's network is trained briefly; it and the model that ships are
    asked for the same virtual Au(111) surface: a table, a picture, the folders
    of both results, and how long each step took. A second run uses the data
    set and the network of the first.

    Example: stmk demo --out stmk-demo
    """
    with quiet_imports():
        from data_builders.building import build, named_config
        from data_builders.scattering.scattering_dataset_builder import Builder
        from stm_keras.demo import run_demo
    typer.echo("simulating maps ...")
    began = time.perf_counter()
    config = named_config(Builder, "demo")
    data = build(Builder, config, out / "data", processes=all_cores())
    typer.echo(f"  simulating: {time.perf_counter() - began:.0f} s")
    verbosity = "bar" if sys.stdout.isatty() else "lines"
    for line in run_demo(data, out, verbosity=verbosity):
        typer.echo(line)
    typer.echo(f"all of it took {time.perf_counter() - began:.0f} s")
