"""What does the fit of rings add to `context` where noise is white?

Draws fields of Eq. 3 and of multiple scattering (no cores), one in eight
without any impurity, and adds white noise. From half of them come the weights
with which the network's probability and the fit's make one (logistic
regression, for each wave on all fields where the fit takes it, rightly or not;
`stm_keras.ring_fit.WEIGHTS` holds those of an earlier network). The
others show what it gives: the network alone, with the fit as it ships, and
with the weights just fitted, where the fit's own deviations count for so many
times as much (`INFLATION` is the factor of the highest likelihood). Only
stacks where the fit is believed count. From the project's folder:

    python benchmarks/ring_refit.py
"""

import datetime
import functools
import operator
import os
import platform
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from detecting import detector, model_options, shown
from scipy.optimize import minimize
from stm_keras.bench.case import TOLERANCE_PX
from white_fields import KINDS, SEED, stacks

from stm_keras.detections import Detections, match
from stm_keras.detector import ContextDetector
from stm_keras.nn.calibration import reliability
from stm_keras.ring_fit import (
    INFLATION,
    WEIGHTS,
    Candidates,
    Rings,
    Weights,
    candidates,
    features,
    fit_detections,
    is_white,
    judge,
    judged,
)
from stm_keras.ring_model import RingTemplate
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.cases import Case, Found
from stm_keras.studies.bench.scoring import first_come

FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)


class Seen(NamedTuple):
    """A stack where the fit is believed.

    Attributes:
        case: with the truth.
        found: by the network.
        rings: of the fit.
        wave: that counts.
    """

    case: Case
    found: Detections
    rings: Rings
    wave: RingTemplate

    def candidates(self, factor: float = 1.0) -> Candidates:
        """Places with what both say; the fit's deviations times a factor."""
        measured = np.ones(self.case.maps.shape[1:], bool)
        return candidates(self.found, self.rings, measured, factor)


def look(finder: ContextDetector, case: Case) -> Seen | None:
    """What is found in a stack; None where the fit is not believed."""
    maps, ring = shown(case)
    found = finder.detect(maps, ring, fit_rings=False)
    fit = fit_detections(maps, ring, found)
    if fit is None or not is_white(fit):
        return None
    return Seen(case, found, judge(fit), fit.template)


def fitted_weights(every: Sequence[Seen]) -> Weights:
    """Of the highest likelihood, with a weak pull to 0."""
    places = [seen.candidates() for seen in every]
    known = np.concatenate([features(one) for one in places])
    true = np.concatenate(
        [
            # To which of two an impurity goes, the fit decides.
            first_come(Found(one.positions, one.rings), seen.case)
            for one, seen in zip(places, every, strict=True)
        ]
    )

    def loss(weights: np.ndarray) -> float:
        logits = known @ weights
        likelihood = (np.logaddexp(0, logits) - true * logits).sum()
        return float(likelihood + 0.05 * (weights**2).sum())

    return Weights(*minimize(loss, np.zeros(known.shape[1])).x)


def row(
    finder: ContextDetector, every: Sequence[Seen], way: Sequence[Detections]
) -> str:
    """A line of the table: how good the detections are."""
    cases = [seen.case for seen in every]

    def jaccard(least: Sequence[float]) -> float:
        kept = zip(way, cases, least, strict=True)
        scores = (
            score_positions(
                found.positions[found.probabilities >= threshold],
                case.positions,
                tolerance=TOLERANCE_PX,
            )
            for found, case, threshold in kept
        )
        return functools.reduce(operator.add, scores, Score()).jaccard

    rule = [finder.least_kept(found.probabilities) for found in way]
    tuned = max(jaccard([t] * len(way)) for t in np.geomspace(0.03, 0.9, 25))
    p = np.concatenate([found.probabilities for found in way])
    true = np.concatenate(
        [
            first_come(Found(found.positions, found.probabilities), case)
            for found, case in zip(way, cases, strict=True)
        ]
    )
    counted = p >= 0.05
    off = reliability(p[counted], true[counted]).error
    rmse, z, nat = places(way, cases, rule)
    false = [
        np.count_nonzero(found.probabilities >= least)
        for found, case, least in zip(way, cases, rule, strict=True)
        if not len(case.positions)
    ]
    return (
        f"{jaccard(rule):.3f} | {tuned:.3f} | {off:.3f} | {rmse:.3f} | "
        f"{z:.2f} | {nat:.3f} | {np.mean(false):.2f} of {len(false)} |"
    )


def places(
    way: Sequence[Detections], cases: Sequence[Case], least: Sequence[float]
) -> tuple[float, float, float]:
    """RMSE [px], deviation of z, -ln likelihood of a coordinate [nat]."""
    errors, widths = [], []
    for found, case, threshold in zip(way, cases, least, strict=True):
        kept = found.probabilities >= threshold
        pairs, _ = match(found.positions[kept], case.positions, TOLERANCE_PX)
        first, second = pairs.T
        errors.append(found.positions[kept][first] - case.positions[second])
        widths.append(found.deviations[kept][first])
    error, width = np.concatenate(errors), np.concatenate(widths)
    z = error / width
    rmse = np.sqrt((error**2).sum(axis=1).mean())
    return rmse, z.std(), (z**2 / 2 + np.log(width)).mean()


def fitted(
    seen: Mapping[str, Sequence[Seen | None]],
) -> dict[RingTemplate, Weights]:
    """Weights for each wave from every other stack of all kinds; printed."""
    print("| waves like | stacks | " + " | ".join(Weights._fields) + " |")
    print("|---|---|" + "---|" * len(Weights._fields))
    weights = {}
    for kind, wave in KINDS.items():
        learned = [one for every in seen.values() for one in every[::2]]
        own = [one for one in learned if one and one.wave == wave]
        weights[wave] = fitted_weights(own)
        numbers = " | ".join(f"{w:.2f}" for w in weights[wave])
        print(f"| {kind} | {len(own)} | {numbers} |")
    return weights


def ways(
    kept: Sequence[Seen], weights: Mapping[RingTemplate, Weights]
) -> dict[str, list[Detections]]:
    """What is found in each stack, by the name of the way to find it."""
    found = {
        "alone": [one.found for one in kept],
        "fit as it ships": [
            judged(one.candidates(INFLATION), WEIGHTS[one.wave]) for one in kept
        ],
    }
    for factor in FACTORS:
        found[f"fit anew, deviations times {factor:g}"] = [
            judged(one.candidates(factor), weights[one.wave]) for one in kept
        ]
    return found


def main() -> None:
    options = model_options(__doc__, fields=600)
    finder = detector(options.model)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.fields} fields of each kind, seed "
        f"{SEED}\n"
    )
    seen = {
        kind: [look(finder, case) for case in stacks(kind, options.fields)]
        for kind in KINDS
    }
    weights = fitted(seen)
    print(
        "\n| | stacks, believed | Jaccard | tuned | calibration error | RMSE "
        "[px] | z | -ln likelihood | found in an empty stack |\n"
        + 9 * "|---"
        + "|"
    )
    for kind in KINDS:
        shown_to = seen[kind][1::2]
        kept = [one for one in shown_to if one]
        share = f"{len(shown_to)}, {len(kept) / len(shown_to):.2f}"
        for name, way in ways(kept, weights).items():
            line = row(finder, kept, way)
            print(f"| {kind}, {name} | {share} | {line}", flush=True)


if __name__ == "__main__":
    main()
