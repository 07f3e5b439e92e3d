"""`stmk build-data au111`: experiments, virtual ones or a user's own."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    DEFAULT_DATA,
    BeamOptions,
    DataOut,
    Overwrite,
    Processes,
    Surface,
    all_cores,
    counts_of_splits,
    numbers,
)
from cli.quiet import quiet_imports
from stm_keras.errors import InputError


def au111(
    out: DataOut = DEFAULT_DATA,
    config: Annotated[
        str | None,
        typer.Option(
            help="Variant: virtual, virtual_DENSITY_DIFFICULTY (sparse, "
            "medium, dense; clean, typical, hard), or measured, which needs "
            "--source. Default: virtual, and measured where there are files."
        ),
    ] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option(help="Your own maps; once for each file of one frame."),
    ] = None,
    bound_state: Annotated[
        Path | None,
        typer.Option(help="Map of the bound states in the same frame."),
    ] = None,
    surface: Surface = None,
    impurities: Annotated[
        float | None,
        typer.Option(help="To expect in a virtual frame, such as 20."),
    ] = None,
    min_distance: Annotated[
        float | None,
        typer.Option(help="Closest impurities [px], such as 4."),
    ] = None,
    bias: Annotated[
        str | None,
        typer.Option(
            help="Biases [V]: --bias=-0.2,0.1 or --bias=-0.2:0.1:0.01 (first, "
            "last, step)."
        ),
    ] = None,
    extent_nm: Annotated[
        float | None,
        typer.Option(help="Side of the virtual frame [nm], such as 40."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="The same [px], such as 80.")
    ] = None,
    examples: Annotated[
        str | None,
        typer.Option(help="Train,validation,test experiments: 8,2,4."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all randomness.")] = None,
    processes: Processes = None,
    overwrite: Overwrite = False,
    beam_pipeline_options: BeamOptions = None,
) -> None:
    """Simulate experiments with known positions, or take in your own.

    Examples: stmk build-data au111 --config virtual_dense_hard --seed 1;
    stmk build-data au111 --source scan.sxm --surface cu111
    """
    virtual = {
        "n_impurities": impurities,
        "min_distance_px": min_distance,
        "bias_v": numbers(bias, "--bias"),
        "extent_nm": extent_nm,
        "size_px": size,
    }
    own = {"n_examples": counts_of_splits(examples), "seed": seed}
    _check_choice(config, source, bound_state, {**virtual, **own})
    with quiet_imports():
        from data_builders.au111.au111_dataset_builder import (
            Builder,
            measured_config,
        )
        from data_builders.building import build, named_config
    if source:
        chosen = measured_config(
            source, bound_state=bound_state, surface=surface
        )
    else:
        chosen = named_config(Builder, config or "virtual").changed(
            **own, **virtual, surface=surface
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


def _check_choice(
    config: str | None,
    source: list[Path] | None,
    bound_state: Path | None,
    virtual: dict[str, object],
) -> None:
    """Refuse options of a virtual set for files, and the other way round."""
    if not source and (config == "measured" or bound_state):
        raise InputError("Measured maps need files: give --source FILE.")
    if not source:
        return
    if config not in (None, "measured"):
        raise InputError(
            f"--source makes a measured set, not {config!r}: leave one out."
        )
    given = [name for name, value in virtual.items() if value is not None]
    if given:
        raise InputError(
            "--impurities, --min-distance, --bias, --extent-nm, --size, "
            "--examples and --seed are for virtual experiments: leave them "
            "out with --source."
        )
