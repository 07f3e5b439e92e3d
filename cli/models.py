"""`stmk models`: what is in a folder of trained models."""

from pathlib import Path
from typing import Annotated

import typer

from cli.quiet import quiet_imports


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Describe this model in full: a name of the list, or a "
            "directory. Without it, all are listed.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Where models are, at any depth. By default those that ship.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Exit with code 2, and a line for each damaged model, if a "
            "card or a checksum says that one is damaged.",
        ),
    ] = False,
) -> None:
    """List trained models, describe one, or check that they are whole.

    Examples: stmk models;
    stmk models wang2020;
    stmk models --folder mine --verify
    """
    from stm_keras.models.shipped import FOLDER, model_path
    from stm_keras.models.stored import find_models, list_models, named_model

    if name is None:
        found = find_models(folder or FOLDER)
        lines = list_models(found)
    else:
        if folder is None:
            name = str(model_path(name))
        found = [named_model(name, folder or FOLDER)]
        with quiet_imports():
            from stm_keras.models.description import describe
        lines = describe(found[0])
    for line in lines:
        typer.echo(line)
    damaged = [model for model in found if model.damages]
    if verify and damaged:
        for model in damaged:
            typer.echo(f"stmk: {model.complaint}", err=True)
        raise typer.Exit(2)
