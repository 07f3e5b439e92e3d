"""`stmk export`: a model for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_MODEL, Model, TrustModel
from cli.progress import progress_bar
from cli.quiet import quiet_imports
from stm_keras.errors import InputError
from stm_keras.models.shipped import find_card


def export(
    model: Model = DEFAULT_MODEL,
    form: Annotated[
        str,
        typer.Option("--format", help="saved-model, tflite or all."),
    ] = "all",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory to write to. By default out/export/NAME.",
            show_default=False,
        ),
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Put the SavedModel in the place of the model's own, as "
            "after an update of this package.",
        ),
    ] = False,
    trust_model: TrustModel = False,
) -> None:
    """Export a trained model for TensorFlow Serving, LiteRT and others.

    It writes saved_model/, which needs nothing of this package, and the same
    as NAME-float32.tflite, -float16 and -int8. docs/serving.md says what goes
    in and what comes out.

    Example: stmk export --model context --format all
    """
    path, _ = find_card(model)
    with quiet_imports():
        from stm_keras.models.export import export_in_place, export_model

    if in_place:
        if out is not None or form == "tflite":
            raise InputError(
                "--in-place writes the SavedModel into --model: leave --out "
                "and --format out."
            )
        export_in_place(path, trust=trust_model)
        typer.echo(path)
        return
    target = out or Path("out/export") / path.resolve().name
    progress = progress_bar("exporting")
    for file in export_model(path, target, form, progress, trust=trust_model):
        typer.echo(file)
