"""`stmk waves`: what stands around impurities at known places."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Channel, number_range, numbers
from cli.predict_options import Bias, Direction, ExtentNm, Level
from cli.quiet import quiet_imports
from stm_keras.files import check_paths


def waves(
    files: Annotated[
        list[Path],
        typer.Argument(help="Instrument files of one frame."),
    ],
    positions: Annotated[
        Path,
        typer.Option(
            help="Table of the impurities: row,col [px]; positions.csv of stmk "
            "predict is one. They are taken to be good to 0.05 nm.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the results.")] = Path(
        "waves"
    ),
    surface: Annotated[
        str | None,
        typer.Option(
            help="Its k(V) is where the fit of q begins: au111, cu111, ag111, "
            "or m*/m_e and E0 [eV] of another: 0.38,-0.44. Without it, the "
            "FFT ring of each map is.",
            show_default=False,
        ),
    ] = None,
    single: Annotated[
        bool,
        typer.Option(
            "--single-scattering",
            help="Waves do not scatter between the impurities.",
        ),
    ] = False,
    core_nm: Annotated[
        float | None,
        typer.Option(
            help="Leave out what is nearer to a position [nm]. By default as "
            "much as each object asks for.",
            show_default=False,
        ),
    ] = None,
    level: Level = "plane",
    channel: Channel = None,
    direction: Direction = "forward",
    bias: Bias = None,
    extent_nm: ExtentNm = None,
) -> None:
    """Fit the waves that impurities scatter: phases, q, effective mass.

    Writes scattering.csv, dispersion.csv, waves.json, kernel.npz, waves.npz
    and waves.png.

    Example: stmk waves scan.sxm --positions positions.csv --surface cu111
    """
    check_paths(files)
    check_paths([positions])
    with quiet_imports():
        from stm_keras.io.recording import ReadOptions
        from stm_keras.waves.command import waves_of_files

    read = ReadOptions(
        channel=channel,
        direction=direction,
        bias_v=numbers(bias, "--bias"),
        extent_nm=number_range(extent_nm, "--extent-nm"),
    )
    for line in waves_of_files(
        files,
        positions,
        out,
        read,
        surface=surface,
        level=level,
        multiple=not single,
        core_nm=core_nm,
    ):
        typer.echo(line)
