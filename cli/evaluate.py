"""`stmk evaluate`: how good positions or a model are."""

from pathlib import Path
from typing import Annotated

import typer

from cli.progress import progress_bar
from cli.quiet import quiet_imports
from stm_keras.errors import InputError


def evaluate(
    positions: Annotated[
        Path | None, typer.Argument(help="Found positions (CSV).")
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(help="True positions (CSV).")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Farthest match [px]. Default: 1.", min=0),
    ] = None,
    tolerance_nm: Annotated[
        float | None, typer.Option(help="The same [nm], instead.", min=0)
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Evaluate a model instead...")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="... on a data set's test split.")
    ] = None,
    noise: Annotated[
        float,
        typer.Option(
            help="White noise added to simulated fields; the virtual "
            "experiments of au111 have their own."
        ),
    ] = 0.8,
    voltages: Annotated[
        int | None, typer.Option(help="Maps to keep of each stack.", min=1)
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Also write the scores to this file.")
    ] = None,
) -> None:
    """Score found positions, or a model, against known positions.

    Example: stmk evaluate found/positions.csv truth.csv --tolerance-nm 0.3
    """
    with quiet_imports():
        from stm_keras.evaluation import (
            evaluate_files,
            format_table,
            write_json,
        )
    if positions and truth and not (model or data):
        score = evaluate_files(
            positions, truth, tolerance_px=tolerance, tolerance_nm=tolerance_nm
        )
        rows = {positions.name: score}
    elif model and data and not (positions or truth):
        with quiet_imports():
            from stm_keras.model_evaluation import evaluate_model
        rows = evaluate_model(
            model,
            data,
            noise=noise,
            n_voltages=voltages,
            progress=progress_bar("evaluating"),
        )
    else:
        raise InputError(
            "Give two position files, or --model and --data; see "
            "`stmk evaluate --help`."
        )
    typer.echo(format_table(rows))
    if json:
        write_json(json, rows)
        typer.echo(f"scores: {json}")
