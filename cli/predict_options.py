"""The options of `stmk predict`, with their help."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.config_file import read_config
from cli.grouped import CERTAINTY, CLEANING, PART, READING, TALKING, WRITING

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
Stack = Annotated[
    bool,
    typer.Option(
        "--stack",
        help="All files are maps of one frame at several biases, and so one "
        "result: stmk predict di*.sxm --stack --out found",
    ),
]
BeamOptions = Annotated[
    str | None,
    typer.Option(
        help="Find with Apache Beam's workers and these of its options, such "
        'as "--runner=DirectRunner --direct_num_workers=2 '
        '--direct_running_mode=multi_processing". See docs/many.md.',
        show_default=False,
        rich_help_panel=WRITING,
    ),
]
Direction = Annotated[
    Any,
    typer.Option(
        help="Fast scan: forward or backward.",
        parser=str,
        metavar="<word>",
        rich_help_panel=READING,
    ),
]
Bias = Annotated[
    str | None,
    typer.Option(
        help="Biases [V], in place of the file's: 0.1,0.2 or FIRST:LAST:STEP.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
BiasRange = Annotated[
    str | None,
    typer.Option(
        help="Use the maps from LOW,HIGH [V] alone, both included: "
        "--bias-range=-0.3,0.1",
        show_default=False,
        rich_help_panel=PART,
    ),
]
ExtentNm = Annotated[
    str | None,
    typer.Option(
        help="Height,width of the frame [nm], in place of the file's.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
Rows = Annotated[
    str | None,
    typer.Option(
        help="Search these rows alone, FIRST:END [px]: row 0 is the top, END "
        "is not in it. --rows 20:200; --rows :128 is the upper part.",
        show_default=False,
        rich_help_panel=PART,
    ),
]
Cols = Annotated[
    str | None,
    typer.Option(
        help="The same of the columns, from the left: --cols 0:128.",
        show_default=False,
        rich_help_panel=PART,
    ),
]
Roi = Annotated[
    str | None,
    typer.Option(
        help="The same in nm from the top left corner, TOP,LEFT,HEIGHT,WIDTH: "
        "--roi 2,0,10,12.5. Positions count from the whole file's corner "
        "all the same.",
        show_default=False,
        rich_help_panel=PART,
    ),
]
Level = Annotated[
    Any,
    typer.Option(
        help="Levelling: plane, quadratic, lines (plane and the median of "
        "each line), line-differences or none: --level lines",
        parser=str,
        metavar="<word>",
        rich_help_panel=CLEANING,
    ),
]
MaskLines = Annotated[
    bool | None,
    typer.Option(
        "--mask-lines/--no-mask-lines",
        help="Take noisy and dead scan lines as not measured. By default "
        "yes, but not with --level none.",
        show_default=False,
        rich_help_panel=CLEANING,
    ),
]
Terraces = Annotated[
    bool | None,
    typer.Option(
        "--terraces/--no-terraces",
        help="Find terraces, bring them to one height, and take the steps "
        "between them as not measured. By default yes, but not with --level "
        "none.",
        show_default=False,
        rich_help_panel=CLEANING,
    ),
]
Clip = Annotated[
    bool | None,
    typer.Option(
        "--clip/--no-clip",
        help="Clip tall objects at twelve robust standard deviations of a "
        "map. By default yes, but not with --level none.",
        show_default=False,
        rich_help_panel=CLEANING,
    ),
]
LeaveOut = Annotated[
    bool | None,
    typer.Option(
        "--leave-out/--keep-all-maps",
        help="Leave out maps of a stack that show nothing of what the others "
        "show. By default yes, but not with --level none.",
        show_default=False,
        rich_help_panel=CLEANING,
    ),
]
TipJumps = Annotated[
    bool,
    typer.Option(
        "--tip-jumps/--no-tip-jumps",
        help="Find tip jumps and take out their offsets.",
        rich_help_panel=CLEANING,
    ),
]
Streaks = Annotated[
    bool,
    typer.Option(
        "--streaks/--no-streaks",
        help="Take horizontal streaks shorter than a line as not measured.",
        rich_help_panel=CLEANING,
    ),
]
Register = Annotated[
    bool,
    typer.Option(
        "--register/--no-register",
        help="Find the drift between the maps of a stack and take it out: "
        "stmk predict di*.sxm --stack --register --out found",
        rich_help_panel=CLEANING,
    ),
]
Normalise = Annotated[
    Any,
    typer.Option(
        help="Divide each map by its own mean or std, or dI/dV by I/V "
        "(feenstra); or none.",
        parser=str,
        metavar="<word>",
        rich_help_panel=CLEANING,
    ),
]
Tiling = Annotated[
    Any,
    typer.Option(
        help="overlap, or the paper's: paper.",
        parser=str,
        metavar="<word>",
        rich_help_panel=CERTAINTY,
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
        rich_help_panel=CERTAINTY,
    ),
]
Surrogates = Annotated[
    int | None,
    typer.Option(
        help="context: number of phase-randomised surrogate maps (the file's "
        "spectrum, no impurity) to count false detections in. By default 5, "
        "fewer of large frames; 0 saves the time.",
        show_default=False,
        rich_help_panel=CERTAINTY,
    ),
]
GiveQ = Annotated[
    bool,
    typer.Option(
        "--give-q/--no-give-q",
        help="context: give the network the scattering wave vector q = 2k of "
        "every map. Without, it does with the maps alone, for surfaces whose "
        "k(V) is unknown; a visible FFT ring still sets the pixel.",
        rich_help_panel=CERTAINTY,
    ),
]
FitRings = Annotated[
    bool,
    typer.Option(
        "--fit-rings/--no-fit-rings",
        help="context: fit rings to all maps, and where the residual is white "
        "noise let the fit count for positions and probabilities. "
        "Without, all is what the SavedModel's `locate` gives.",
        rich_help_panel=CERTAINTY,
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
        rich_help_panel=CERTAINTY,
    ),
]
MaskRadius = Annotated[
    float,
    typer.Option(
        help="Of the disc around each impurity in the mask [nm].",
        rich_help_panel=WRITING,
    ),
]
Export = Annotated[
    str | None,
    typer.Option(
        help="Also write files for imagej, napari, gwyddion, or all: "
        "--export imagej,gwyddion",
        show_default=False,
        rich_help_panel=WRITING,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="YAML file of options by their names, such as options.yaml of a "
        "result, which repeats it. What is given here besides comes first.",
        show_default=False,
        is_eager=True,
        callback=read_config,
        rich_help_panel=TALKING,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON array, an object a file, in place of words.",
        rich_help_panel=TALKING,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print nothing but what went wrong.",
        rich_help_panel=TALKING,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Also print all that was done to the maps.",
        rich_help_panel=TALKING,
    ),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write report.html: a page with the maps, a threshold to move, "
        "and the table.",
        rich_help_panel=WRITING,
    ),
]
