"""The table of `adapting.py`.

A triple is before / control / adapted: the network that the training started
from, after as many steps without the entropy loss, and with it. Jaccard index
and RMSE are of all experiments of a line, the rest are means over them.
"""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

from stm_keras.fitting.adaptation_figures import Adaptation
from stm_keras.scoring import Score

HEADING = (
    "| | Jaccard | adapted less control, each | Jaccard, best threshold "
    "| RMSE [px] | entropy [nat] | in a surrogate | held-out loss [nat] "
    "| guard lets pass |",
    "|---|---|---|---|---|---|---|---|---|",
)


class Outcome(NamedTuple):
    """A network on an experiment.

    Attributes:
        score: at the network's threshold.
        best: Jaccard index at the best threshold for these maps.
        change: against the network before.
    """

    score: Score
    best: float
    change: Adaptation


Outcomes = Sequence[Outcome]
"""Before, control, adapted."""


def line(name: str, experiments: Sequence[Outcomes]) -> str:
    """A line of the table.

    Args:
        name: of the condition.
        experiments: outcomes on each.
    """
    kinds = list(zip(*experiments, strict=True))
    pooled = [
        functools.reduce(operator.add, (one.score for one in kind))
        for kind in kinds
    ]
    less = (
        adapted.score.jaccard - control.score.jaccard
        for _, control, adapted in experiments
    )
    passed = sum(one.change.shipped == "adapted" for one in kinds[-1])
    cells = (
        name,
        _triple([score.jaccard for score in pooled], 3),
        ", ".join(f"{value:+.3f}" for value in less),
        _triple([_mean([one.best for one in kind]) for kind in kinds], 3),
        _triple([score.rmse for score in pooled], 3),
        *(
            _triple(
                [
                    _mean([getattr(one.change.after, field) for one in kind])
                    for kind in kinds
                ],
                2,
            )
            for field in ("entropy", "in_surrogates", "held_out_loss")
        ),
        f"{passed} of {len(experiments)}",
    )
    return f"| {' | '.join(cells)} |"


def _triple(values: Sequence[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
