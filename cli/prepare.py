"""`stmk prepare`: a file as the tensors of an exported model."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    DEFAULT_MODEL,
    Channel,
    Model,
    Surface,
    number_range,
    numbers,
)
from cli.predict_options import (
    Bias,
    Direction,
    ExtentNm,
    GiveQ,
    Level,
)
from cli.quiet import quiet_imports
from stm_keras.files import check_paths
from stm_keras.models.shipped import find_card

Files = Annotated[
    list[Path],
    typer.Argument(
        help="A file of any known format; with --stack those of one frame.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Directory for the tensors. Other files in it stay.",
        show_default=False,
    ),
]
Stack = Annotated[
    bool,
    typer.Option(
        "--stack",
        help="All files are maps of one frame at several biases: stmk prepare "
        "di*.sxm --stack --out tensors",
    ),
]


def prepare(
    files: Files,
    out: Out,
    model: Model = DEFAULT_MODEL,
    surface: Surface = None,
    channel: Channel = None,
    direction: Direction = "forward",
    bias: Bias = None,
    extent_nm: ExtentNm = None,
    stack: Stack = False,
    level: Level = "plane",
    give_q: GiveQ = True,
) -> None:
    """Write what an exported model takes in for a file.

    Cleaned and at the network's pixel as `stmk predict` has it: maps.npy,
    pixel_nm.npy and, for context, ring_per_nm.npy, for programs that load the
    SavedModel or its TFLite files; inputs.json, the same as a request to
    TensorFlow Serving; frame.json, the way back to the file's pixels, and all
    that was done.

    Example: stmk prepare scan.sxm --surface cu111 --out tensors
    """
    check_paths(files)
    path, _ = find_card(model)
    with quiet_imports():
        from stm_keras.io.recording import ReadOptions
        from stm_keras.preprocessing.cleaning import CleaningOptions
        from stm_keras.preprocessing.preparation import PredictOptions
        from stm_keras.results.batch import FileOptions, write_tensors
    options = FileOptions(
        ReadOptions(
            channel=channel,
            direction=direction,
            bias_v=numbers(bias, "--bias"),
            extent_nm=number_range(extent_nm, "--extent-nm"),
        ),
        PredictOptions(
            surface,
            CleaningOptions.at_level(level),
            give_q=give_q,
        ),
        stack=stack,
    )
    warnings = write_tensors(files, path, out, options)
    for warning in warnings:
        typer.echo(warning, err=True)
    typer.echo(out)
