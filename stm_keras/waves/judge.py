"""The waves' word on a network's candidates.

A network says how much a place looks like an impurity; the waves, whether
anything scatters there. What waves add to the logit is the logarithm of a
likelihood ratio that is learnt in the very maps, see `ratio`: no constant of
it comes from other fields. Where the candidates that the network is sure of
and places where nothing is look alike to the waves, everything stays as the
network said.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.waves.evidence import Evidence, wave_evidence
from stm_keras.waves.ratio import wave_ratio

SURE = 0.8
"""Candidates at least so probable to the network tell how impurities scatter
here."""

FEWEST_SURE, FEWEST_EMPTY = 4, 8
"""Fewer sure candidates, or empty places, tell nothing of a whole kind."""

MOST_CANDIDATES = 150
"""More are not fitted together, for the time's sake: the most probable are."""

PART = 0.6
"""Of the logarithm of the ratio: the network has read the waves as well."""

MOST_AGAINST = 3.0
"""Of a logit. Waves speak against alone: a step sends waves, too, and the tail
of a tall object beyond its mask looks like one."""


class Judgement(NamedTuple):
    """Candidates as network and waves see them together.

    Attributes:
        probabilities: of the candidates, float64 [n].
        evidence: amplitude of each along its best phase, in deviations,
            float64 [n]; NaN where waves say nothing.
        gain: what waves add to the logit, 0 or less, float64 [n].
        held: whether the waves counted.
        note: what happened, a line for the user.
    """

    probabilities: np.ndarray
    evidence: np.ndarray
    gain: np.ndarray
    held: bool
    note: str


def judge(
    maps: ConductanceMaps,
    positions_px: ArrayLike,
    probabilities: ArrayLike,
    q_per_nm: ArrayLike,
) -> Judgement:
    """Let waves have their say on a network's candidates.

    Args:
        maps: levelled, at any square pixel that shows the waves.
        positions_px: row and column of the candidates, [n, 2] [px of `maps`].
        probabilities: the network's, [n].
        q_per_nm: 2k of each map, [V] [rad/nm]; 0 or NaN where unknown.

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
    return decided(network, evidence_of(maps, positions, network, q))


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

    return found._replace(
        alone=spread(found.alone),
        amplitudes=spread(found.amplitudes),
        covariance=spread(found.covariance),
    )


def decided(network: np.ndarray, found: Evidence | None) -> Judgement:
    """The judgement from evidence.

    Args:
        network: probabilities of the candidates [n].
        found: of them; None where waves say nothing.
    """
    nothing = np.full(len(network), np.nan)
    none = np.zeros(len(network))
    if found is None:
        return Judgement(
            network,
            nothing,
            none,
            False,
            "waves say nothing: no q is known, or cores cover the maps",
        )
    sure = (network >= SURE) & np.isfinite(found.alone)
    silent = Judgement(network, found.alone, none, False, "")
    if sure.sum() < FEWEST_SURE:
        return silent._replace(
            note=f"waves count for nothing: {sure.sum()} candidates are sure "
            f"to the network, and {FEWEST_SURE} must be, to know them by"
        )
    if len(found.empty) < FEWEST_EMPTY:
        return silent._replace(
            note=f"waves count for nothing: {len(found.empty)} places are far "
            f"from all candidates, and {FEWEST_EMPTY} must be, to know by "
            "what waves are where nothing is"
        )
    ratio = wave_ratio(found, sure)
    if ratio.weight == 0:
        return silent._replace(
            note="waves count for nothing: they do not tell the candidates "
            "that the network is sure of from places where nothing is "
            f"(in {ratio.apart:.0%} of the pairs; chance: 50 %)"
        )
    gain = PART * ratio.weight * np.nan_to_num(ratio.log_ratio)
    gain = np.clip(gain, -MOST_AGAINST, 0.0)
    p = np.clip(network, 1e-6, 1 - 1e-6)
    joint = 1 / (1 + np.exp(-np.log(p / (1 - p)) - gain))
    heard = np.isfinite(ratio.log_ratio)
    return Judgement(
        np.where(gain == 0, network, joint),
        found.alone,
        gain,
        True,
        f"waves judged {heard.sum()} candidates: they tell the "
        f"{sure.sum()} that the network is sure of from places where nothing "
        f"is in {ratio.apart:.0%} of the pairs (chance: 50 %)",
    )


__all__ = ["Judgement", "decided", "evidence_of", "judge"]
