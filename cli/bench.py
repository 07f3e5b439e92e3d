"""`stmk bench`: finders side by side on the same maps."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_MODEL, words
from cli.quiet import quiet_imports
from stm_keras.errors import InputError

_OUT = Path("out/bench")
_QUICK_OUT = Path("out/bench-quick")
_CONTEXT = DEFAULT_MODEL
_WANG2020 = DEFAULT_MODEL.with_name("wang2020")
_REAL = Path(__file__).parents[2] / "shared" / "data"
_QUICK_MAPS, _QUICK_TUNE_MAPS = 4, 3
_MAPS, _TUNE_MAPS = 20, 8


def bench(
    suite: Annotated[
        str | None,
        typer.Option(
            help="Suites, with commas: eq3, virtual, mismatch, real, phase, "
            "waves. By default all but phase, the diagram over density and "
            "noise, and waves.",
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
        Path, typer.Option(help="Model directory of context.")
    ] = _CONTEXT,
    wang2020: Annotated[
        Path, typer.Option(help="Model directory of wang2020.")
    ] = _WANG2020,
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
    the training), real (Cu(111) files), phase, waves (the wave model: phases,
    masses, the judge; --maps are its fields, waves.md its tables). Stopped,
    the same command continues, but for waves. bench.md and bench.csv hold all
    that was done in the folder: of a suite what its last command did and what
    was made alike (numbers of maps, seed, weights); results.jsonl keeps the
    rest.

    Example: stmk bench --suite eq3,mismatch --maps 50 --processes 2
    """
    with quiet_imports():
        import stm_keras.detector  # noqa: F401 (TensorFlow, quietly)
        from stm_keras.studies.bench.command import DEFAULT_SUITES, run_command
        from stm_keras.studies.bench.finders import Roster, checked_finders
        from stm_keras.studies.bench.run import BenchOptions

    for given, default in ((context, _CONTEXT), (wang2020, _WANG2020)):
        if given != default and not given.is_dir():
            raise InputError(f"No such model directory: {given}.")
    options = BenchOptions(
        finders=checked_finders(words(finders), quick=quick),
        n_test=_either(maps, _QUICK_MAPS if quick else _MAPS),
        n_tune=_either(tune_maps, _QUICK_TUNE_MAPS if quick else _TUNE_MAPS),
        seed=seed,
        processes=processes,
        roster=Roster((("context", context), ("wang2020", wang2020))),
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
