"""`stmk inspect`: what a file is, and what is visible in it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Channel, number_range, numbers
from cli.predict_options import Bias, Direction, ExtentNm
from stm_keras.files import check_paths


def inspect(
    files: Annotated[
        list[Path],
        typer.Argument(help="Instrument files; a folder stands for its files."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory for pictures, NAME.inspect.png for each file: "
            "maps, their Fourier transforms with q, and k(V). Without "
            "it, no picture is made.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Also write the reports to this file, every map in it.",
            show_default=False,
        ),
    ] = None,
    surface: Annotated[
        str | None,
        typer.Option(
            help="Check the rings against this one: au111, cu111, ag111, or "
            "m*/m_e and E0 [eV] of another: 0.38,-0.44.",
            show_default=False,
        ),
    ] = None,
    channel: Channel = None,
    direction: Direction = "forward",
    bias: Bias = None,
    extent_nm: ExtentNm = None,
) -> None:
    """Say what instrument files are and what is visible in them.

    Size, channels, biases, q = 2k from the FFT ring of every map, k(V)
    fitted to it, the --surface that fits, and warnings.

    Example: stmk inspect scan.sxm --out inspected
    """
    check_paths(files)
    from stm_keras.inspection.report import inspect_files
    from stm_keras.io.recording import ReadOptions

    read = ReadOptions(
        channel=channel,
        direction=direction,
        bias_v=numbers(bias, "--bias"),
        extent_nm=number_range(extent_nm, "--extent-nm"),
    )
    for line in inspect_files(
        files, read, surface=surface, out=out, json_path=json
    ):
        typer.echo(line)
