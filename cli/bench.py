"""`stmk bench`: finders side by side on the same maps."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import words
from cli.quiet import quiet_imports
from stm_keras.models.shipped import model_path

_OUT = Path("out/bench")
_QUICK_OUT = Path("out/bench-quick")
_REAL = Path(__file__).parents[2] / "shared" / "data"
_QUICK_MAPS, _QUICK_TUNE_MAPS = 4, 3
_MAPS, _TUNE_MAPS = 20, 8


def bench(
    suite: Annotated[
        str | None,
        typer.Option(
            help="Suites, with commas: eq3, virtual, mismatch, surfaces, real, "
            "phase, waves. By default all but surfaces, waves, and phase, the "
            "diagram over density and noise.",
            show_default=False,
        ),
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(
            help="Only cells whose SUITE/NAME holds this text.",
            show_default=False,
        ),
    ] = None,
    finders: Annotated[
        str | None,
        typer.Option(
            help="Finders, with commas: log, trackpy, rings, pursuit, "
            "wang2020, context, context-tuned. By default all; with --quick "
            "all but pursuit, which takes long.",
            show_default=False,
        ),
    ] = None,
    maps: Annotated[
        int | None,
        typer.Option(
            help=f"Test stacks a cell. By default {_MAPS}; quick: "
            f"{_QUICK_MAPS}.",
            show_default=False,
        ),
    ] = None,
    tune_maps: Annotated[
        int | None,
        typer.Option(
            help=f"Tuning stacks a cell. By default {_TUNE_MAPS}; quick: "
            f"{_QUICK_TUNE_MAPS}.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all maps, 0 to 9999.")] = 0,
    choosing: Annotated[
        bool,
        typer.Option(
            "--choosing",
            help="Compare on the tuning stacks: for what is still to be "
            "chosen, as which network ships.",
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer cells and maps: minutes."),
    ] = False,
    processes: Annotated[
        int,
        typer.Option(
            help="Processes at once, one thread each; times then are those "
            "of one thread."
        ),
    ] = 1,
    real: Annotated[
        Path | None,
        typer.Option(
            help="Folder that holds cu111_co with the real files. By default "
            "shared/data beside the project, where it is there.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[
        str, typer.Option(help="Model of context: name or directory.")
    ] = "context",
    wang2020: Annotated[
        str, typer.Option(help="Model of wang2020: name or directory.")
    ] = "wang2020",
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep simulated experiments in. By default they "
            "are kept in memory.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the results; those in it are used again. By "
            f"default {_OUT}, with --quick {_QUICK_OUT}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare finders on maps that no training and no tuning has had.

    Suites: eq3 (the paper's Eq. 3), virtual (Au(111) experiments of three
    difficulties and densities, 1 to 126 maps), mismatch (what differs from
    the training), surfaces (what real surfaces add, kind by kind, with and
    without impurities: surfaces.md), real (files of Cu(111) and Ag(111)),
    phase, waves (the wave model: phases, masses, the judge; --maps are its
    fields, waves.md its tables). Stopped, the same command continues, but for
    waves. bench.md and bench.csv hold all that was done in the folder: of a
    suite what its last command did and what was made alike (numbers of maps,
    seed, weights); results.jsonl keeps the rest.

    Example: stmk bench --suite eq3,mismatch --maps 50 --processes 2
    """
    models = {"context": context, "wang2020": wang2020}
    roster = tuple((name, model_path(one)) for name, one in models.items())
    with quiet_imports():
        import stm_keras.detector  # noqa: F401 (TensorFlow, quietly)
        from stm_keras.studies.bench.cases import Role
        from stm_keras.studies.bench.command import DEFAULT_SUITES, run_command
        from stm_keras.studies.bench.finders import Roster, checked_finders
        from stm_keras.studies.bench.run import BenchOptions

    options = BenchOptions(
        finders=checked_finders(words(finders), quick=quick),
        n_test=_either(maps, _QUICK_MAPS if quick else _MAPS),
        n_tune=_either(tune_maps, _QUICK_TUNE_MAPS if quick else _TUNE_MAPS),
        role=Role.TUNE if choosing else Role.TEST,
        seed=seed,
        processes=processes,
        roster=Roster(roster),
    )
    for path in run_command(
        options,
        out or (_QUICK_OUT if quick else _OUT),
        suites=words(suite) or DEFAULT_SUITES,
        cells=cells,
        quick=quick,
        real=real or (_REAL if _REAL.is_dir() else None),
        cache=cache,
        report=typer.echo,
    ):
        typer.echo(path)


def _either(value: int | None, default: int) -> int:
    return default if value is None else value
