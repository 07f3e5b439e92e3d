"""`stmk inspect`: what a file is, and what is visible in it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Channel, number_range, numbers


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
    direction: Annotated[
        Any,
        typer.Option(
            help="Fast scan: forward or backward.", parser=str, metavar="<word>"
        ),
    ] = "forward",
    bias: Annotated[
        str | None,
        typer.Option(help="Biases [V]: 0.1,0.2 or FIRST:LAST:STEP."),
    ] = None,
    extent_nm: Annotated[
        str | None, typer.Option(help="Height,width of the frame [nm].")
    ] = None,
) -> None:
    """Say what instrument files are and what is visible in them.

    Size, channels, biases, q = 2k from the FFT ring of every map, k(V)
    fitted to it, the --surface that fits, and warnings.

    Example: stmk inspect scan.sxm --out inspected
    """
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
