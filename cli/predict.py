"""`stmk predict`: positions of the impurities in a file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import (
    DEFAULT_MODEL,
    Channel,
    Surface,
    number_range,
    numbers,
)
from cli.progress import progress_bar
from cli.quiet import quiet_imports


def predict(
    files: Annotated[list[Path], typer.Argument(help=".sxm, .npz or .npy")],
    out: Annotated[
        Path,
        typer.Option(
            help="Directory for the result; with several files, one folder "
            "a file in it."
        ),
    ],
    model: Annotated[
        Path,
        typer.Option(
            help="Model directory. By default saved_models/wang2020 of the "
            "project's folder.",
            show_default=False,
        ),
    ] = DEFAULT_MODEL,
    surface: Surface = None,
    channel: Channel = None,
    direction: Annotated[
        Any, typer.Option(help="Fast scan: forward or backward.", parser=str)
    ] = "forward",
    bias: Annotated[
        str | None,
        typer.Option(help="Biases [V]: 0.1,0.2 or FIRST:LAST:STEP."),
    ] = None,
    extent_nm: Annotated[
        str | None, typer.Option(help="Height,width of the frame [nm].")
    ] = None,
    level: Annotated[
        Any, typer.Option(help="Levelling: plane, lines or none.", parser=str)
    ] = "plane",
    tiling: Annotated[
        Any, typer.Option(help="overlap, or the paper's: paper.", parser=str)
    ] = "overlap",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least S, in its standard deviations; by default the model's."
        ),
    ] = None,
) -> None:
    """Find the impurities in instrument files.

    Writes positions.csv (px and nm), overview.png and S.npy.

    Example: stmk predict scan.sxm --surface cu111 --out found
    """
    with quiet_imports():
        from stm_keras.file_prediction import predict_files
        from stm_keras.io.options import ReadOptions
        from stm_keras.prediction import PredictOptions
    read = ReadOptions(
        channel=channel,
        direction=direction,
        bias_v=numbers(bias, "--bias"),
        extent_nm=number_range(extent_nm, "--extent-nm"),
    )
    options = PredictOptions(surface, level, tiling, threshold)
    lines = predict_files(
        files, model, out, read, options, progress=progress_bar("tiles")
    )
    for line in lines:
        typer.echo(line)
