"""The numbers of Fig. 4 in words: a Markdown page from the tables."""

from collections.abc import Iterable, Sequence

import numpy as np

from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.statistics import Estimate, mean_interval
from stm_keras.reproduction.stopping import RULE, RULES, choose, oracle
from stm_keras.reproduction.tables import Row, where

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


def by_run(rows: Sequence[Row], arm: str, metric: str) -> np.ndarray:
    """A metric at each run's last epoch, by run, [runs]."""
    mine = where(rows, arm=arm)
    last = max(row["epoch"] for row in mine)
    ends = sorted(where(mine, epoch=last), key=lambda row: row["run"])
    return np.array([row[metric] for row in ends], np.float64)


def paired(
    points: Sequence[Row], more: str, less: str, metric: str
) -> Estimate:
    """Difference of two arms on the shown experiments, paired by seed."""
    shown = where(points, set="shown")
    return mean_interval(
        by_run(shown, more, metric) - by_run(shown, less, metric)
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _arms_table(rows: Sequence[Row]) -> str:
    return table(
        ["mean [95 % CI]", *ARMS],
        [
            [label]
            + [str(mean_interval(by_run(rows, arm, metric))) for arm in ARMS]
            for metric, label in METRICS.items()
        ],
    )


def _pairs_table(points: Sequence[Row]) -> str:
    return table(
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
    return table(
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
    return table(head, rows)


def _estimates(by_arm: Sequence[np.ndarray]) -> list[str]:
    every = [*by_arm, np.concatenate(by_arm)]
    return [str(mean_interval(values)) for values in every]


def _runs(rows: Sequence[Row], arm: str) -> list[list[Row]]:
    mine = where(rows, arm=arm)
    return [
        where(mine, run=run) for run in sorted({row["run"] for row in mine})
    ]


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
    return table(head, rows)
