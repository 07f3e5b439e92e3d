"""Phase diagram: Jaccard index over density and white noise."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stm_keras.bench.case import Case, Cell, Role, case_rng
from stm_keras.bench.result import CellResult
from stm_keras.bench.virtual import evenly_spaced, experiment
from stm_keras.files import atomic_file
from stm_keras.reproduction.tables import write_rows
from stm_keras.simulation.instrument import WhiteNoise
from stm_keras.simulation.ranges import spread
from stm_keras.simulation.short_range import add_cores
from stm_keras.simulation.virtual_experiment import VirtualConfig
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_SIZE_PX

SUITE = "phase"
IMPURITIES = (8, 16, 32, 64, 128)
"""To be expected in 80 x 80 px."""

NOISE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations of white noise, in that of the waves."""

N_MAPS = 16
_BIAS_V = tuple(
    PAPER_BIAS_V[i] for i in evenly_spaced(N_MAPS, len(PAPER_BIAS_V))
)
_DPI = 200
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.titlesize": 9}


def phase_case(
    n_impurities: int,
    noise: float,
    cache: Path | None,
    role: Role,
    seed: int,
    number: int,
) -> Case:
    """Waves, cores and white noise.

    Args:
        n_impurities: to be expected in the frame.
        noise: standard deviation, in that of the waves.
        cache: see `stm_keras.bench.virtual.experiment`.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
    """
    config = VirtualConfig(
        n_impurities=n_impurities, difficulty="clean", bias_v=_BIAS_V
    )
    stream = f"phase {n_impurities}"
    whole = experiment(config, stream, role, seed, number, cache)
    # A word of its own: the same numbers must not draw scene and noise.
    rng = case_rng(f"{stream} noise", role, seed, number)
    of_cores, of_noise = rng.spawn(2)
    k, scale = whole.wave_numbers, spread(whole.maps) or 1.0
    maps = add_cores(whole.maps, whole.positions, k, of_cores, scale=scale)
    maps = WhiteNoise(amplitude=(noise, noise))(maps, of_noise, scale=scale)
    return Case(maps, k, whole.positions)


def phase_name(n_impurities: int, noise: float) -> str:
    """Name of a cell."""
    return f"{n_impurities} impurities, noise {noise:g}"


def phase_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of the diagram.

    Args:
        cache: see `stm_keras.bench.virtual.experiment`.
    """
    return [
        Cell(
            SUITE,
            phase_name(n, noise),
            functools.partial(phase_case, n, noise, cache),
            source=f"phase {n}",
        )
        for n in IMPURITIES
        for noise in NOISE
    ]


def phase_rows(
    results: Sequence[CellResult], ours: str
) -> list[dict[str, Any]]:
    """The diagram as a table, a row a cell.

    Args:
        results: of the suite, of any finders.
        ours: name of the finder that the others are set against.

    Returns:
        `density_per_px2`, `noise`, `jaccard` of ours, the best of the
        others' and its name; NaN where a result is missing.
    """
    rows = []
    for n in IMPURITIES:
        for noise in NOISE:
            name = phase_name(n, noise)
            found = {
                r.finder: r.score.jaccard
                for r in results
                if (r.suite, r.cell) == (SUITE, name)
            }
            others = {
                finder: jaccard
                for finder, jaccard in found.items()
                if not finder.startswith("context")
            }
            best = max(others, key=lambda f: others[f], default="")
            rows.append(
                {
                    "density_per_px2": n / PAPER_SIZE_PX**2,
                    "noise": noise,
                    "jaccard": found.get(ours, np.nan),
                    "best_other": others.get(best, np.nan),
                    "best_other_name": best,
                }
            )
    return rows


def write_phase(
    results: Sequence[CellResult], ours: str, out: Path
) -> list[Path]:
    """Write the diagram as CSV and PNG.

    Args:
        results: see `phase_rows`.
        ours: likewise.
        out: folder.

    Returns:
        The two files; none without a result of the suite.
    """
    if not any(result.suite == SUITE for result in results):
        return []
    rows = phase_rows(results, ours)
    table, picture = out / "phase.csv", out / "phase.png"
    write_rows(table, rows)
    with atomic_file(picture) as temporary:
        _draw(rows, ours, temporary)
    return [table, picture]


def _draw(rows: Sequence[dict[str, Any]], ours: str, path: Path) -> None:
    shape = len(IMPURITIES), len(NOISE)
    panels = {
        ours: np.array([row["jaccard"] for row in rows]),
        "best of the others": np.array([row["best_other"] for row in rows]),
    }
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 3.3), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(1, 2, sharey=True)
        colours = ScalarMappable(Normalize(0, 1))
        for axes, (name, values) in zip(every, panels.items(), strict=True):
            table = values.reshape(shape)
            axes.imshow(table, vmin=0, vmax=1, origin="lower")
            for (row, col), value in np.ndenumerate(table):
                if np.isfinite(value):
                    colour = "black" if value > 0.6 else "white"
                    axes.text(
                        col, row, f"{value:.2f}", ha="center", color=colour
                    )
            axes.set_title(name)
            axes.set_xticks(range(shape[1]), [f"{n:g}" for n in NOISE])
            axes.set_xlabel("white noise [std of the waves]")
        every[0].set_yticks(
            range(shape[0]),
            [f"{1e3 * n / PAPER_SIZE_PX**2:.2g}" for n in IMPURITIES],
        )
        every[0].set_ylabel("impurities per 1000 px²")
        figure.colorbar(colours, ax=every, label="Jaccard index")
        figure.savefig(path, dpi=_DPI)
