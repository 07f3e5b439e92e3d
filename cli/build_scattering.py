"""`stmk build-data scattering`: randomised fields as TFRecord shards."""

from typing import Annotated

import typer

from cli.options import (
    DEFAULT_DATA,
    BeamOptions,
    DataOut,
    Overwrite,
    Processes,
    all_cores,
    counts_of_splits,
)
from cli.quiet import quiet_imports


def scattering(
    out: DataOut = DEFAULT_DATA,
    config: Annotated[
        str,
        typer.Option(
            help="Variant: default, context, molecules, crowded, demo or tiny."
        ),
    ] = "default",
    examples: Annotated[
        str | None,
        typer.Option(help="Train,validation,test fields: 1000,50,50."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side [px], such as 64.")
    ] = None,
    voltages: Annotated[
        int | None, typer.Option(help="Maps a field, such as 16.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all randomness.")] = None,
    processes: Processes = None,
    overwrite: Overwrite = False,
    beam_pipeline_options: BeamOptions = None,
) -> None:
    """Simulate multiple scattering over ranges wider than any one surface.

    Example: stmk build-data scattering --examples 1000,50,50 --seed 1
    """
    with quiet_imports():
        from data_builders.building import build, named_config
        from data_builders.scattering.scattering_dataset_builder import Builder
    chosen = named_config(Builder, config).changed(
        n_examples=counts_of_splits(examples),
        seed=seed,
        size_px=size,
        n_voltages=voltages,
    )
    target = build(
        Builder,
        chosen,
        out,
        overwrite=overwrite,
        processes=all_cores() if processes is None else processes,
        beam_options=beam_pipeline_options,
    )
    typer.echo(f"data set: {target}")
