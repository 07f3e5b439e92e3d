"""The options of `stmk bench`, with their help."""

from pathlib import Path
from typing import Annotated

import typer

OUT = Path("out/bench")
QUICK_OUT = Path("out/bench-quick")
MAPS, TUNE_MAPS = 20, 8
QUICK_MAPS, QUICK_TUNE_MAPS = 4, 3

Suites = Annotated[
    str | None,
    typer.Option(
        help="Suites, with commas: eq3, virtual, mismatch, surfaces, real, "
        "phase, waves. By default all but surfaces, waves, and phase, the "
        "diagram over density and noise.",
        show_default=False,
    ),
]
Cells = Annotated[
    str | None,
    typer.Option(
        help="Only cells whose SUITE/NAME holds this text.",
        show_default=False,
    ),
]
Finders = Annotated[
    str | None,
    typer.Option(
        help="Finders, with commas: log, trackpy, rings, pursuit, "
        "wang2020, context, context-tuned. By default all; with --quick "
        "all but pursuit, which takes long.",
        show_default=False,
    ),
]
Maps = Annotated[
    int | None,
    typer.Option(
        help=f"Test stacks a cell. By default {MAPS}; quick: {QUICK_MAPS}.",
        show_default=False,
    ),
]
TuneMaps = Annotated[
    int | None,
    typer.Option(
        help=f"Tuning stacks a cell. By default {TUNE_MAPS}; quick: "
        f"{QUICK_TUNE_MAPS}.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Of all maps, 0 to 9999.")]
Choosing = Annotated[
    bool,
    typer.Option(
        "--choosing",
        help="Compare on the tuning stacks: for what is still to be "
        "chosen, as which network ships.",
    ),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="Fewer cells and maps: minutes."),
]
Processes = Annotated[
    int,
    typer.Option(
        help="Processes at once, one thread each; times then are those "
        "of one thread."
    ),
]
Real = Annotated[
    Path | None,
    typer.Option(
        help="Folder that holds cu111_co with the real files. By default "
        "shared/data beside the project, where it is there.",
        show_default=False,
    ),
]
Context = Annotated[
    str, typer.Option(help="Model of context: name or directory.")
]
Wang2020 = Annotated[
    str, typer.Option(help="Model of wang2020: name or directory.")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder to keep simulated experiments in. By default they "
        "are kept in memory.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the results; those in it are used again. By "
        f"default {OUT}, with --quick {QUICK_OUT}.",
        show_default=False,
    ),
]
