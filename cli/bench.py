"""`stmk bench`: finders side by side on the same maps."""

from pathlib import Path

import typer

from cli.bench_options import (
    MAPS,
    OUT,
    QUICK_MAPS,
    QUICK_OUT,
    QUICK_TUNE_MAPS,
    TUNE_MAPS,
    Cache,
    Cells,
    Choosing,
    Context,
    Finders,
    Maps,
    Out,
    Processes,
    Quick,
    Real,
    Seed,
    Suites,
    TuneMaps,
    Wang2020,
)
from cli.options import words
from cli.quiet import quiet_imports
from stm_keras.models.shipped import model_path

_REAL = Path(__file__).parents[2] / "shared" / "data"


def bench(
    suite: Suites = None,
    cells: Cells = None,
    finders: Finders = None,
    maps: Maps = None,
    tune_maps: TuneMaps = None,
    seed: Seed = 0,
    choosing: Choosing = False,
    quick: Quick = False,
    processes: Processes = 1,
    real: Real = None,
    context: Context = "context",
    wang2020: Wang2020 = "wang2020",
    cache: Cache = None,
    out: Out = None,
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
        n_test=_either(maps, QUICK_MAPS if quick else MAPS),
        n_tune=_either(tune_maps, QUICK_TUNE_MAPS if quick else TUNE_MAPS),
        role=Role.TUNE if choosing else Role.TEST,
        seed=seed,
        processes=processes,
        roster=Roster(roster),
    )
    for path in run_command(
        options,
        out or (QUICK_OUT if quick else OUT),
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
