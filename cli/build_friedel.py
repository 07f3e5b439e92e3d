"""`stmk build-data friedel`: fields of Eq. 3 as TFRecord shards."""

from typing import Annotated

import typer

from cli.options import (
    DEFAULT_DATA,
    BeamOptions,
    DataOut,
    Overwrite,
    counts_of_splits,
    number_range,
    whole_numbers,
)
from cli.quiet import quiet_imports


def friedel(
    out: DataOut = DEFAULT_DATA,
    config: Annotated[
        str, typer.Option(help="Variant: au111, context, demo or bench32.")
    ] = "au111",
    size: Annotated[
        int | None, typer.Option(help="Side L [px], such as 32.")
    ] = None,
    voltages: Annotated[
        int | None, typer.Option(help="Maps a field, such as 8.")
    ] = None,
    k0: Annotated[
        float | None,
        typer.Option(help="Middle wave number [rad/px], such as 0.5."),
    ] = None,
    k_spread: Annotated[
        float | None, typer.Option(help="Half its range [rad/px], such as 0.2.")
    ] = None,
    impurities: Annotated[
        str | None, typer.Option(help="Fewest,most impurities: 1,6.")
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="Cutoff [px], such as 0.5.")
    ] = None,
    on_grid: Annotated[
        bool | None,
        typer.Option(
            "--on-grid/--continuous", help="Impurities on pixel centres?"
        ),
    ] = None,
    amplitude: Annotated[
        str | None, typer.Option(help="Range of A: 0.8,1.2.")
    ] = None,
    phase: Annotated[
        str | None, typer.Option(help="Range of alpha [rad]: 0,3.14.")
    ] = None,
    margin: Annotated[
        int | None, typer.Option(help="Border with impurities [px], such as 8.")
    ] = None,
    examples: Annotated[
        str | None,
        typer.Option(help="Train,validation,test fields: 1000,50,50."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all randomness.")] = None,
    overwrite: Overwrite = False,
    beam_pipeline_options: BeamOptions = None,
) -> None:
    """Simulate Friedel oscillations by the paper's formula.

    That is Eq. 3 of arXiv:2006.15898.

    Example: stmk build-data friedel --voltages 8 --seed 1
    """
    with quiet_imports():
        from data_builders.building import build, named_config
        from data_builders.friedel.friedel_dataset_builder import Builder
    counts = whole_numbers(impurities, "--impurities", count=2)
    chosen = named_config(Builder, config).changed(
        n_examples=counts_of_splits(examples),
        seed=seed,
        size_px=size,
        n_voltages=voltages,
        k0_rad_px=k0,
        k_spread_rad_px=k_spread,
        n_impurities=counts,
        eps_px=eps,
        on_grid=on_grid,
        amplitude=number_range(amplitude, "--amplitude"),
        phase_rad=number_range(phase, "--phase"),
        margin_px=margin,
    )
    target = build(
        Builder,
        chosen,
        out,
        overwrite=overwrite,
        beam_options=beam_pipeline_options,
    )
    typer.echo(f"data set: {target}")
