"""`stmk evaluate`: how good positions or a model are."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import TrustModel
from cli.progress import progress_bar
from cli.quiet import quiet_imports
from stm_keras.errors import InputError
from stm_keras.models.shipped import find_card

DEFAULT_NOISE = 0.8
"""The paper's."""


def evaluate(
    positions: Annotated[
        Path | None, typer.Argument(help="Found positions (CSV).")
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(help="True positions (CSV).")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Farthest match of two files [px]. Default: 1.", min=0
        ),
    ] = None,
    tolerance_nm: Annotated[
        float | None, typer.Option(help="The same [nm], instead.", min=0)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Evaluate a model instead, by its name or directory..."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="... on a data set's test split.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="With --model: white noise added to simulated fields, by "
            "default 0.8; the virtual experiments of au111 have their own."
        ),
    ] = None,
    voltages: Annotated[
        int | None,
        typer.Option(help="With --model: maps to keep of each stack.", min=1),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Also write the scores to this file.")
    ] = None,
    trust_model: TrustModel = False,
) -> None:
    """Score found positions, or a model, against known positions.

    Examples: stmk evaluate found/positions.csv truth.csv --tolerance-nm 0.3;
    stmk evaluate --model context --data data/au111/virtual
    """
    files = bool(positions and truth and not (model or data))
    if not files and not (model and data and not (positions or truth)):
        raise InputError(
            "Give two position files, or --model and --data; see "
            "`stmk evaluate --help`."
        )
    if files and (noise is not None or voltages is not None):
        raise InputError(
            "--noise and --voltages go with --model and --data: two files "
            "of positions have neither. Leave them out."
        )
    if model and (tolerance is not None or tolerance_nm is not None):
        raise InputError(
            "--tolerance and --tolerance-nm go with two files of "
            "positions: a model is scored at 1 px. Leave them out."
        )
    directory = find_card(model)[0] if model else None
    with quiet_imports():
        from stm_keras.scoring import (
            evaluate_files,
            format_table,
            write_json,
        )
    if directory is not None and data is not None:
        with quiet_imports():
            from stm_keras.training.evaluation import evaluate_model
        rows = evaluate_model(
            directory,
            data,
            noise=DEFAULT_NOISE if noise is None else noise,
            n_voltages=voltages,
            progress=progress_bar("evaluating"),
            trust=trust_model,
        )
    else:
        assert positions is not None
        assert truth is not None
        score = evaluate_files(
            positions, truth, tolerance_px=tolerance, tolerance_nm=tolerance_nm
        )
        rows = {positions.name: score}
    typer.echo(format_table(rows))
    if json:
        write_json(json, rows)
        typer.echo(f"scores: {json}")
