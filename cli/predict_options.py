"""The options of `stmk predict`, with their help."""

from pathlib import Path
from typing import Annotated, Any

import typer

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Files of any known format, or folders of them.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Directory for the result; with several files or a folder, one "
        "folder a file in it, and summary.csv.",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Option(
        help="Model directory. By default saved_models/context of the "
        "project's folder.",
        show_default=False,
    ),
]
Stack = Annotated[
    bool,
    typer.Option(
        "--stack",
        help="All files are maps of one frame at several biases, and so one "
        "result: stmk predict di*.sxm --stack --out found",
    ),
]
Direction = Annotated[
    Any,
    typer.Option(
        help="Fast scan: forward or backward.", parser=str, metavar="<word>"
    ),
]
Bias = Annotated[
    str | None,
    typer.Option(
        help="Biases [V], in place of the file's: 0.1,0.2 or FIRST:LAST:STEP.",
        show_default=False,
    ),
]
BiasRange = Annotated[
    str | None,
    typer.Option(
        help="Use the maps from LOW,HIGH [V] alone, both included: "
        "--bias-range=-0.3,0.1",
        show_default=False,
    ),
]
ExtentNm = Annotated[
    str | None,
    typer.Option(
        help="Height,width of the frame [nm], in place of the file's.",
        show_default=False,
    ),
]
Rows = Annotated[
    str | None,
    typer.Option(
        help="Search these rows alone, FIRST:END [px]: row 0 is the top, END "
        "is not in it. --rows 20:200; --rows :128 is the upper part.",
        show_default=False,
    ),
]
Cols = Annotated[
    str | None,
    typer.Option(
        help="The same of the columns, from the left: --cols 0:128.",
        show_default=False,
    ),
]
Roi = Annotated[
    str | None,
    typer.Option(
        help="The same in nm from the top left corner, TOP,LEFT,HEIGHT,WIDTH: "
        "--roi 2,0,10,12.5. Positions count from the whole file's corner "
        "all the same.",
        show_default=False,
    ),
]
Level = Annotated[
    Any,
    typer.Option(
        help="Levelling: plane, quadratic, lines (plane and the median of "
        "each line), line-differences or none: --level lines",
        parser=str,
        metavar="<word>",
    ),
]
MaskLines = Annotated[
    bool | None,
    typer.Option(
        "--mask-lines/--no-mask-lines",
        help="Take noisy and dead scan lines as not measured. By default "
        "yes, but not with --level none.",
        show_default=False,
    ),
]
TipJumps = Annotated[
    bool,
    typer.Option(
        "--tip-jumps/--no-tip-jumps",
        help="Find tip jumps and take out their offsets.",
    ),
]
Streaks = Annotated[
    bool,
    typer.Option(
        "--streaks/--no-streaks",
        help="Take horizontal streaks shorter than a line as not measured.",
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register/--no-register",
        help="Find the drift between the maps of a stack and take it out: "
        "stmk predict di*.sxm --stack --register --out found",
    ),
]
Normalise = Annotated[
    Any,
    typer.Option(
        help="Divide each map by its own mean or std, or dI/dV by I/V "
        "(feenstra); or none.",
        parser=str,
        metavar="<word>",
    ),
]
Tiling = Annotated[
    Any,
    typer.Option(
        help="overlap, or the paper's: paper.", parser=str, metavar="<word>"
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Least probability (context), or least S in its standard "
        "deviations (wang2020); by default the model's.",
        show_default=False,
    ),
]
FalseDiscoveryRate = Annotated[
    float | None,
    typer.Option(
        help="context: select the surest detections, so many that this "
        "expected fraction is false, such as 0.05; instead of --threshold.",
        show_default=False,
    ),
]
Surrogates = Annotated[
    int | None,
    typer.Option(
        help="context: number of phase-randomised surrogate maps (the file's "
        "spectrum, no impurity) to count false detections in. By default 5, "
        "fewer of large frames; 0 saves the time.",
        show_default=False,
    ),
]
GiveQ = Annotated[
    bool,
    typer.Option(
        "--give-q/--no-give-q",
        help="context: give the network the scattering wave vector q = 2k of "
        "every map. Without, it does with the maps alone, for surfaces whose "
        "k(V) is unknown; a visible FFT ring still sets the pixel.",
    ),
]
FitRings = Annotated[
    bool,
    typer.Option(
        "--fit-rings/--no-fit-rings",
        help="context: fit rings to all maps, and where the residual is white "
        "noise let the fit count for positions and probabilities. "
        "Without, all is what the SavedModel's `locate` gives.",
    ),
]
Waves = Annotated[
    bool,
    typer.Option(
        "--waves/--no-waves",
        help="context: let the waves around each candidate have their say, "
        "and write what they tell: columns wave_evidence and species, "
        "scattering.csv, dispersion.csv, waves.png, m* and E0 in "
        "positions.json. Takes seconds more a file; see docs/waves.md.",
    ),
]
MaskRadius = Annotated[
    float,
    typer.Option(help="Of the disc around each impurity in the mask [nm]."),
]
Export = Annotated[
    str | None,
    typer.Option(
        help="Also write files for imagej, napari, gwyddion, or all: "
        "--export imagej,gwyddion",
        show_default=False,
    ),
]
