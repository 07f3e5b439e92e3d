"""`stmk fit`: train a network."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Overwrite, Surface, whole_numbers
from cli.progress import progress_bar
from cli.quiet import quiet_imports

_AFRESH = ("--resume", "--overwrite")
"""Not part of the command that makes the model again."""


def fit(
    data: Annotated[Path, typer.Option(help="Prepared data set.")],
    out: Annotated[Path, typer.Option(help="Directory of the new model.")],
    experiment: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or prepared data set for the entropy loss; repeatable.",
            show_default=False,
        ),
    ] = None,
    surface: Surface = None,
    noise: Annotated[
        float, typer.Option(help="Width eta of the white noise (paper: 0.8).")
    ] = 0.8,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Weight of the entropy loss. By default 0.03, the paper's, "
            "with an experiment, and 0 without.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Fields a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="At the start.")] = 2e-3,
    voltages: Annotated[
        str | None,
        typer.Option(
            help="Numbers of maps to train with, such as 1,4,16: each batch "
            "draws one. By default all maps, always.",
            show_default=False,
        ),
    ] = None,
    filters: Annotated[int, typer.Option(help="Channels, d_v.")] = 32,
    depth: Annotated[
        int, typer.Option(help="Convolutions before Q, K, V.")
    ] = 2,
    inner_product: Annotated[
        str, typer.Option(help="<Q,K> of Eq. 1 sums over a: pixel or image.")
    ] = "pixel",
    seed: Annotated[int, typer.Option(help="Of weights, order, noise.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a stopped training.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the paper's network on a data set.

    Example: stmk fit --data data/friedel --out saved_models/mine --epochs 5
    """
    with quiet_imports():
        from stm_keras.data.batch_config import BatchConfig
        from stm_keras.fit_config import PAPER_ALPHA, FitConfig
        from stm_keras.publication import report
        from stm_keras.training import fit
    counts = whole_numbers(voltages, "--voltages") or ()
    if alpha is None:
        alpha = PAPER_ALPHA if experiment else 0.0
    config = FitConfig(
        data,
        out,
        tuple(experiment or ()),
        surface,
        alpha,
        epochs,
        learning_rate,
        BatchConfig(batch_size, noise, counts, seed),
        {"filters": filters, "depth": depth, "inner_product": inner_product},
        shlex.join(["stmk", *(a for a in sys.argv[1:] if a not in _AFRESH)]),
    )
    verbosity = "bar" if sys.stdout.isatty() else "lines"
    card = fit(
        config,
        resume=resume,
        overwrite=overwrite,
        verbosity=verbosity,
        progress=progress_bar("testing"),
    )
    typer.echo(report(card, out))
