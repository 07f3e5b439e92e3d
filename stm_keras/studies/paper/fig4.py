"""Fig. 4 of arXiv:2006.15898: four arms, ten trainings each, every epoch."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.studies.paper.criteria import (
    RULE,
    RULES,
    Estimate,
    choose,
    mean_interval,
    oracle,
)
from stm_keras.studies.paper.drawing import (
    STYLE,
    band,
    letter,
    new_figure,
    save,
)
from stm_keras.studies.paper.experiments import load_experiments
from stm_keras.studies.paper.run import (
    DONE,
    EXPERIMENTS,
    RUNS,
    Report,
    check_processes,
    collect,
    run_all,
)
from stm_keras.studies.paper.scores import (
    GRID,
    LOG,
    RINGS,
    score_knowing_nothing,
    score_without_network,
)
from stm_keras.studies.paper.settings import ARMS, Study, parse_run
from stm_keras.studies.tables import (
    Row,
    markdown_table,
    read_rows,
    where,
    write_rows,
)

PAIRS = (
    ("noise", "neither"),
    ("confidence", "neither"),
    ("both", "noise"),
    ("both", "confidence"),
    ("both", "neither"),
)
"""Arms that are compared, the one with more of the two first."""

METRICS = {
    "hit_ratio_em": "hit ratio, EM",
    "hit_ratio_truth": "hit ratio, truth",
    "jaccard_em": "Jaccard, EM",
    "jaccard_truth": "Jaccard, truth",
    "jaccard_top_truth": "Jaccard of the top n, truth",
    "precision_truth": "precision, truth",
    "recall_truth": "recall, truth",
    "chance": "hit ratio by chance",
    "n_maxima": "maxima of S a frame",
    "entropy": "entropy [nat]",
}
_MAIN = ("hit_ratio_em", "jaccard_truth", "jaccard_top_truth")

_LINES = {
    LOG: ("#555555", (0, (1, 1.2)), "LoG, RMS map"),
    RINGS: ("#111111", (0, (5, 2)), "matched filter"),
    GRID: ("#c0392b", (0, (3, 1.5, 1, 1.5)), "grid, knows nothing"),
}
_CURVES = (
    ("a", "hit_ratio_em", "paper's hit ratio, EM reference"),
    ("b", "hit_ratio_truth", "paper's hit ratio, true positions"),
    ("d", "jaccard_em", "Jaccard index, EM reference"),
    ("e", "jaccard_truth", "Jaccard index, true positions"),
)
_COMPARED = (
    ("hit_ratio_em", "hit ratio, EM", "o"),
    ("jaccard_truth", "Jaccard, truth", "D"),
)


def run_fig4(
    study: Study,
    out: str | Path,
    *,
    processes: int,
    report: Report = lambda line: None,
) -> list[Path]:
    """Train what is missing, then write tables and picture.

    Args:
        study: its size.
        out: folder; what it holds of the same study is used.
        processes: trainings at once.
        report: given what is done.

    Returns:
        What was written, the picture first.

    Raises:
        InputError: see `run_all`.
    """
    jobs = study.jobs()
    check_processes(processes)
    out = writable_directory(out)
    report("simulating the experiments ...")
    experiments = load_experiments(study.experiment, out / EXPERIMENTS)
    run_all(jobs, out, processes=processes, report=report)
    fronts = {name: _front(name) for name in jobs}
    points = collect(out, fronts, "points")
    lines = score_without_network(experiments)
    lines += score_knowing_nothing(experiments.shown)
    return _write(out, study, points, collect(out, fronts, "frames"), lines)


def run_one(
    study: Study,
    out: str | Path,
    only: str,
    *,
    compare: str | Path | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Train one run of a study, where it is missing.

    Args:
        study: its size.
        out: folder; what it holds of the same study is used.
        only: ARM:RUN.
        compare: `fig4_points.csv` of an earlier study, to hold it against.
        report: given what is done.

    Returns:
        The run's points.

    Raises:
        InputError: as `run_fig4`, and for a run that is not in the table.
    """
    name = parse_run(only, study.runs)
    jobs = {name: study.jobs()[name]}
    out = writable_directory(out)
    report("simulating the experiments ...")
    load_experiments(study.experiment, out / EXPERIMENTS)
    run_all(jobs, out, processes=1, report=report)
    path = out / RUNS / name / "points.csv"
    if compare is not None:
        of = _front(name)
        again = compare_run(path, compare, arm=of["arm"], run=of["run"])
        report(f"{only} against {compare}: {again}")
    return path


def _front(name: str) -> Row:
    arm_name, _, run = name.rpartition("-")
    return {"arm": arm_name, "run": int(run), "seed": int(run)}


def _write(
    out: Path,
    study: Study,
    points: Sequence[Row],
    frames: Sequence[Row],
    lines: Sequence[Row],
) -> list[Path]:
    names = ("points.csv", "frames.csv", "lines.csv", "summary.md")
    paths = [out / f"fig4_{name}" for name in names]
    for path, rows in zip(paths, (points, frames, lines), strict=False):
        write_rows(path, rows)
    with atomic_file(paths[-1]) as temporary:
        text = summarise(points, lines, made=_made(out, study))
        temporary.write_text(text)
    picture = out / "fig4.png"
    draw_fig4(picture, points, lines)
    return [picture, *paths]


def _made(out: Path, study: Study) -> str:
    """Where, when, and how long the trainings took."""
    stored = [
        json.loads((out / RUNS / name / DONE).read_text())
        for name in study.jobs()
    ]
    cpu = sum(run["cpu_s"] for run in stored) / 60
    wall = sum(run["wall_s"] for run in stored) / 60
    return (
        f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}: "
        f"{len(stored)} trainings of {study.epochs} epochs of {study.steps} "
        f"steps, {cpu:.0f} min of processor time, {wall:.0f} min on the clock "
        "if done one after another; the machine did other work beside it"
    )


class Repeat(NamedTuple):
    """Numbers of two tables, held against each other.

    Attributes:
        equal: how many are the same to the last bit.
        total: how many there are.
        largest: the largest difference, in the numbers' own units.
    """

    equal: int
    total: int
    largest: float

    def __str__(self) -> str:
        if self.equal == self.total:
            return f"all {self.total} numbers are the same, bit for bit"
        return (
            f"{self.equal} of {self.total} numbers are the same bit for bit; "
            f"the largest difference is {self.largest:.3g} (another processor "
            "or library adds in another order)"
        )


def compare_run(
    again: str | Path, stored: str | Path, *, arm: str, run: int
) -> Repeat:
    """Compare a run's points with those of a study's table.

    Args:
        again: `points.csv` of the run.
        stored: `fig4_points.csv` of a study.
        arm: of the run.
        run: its number.

    Raises:
        InputError: where the table lacks the run, or has other epochs.
    """
    before = where(read_rows(stored), arm=arm, run=run)
    after = read_rows(again)
    if len(before) != len(after):
        raise InputError(
            f"{stored} has {len(before)} rows of {arm}:{run} and {again} has "
            f"{len(after)}: they are not the same study."
        )
    return _compare(before, after)


def _compare(before: Sequence[Row], after: Sequence[Row]) -> Repeat:
    pairs = [
        (old.get(name), value)
        for old, new in zip(before, after, strict=True)
        for name, value in new.items()
        if not isinstance(value, str)
    ]
    gaps = [abs(a - b) for a, b in pairs if a is not None and a != b]
    missing = sum(a is None for a, _ in pairs)
    return Repeat(
        len(pairs) - len(gaps) - missing,
        len(pairs),
        float("inf") if missing else max(gaps, default=0.0),
    )


def summarise(points: Sequence[Row], lines: Sequence[Row], *, made: str) -> str:
    """A page of tables.

    Args:
        points: every run's rows.
        lines: of the methods without a network.
        made: when and where, one line.
    """
    parts = [f"({made})"]
    for name in ("shown", "unseen"):
        if where(points, set=name):
            parts += [
                f"Last epoch, {name} experiments",
                _arms_table(where(points, set=name)),
            ]
    parts += [
        "Differences at the last epoch, paired by seed",
        _pairs_table(points),
        "Without a network",
        _lines_table(lines),
        "Epoch kept by a rule that knows no truth",
        _rules_table(points),
        "Guard: runs in which it warns at the last epoch",
        _guard_table(points),
    ]
    return "\n\n".join(parts) + "\n"


def curve(rows: Sequence[Row], arm: str, metric: str) -> np.ndarray:
    """A metric of an arm, float64 [runs, epochs]."""
    return np.array(
        [[row[metric] for row in run] for run in _runs(rows, arm)], np.float64
    )


def _runs(rows: Sequence[Row], arm: str) -> list[list[Row]]:
    """Rows of each run of an arm, by epoch."""
    mine = where(rows, arm=arm)
    return [
        where(mine, run=run) for run in sorted({row["run"] for row in mine})
    ]


def paired(
    points: Sequence[Row], more: str, less: str, metric: str
) -> Estimate:
    """Difference of two arms on the shown experiments, paired by seed."""
    shown = where(points, set="shown")
    gap = curve(shown, more, metric) - curve(shown, less, metric)
    return mean_interval(gap[:, -1])


def _arms_table(rows: Sequence[Row]) -> str:
    return markdown_table(
        ["mean [95 % CI]", *ARMS],
        [
            [label]
            + [str(mean_interval(curve(rows, a, metric)[:, -1])) for a in ARMS]
            for metric, label in METRICS.items()
        ],
    )


def _pairs_table(points: Sequence[Row]) -> str:
    return markdown_table(
        ["difference [95 % CI]", *(METRICS[name] for name in _MAIN)],
        [
            [f"{more} − {less}"]
            + [paired(points, more, less, name).signed for name in _MAIN]
            for more, less in PAIRS
        ],
    )


def _lines_table(lines: Sequence[Row]) -> str:
    names = (
        "hit_ratio_em",
        "chance",
        "n_maxima",
        "jaccard_all_em",
        "jaccard_truth",
        "jaccard_top_truth",
    )
    head = ["method", "hit ratio, EM", "by chance", "maxima a frame"]
    head += ["Jaccard of all maxima, EM", "Jaccard, truth", "of the top n"]
    return markdown_table(
        head,
        [
            [row["method"]] + [f"{row[name]:.3f}" for name in names]
            for row in where(lines, set="shown")
        ],
    )


def _rules_table(points: Sequence[Row]) -> str:
    shown = where(points, set="shown")
    head = ["rule: Jaccard (truth) of the epoch kept", *ARMS, "all"]
    rows = []
    for rule in RULES:
        kept = [_kept(shown, arm, rule) for arm in ARMS]
        name = f"**{rule}**" if rule == RULE else rule
        rows.append([name, *_estimates(kept)])
    best = [_best(shown, arm, "jaccard_truth") for arm in ARMS]
    rows.append(["best epoch by the truth", *_estimates(best)])
    gain = [_kept(shown, arm, RULE) - _kept(shown, arm, "last") for arm in ARMS]
    every = [*gain, np.concatenate(gain)]
    cells = [mean_interval(values).signed for values in every]
    rows.append([f"{RULE} − last", *cells])
    return markdown_table(head, rows)


def _estimates(by_arm: Sequence[np.ndarray]) -> list[str]:
    every = [*by_arm, np.concatenate(by_arm)]
    return [str(mean_interval(values)) for values in every]


def _kept(rows: Sequence[Row], arm: str, rule: str) -> np.ndarray:
    return np.array(
        [choose(run, rule).row["jaccard_truth"] for run in _runs(rows, arm)]
    )


def _best(rows: Sequence[Row], arm: str, metric: str) -> np.ndarray:
    return np.array(
        [oracle(run, metric).row[metric] for run in _runs(rows, arm)]
    )


def _guard_table(points: Sequence[Row]) -> str:
    shown = where(points, set="shown")
    rows = []
    for arm in ARMS:
        kept = [choose(run, "last") for run in _runs(shown, arm)]
        warned = [c.row["precision_truth"] for c in kept if c.nonsense]
        passed = [c.row["precision_truth"] for c in kept if not c.nonsense]
        rows.append(
            [
                arm,
                f"{len(warned)} of {len(kept)}",
                f"{np.mean(warned):.3f}" if warned else "",
                f"{np.mean(passed):.3f}" if passed else "",
            ]
        )
    head = ["arm", "warned", "precision where warned", "where not"]
    return markdown_table(head, rows)


def draw_fig4(
    path: str | Path, points: Sequence[Row], lines: Sequence[Row]
) -> None:
    """Draw Fig. 4 with statistics.

    Args:
        path: PNG to write.
        points: every run's rows, see `stm_keras.studies.paper.fig4`.
        lines: rows of the methods without a network.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(10.4, 5.8)
        panels = figure.subplot_mosaic([list("abc"), list("def")])
        shown = where(points, set="shown")
        for key, metric, title in _CURVES:
            _curves(panels[key], shown, metric)
            _horizontal(panels[key], where(lines, set="shown"), metric)
            _limit(panels[key])
            letter(panels[key], key, title)
        _entropies(panels["c"], shown)
        letter(panels["c"], "c", "entropy of the prediction [nat]")
        _differences(panels["f"], points)
        letter(panels["f"], "f", "differences at the last epoch, 95 % CI")
        handles, labels = panels["a"].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=len(labels),
            fontsize=8,
        )
    save(figure, path)


def _epochs(rows: Sequence[Row]) -> np.ndarray:
    return np.array(sorted({row["epoch"] for row in rows}))


def _curves(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    epochs = _epochs(rows)
    for arm in ARMS.values():
        band(
            axes,
            epochs,
            curve(rows, arm.name, metric),
            arm.colour,
            arm.name,
        )
    axes.set_xlabel("epoch")
    axes.set_xlim(0, len(epochs) + 0.5)
    axes.grid(axis="y", lw=0.3, color="#cccccc")


def _horizontal(axes: Axes, lines: Sequence[Row], metric: str) -> None:
    for method, (colour, style, label) in _LINES.items():
        (row,) = where(lines, method=method)
        axes.axhline(row[metric], color=colour, ls=style, lw=1, label=label)


def _limit(axes: Axes) -> None:
    """Leave out a tenth at an end that holds nothing, as often as may be."""
    drawn = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    low = np.floor(10 * (drawn.min() - 0.05)) / 10
    high = np.ceil(10 * (drawn.max() + 0.05)) / 10
    axes.set_ylim(max(low, 0.0), min(high, 1.0))


def _entropies(axes: Axes, rows: Sequence[Row]) -> None:
    epochs = _epochs(rows)
    for arm in ARMS.values():
        values = curve(rows, arm.name, "entropy")
        fake = curve(rows, arm.name, "entropy_surrogate")
        band(axes, epochs, values, arm.colour)
        axes.plot(epochs, fake.mean(axis=0), color=arm.colour, ls=":", lw=1.2)
    axes.plot([], [], color="#444444", label="experiment")
    axes.plot([], [], color="#444444", ls=":", lw=1.2, label="its surrogates")
    axes.legend(loc="upper right")
    axes.set_xlabel("epoch")
    axes.set_xlim(0, len(epochs) + 0.5)
    axes.set_ylim(0, 6.2)
    axes.axhline(np.log(400), color="#999999", lw=0.6)
    axes.annotate(
        "ln 400: uniform",
        (0.4, np.log(400)),
        textcoords="offset points",
        xytext=(0, 2),
        fontsize=6.5,
        color="#666666",
    )


def _differences(axes: Axes, points: Sequence[Row]) -> None:
    for i, (more, less) in enumerate(PAIRS):
        for j, (metric, label, marker) in enumerate(_COMPARED):
            estimate = paired(points, more, less, metric)
            y = i + 0.28 * (j - 0.5)
            axes.plot(
                [estimate.low, estimate.high], [y, y], color="#333333", lw=1.2
            )
            axes.plot(
                [estimate.mean],
                [y],
                marker,
                ms=4.5,
                mfc="#333333" if j == 0 else "white",
                mec="#333333",
                label=label if i == 0 else None,
            )
    axes.axvline(0, color="#999999", lw=0.8)
    axes.set_yticks(
        range(len(PAIRS)), [f"{more}\n− {less}" for more, less in PAIRS]
    )
    axes.invert_yaxis()
    axes.set_xlabel("difference, paired by seed")
    axes.grid(axis="x", lw=0.3, color="#cccccc")
    axes.legend(loc="best")
