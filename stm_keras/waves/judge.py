"""The waves' word on a network's candidates.

A network says how much a place looks like an impurity; the waves, whether
anything scatters there. Both are put together by a logistic function whose
constants were fitted on simulated fields with blobs, steps and correlated
noise (`WEIGHTS`). Where waves are not what the model says they are, they
must not speak: then the candidates that the network is sure of show no
waves either, and everything stays as the network said.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.waves.evidence import Evidence, projected, wave_evidence

SURE = 0.8
"""Candidates at least so probable to the network tell whether waves hold."""

FEWEST_SURE = 3
LEAST_EVIDENCE = 3.0
"""The median evidence of the sure ones from which on waves are heard: what is
no scatterer has 1 to 2.5, see `Evidence`."""

MOST_CANDIDATES = 150
"""More are not fitted together, for the time's sake: the most probable are."""

_MOST_FOR, _MOST_AGAINST = 8.0, 5.0
"""Greater evidence is no more convincing."""

_LIMIT = 12.0
"""Of logits."""


class Judgement(NamedTuple):
    """Candidates as network and waves see them together.

    Attributes:
        probabilities: of the candidates, float64 [n].
        evidence: amplitude of each along its best phase, in deviations,
            float64 [n]; NaN where waves say nothing.
        expected: evidence that an impurity as strong as the sure ones would
            have at the place, float64 [n]; NaN likewise.
        held: whether the waves counted.
        note: what happened, a line for the user.
    """

    probabilities: np.ndarray
    evidence: np.ndarray
    expected: np.ndarray
    held: bool
    note: str


class JudgeWeights(NamedTuple):
    """Of the logistic function that puts network and waves together.

    The logit is `one + network l + wave min(e, 8) + strength h + both
    min(e, 5) h`, with l the network's logit, e the evidence and h = ln(1 +
    expected): much evidence speaks for a candidate, and little against one
    of which much is to be expected.
    """

    one: float
    network: float
    wave: float
    strength: float
    both: float


WEIGHTS = JudgeWeights(-1.678, 0.605, 0.138, -1.623, 0.389)
"""Fitted by `python -m stm_keras.studies.bench.waves calibrate --fields 45`
with the network `context` on 2102 candidates in fields of the seeds 1000 to
1044, of 1, 4 and 16 maps, on 2026-11-30. Left out by fifths, the log loss is
0.255 with waves, 0.307 of the network's logit alone, its scale fitted, too."""


NETWORK_ALONE = np.array([-1.071, 0.786])
"""The same function of the network's logit alone on the same candidates. What
waves add is the difference; the network's own scale is left as it is."""

_LIMITS = np.arange(5.0)
_CHANCE = np.array([0.02, 0.080, 0.365, 0.592, 0.708])
_USUAL = np.array([0.0005, 0.0009, 0.0072, 0.0181, 0.0488])
"""Share of what is no impurity, and of impurities, with an evidence up to 0,
1, 2, 3, 4: of 996 and 1106 candidates in the fields of `WEIGHTS`."""

_AS_MANY = 4.0
"""The usual share counts as much as so many sure candidates of the field."""


def judge(
    maps: ConductanceMaps,
    positions_px: ArrayLike,
    probabilities: ArrayLike,
    q_per_nm: ArrayLike,
    weights: JudgeWeights | None = None,
) -> Judgement:
    """Let waves have their say on a network's candidates.

    Args:
        maps: levelled, at any square pixel that shows the waves.
        positions_px: row and column of the candidates, [n, 2] [px of `maps`].
        probabilities: the network's, [n].
        q_per_nm: 2k of each map, [V] [rad/nm]; 0 or NaN where unknown.
        weights: see `JudgeWeights`; None for `WEIGHTS`.

    Raises:
        InputError: for arrays that do not belong together.
    """
    positions = np.asarray(positions_px, np.float64).reshape(-1, 2)
    network = np.asarray(probabilities, np.float64)
    q = np.asarray(q_per_nm, np.float64)
    if network.shape != (len(positions),) or q.shape != maps.bias_v.shape:
        raise InputError(
            f"{len(positions)} candidates in {len(maps.bias_v)} maps need as "
            "many probabilities and q. Received the shapes "
            f"{list(network.shape)} and {list(q.shape)}."
        )
    return decided(
        positions, network, evidence_of(maps, positions, network, q), weights
    )


def evidence_of(
    maps: ConductanceMaps,
    positions: np.ndarray,
    network: np.ndarray,
    q_per_nm: np.ndarray,
) -> Evidence | None:
    """`wave_evidence` of the most probable candidates, NaN for the others."""
    most = np.argsort(-network, kind="stable")[:MOST_CANDIDATES]
    found = wave_evidence(maps, positions[most], network[most], q_per_nm)
    return None if found is None else _placed(found, most, len(positions))


def _placed(found: Evidence, at: np.ndarray, n: int) -> Evidence:
    """Evidence in the order of all n candidates."""

    def spread(part: np.ndarray) -> np.ndarray:
        whole = np.full((n, *part.shape[1:]), np.nan, part.dtype)
        whole[at] = part
        return whole

    return Evidence(
        spread(found.alone),
        spread(found.amplitudes),
        spread(found.covariance),
        found.u,
    )


def decided(
    positions: np.ndarray,
    network: np.ndarray,
    found: Evidence | None,
    weights: JudgeWeights | None = None,
) -> Judgement:
    """The judgement from evidence; see `judge`."""
    nothing = np.full(len(positions), np.nan)
    if found is None:
        return Judgement(
            network,
            nothing,
            nothing,
            False,
            "waves say nothing: no q is known, or cores cover the maps",
        )
    sure = (network >= SURE) & np.isfinite(found.alone)
    if sure.sum() < FEWEST_SURE:
        return Judgement(
            network,
            found.alone,
            nothing,
            False,
            f"waves count for nothing: {sure.sum()} candidates are sure to "
            f"the network, and {FEWEST_SURE} must be, to know them by",
        )
    typical = float(np.median(found.alone[sure]))
    if typical < LEAST_EVIDENCE:
        return Judgement(
            network,
            found.alone,
            nothing,
            False,
            "waves count for nothing: the candidates that the network is sure "
            f"of show none (evidence {typical:.2g}, of chance about 2)",
        )
    expected = expected_evidence(found, sure)
    terms = features(network, found.alone, expected)
    gain = terms @ np.array(weights or WEIGHTS) - terms[:, :2] @ NETWORK_ALONE
    gain = np.maximum(gain, least_gain(found.alone, found.alone[sure]))
    logit = np.clip(terms[:, 1] + gain, -_LIMIT, _LIMIT)
    joint = 1 / (1 + np.exp(-logit))
    heard = np.isfinite(terms).all(axis=1)
    return Judgement(
        np.where(heard, joint, network),
        found.alone,
        expected,
        True,
        f"waves judged {heard.sum()} candidates: those that the network is "
        f"sure of have an evidence of {typical:.2g}, of chance about 2",
    )


def expected_evidence(found: Evidence, sure: np.ndarray) -> np.ndarray:
    """Evidence of an impurity as strong as the sure ones, at each place [n].

    Its amplitude is the median of theirs in every map, along the candidate's
    own phase.
    """
    typical = np.median(np.abs(found.amplitudes[sure]), axis=0)
    own = np.angle(found.amplitudes)
    known = np.isfinite(found.alone)
    out = np.full(len(found.alone), np.nan)
    out[known] = projected(
        typical * np.exp(1j * own[known]), found.covariance[known], own[known]
    )
    return out


def least_gain(evidence: np.ndarray, of_sure: np.ndarray) -> np.ndarray:
    """The most that little evidence may speak against candidates, [n].

    The field's own sure candidates tell how often an impurity has so little:
    under masks, in a corner or in a wall of others many have. The logit falls
    by no more than the logarithm of that share over the share by chance.

    Args:
        evidence: of all candidates [n].
        of_sure: of those that are sure to the network [m].
    """
    below = (of_sure <= evidence[:, None]).sum(axis=1)
    usual = np.interp(evidence, _LIMITS, _USUAL)
    share = (below + _AS_MANY * usual) / (len(of_sure) + _AS_MANY)
    chance = np.interp(evidence, _LIMITS, _CHANCE)
    return np.minimum(np.log(share / chance), 0.0)


def features(
    network: np.ndarray, evidence: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """What the logistic function weighs, [n, 5]; see `JudgeWeights`."""
    p = np.clip(network, 1e-6, 1 - 1e-6)
    h = np.log1p(np.maximum(expected, 0))
    return np.stack(
        [
            np.ones_like(p),
            np.log(p / (1 - p)),
            np.minimum(evidence, _MOST_FOR),
            h,
            np.minimum(evidence, _MOST_AGAINST) * h,
        ],
        axis=-1,
    )


__all__ = [
    "WEIGHTS",
    "JudgeWeights",
    "Judgement",
    "decided",
    "evidence_of",
    "expected_evidence",
    "features",
    "judge",
]
