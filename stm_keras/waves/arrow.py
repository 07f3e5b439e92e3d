"""Many maps that share a few unknowns: solved map by map.

Amplitudes and wave numbers belong to a map, positions to all of them. The
information matrix has the shape of an arrow; each map's own unknowns are
eliminated first.
"""

from typing import NamedTuple

import numpy as np
from numpy.linalg import inv


class Block(NamedTuple):
    """Normal equations of one map, own unknowns [a] and shared ones [s].

    Attributes:
        H: own information, prior included [a, a].
        B: between own and shared [a, s].
        D: shared information of this map [s, s].
        b: own gradient [a].
        e: shared gradient [s].
    """

    H: np.ndarray
    B: np.ndarray
    D: np.ndarray
    b: np.ndarray
    e: np.ndarray


def solve(
    blocks: list[Block], precision: np.ndarray, pull: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Steps of all unknowns.

    Args:
        blocks: one a map.
        precision: of the shared unknowns' prior [s, s].
        pull: gradient of that prior [s].

    Returns:
        Steps of each map's own unknowns, and of the shared ones [s].
    """
    inverses = [inv(block.H) for block in blocks]
    S, rhs = precision.copy(), pull.copy()
    for block, inverse in zip(blocks, inverses, strict=True):
        S += block.D - block.B.T @ inverse @ block.B
        rhs += block.e - block.B.T @ inverse @ block.b
    shared = np.linalg.solve(S, rhs) if len(rhs) else rhs
    own = [
        inverse @ (block.b - block.B @ shared)
        for block, inverse in zip(blocks, inverses, strict=True)
    ]
    return own, shared


class Spread(NamedTuple):
    """Covariances of a solution.

    Attributes:
        own: of each map's own unknowns, V x [a, a].
        shared: of the shared ones [s, s].
        levers: d own / d shared of each map, V x [a, s].
        mixed: what a map's own noise moves in both, V x [a, s].
    """

    own: list[np.ndarray]
    shared: np.ndarray
    levers: list[np.ndarray]
    mixed: list[np.ndarray]

    def between(self, i: int, a: int, j: int, b: int) -> float:
        """Covariance of unknown `a` of map i and `b` of another map j."""
        via = self.levers[i][a] @ self.shared @ self.levers[j][b]
        direct = self.mixed[i][a] @ self.levers[j][b]
        direct += self.levers[i][a] @ self.mixed[j][b]
        return float(via + direct)


def spread(
    blocks: list[Block],
    gradients: list[np.ndarray],
    precision: np.ndarray,
    together: float,
) -> Spread:
    """Covariances under the true covariance of the gradients.

    Args:
        blocks: as of `solve`.
        gradients: covariance of each map's gradient by noise and prior, own
            unknowns first, [a + s, a + s].
        precision: of the shared unknowns' prior.
        together: variance of a mean over all maps in units of what it would
            be were their noise independent, 1 or more.
    """
    n_shared = len(precision)
    inverses = [inv(block.H) for block in blocks]
    S, meat = precision.copy(), precision.copy()
    covered = []
    for block, inverse, G in zip(blocks, inverses, gradients, strict=True):
        a = len(block.H)
        S += block.D - block.B.T @ inverse @ block.B
        # e - B^T H^-1 b: what of a map's gradient moves the shared ones.
        down = np.concatenate([-inverse @ block.B, np.eye(n_shared)])
        meat += together * (down.T @ G @ down)
        covered.append((inverse, G[:a] @ down, G[:a, :a]))
    S_inverse = inv(S) if n_shared else S
    shared = S_inverse @ meat @ S_inverse
    own, levers, mixed = [], [], []
    for block, (inverse, cross, G) in zip(blocks, covered, strict=True):
        lever = -inverse @ block.B
        mix = inverse @ cross @ S_inverse
        via = mix @ lever.T
        own.append(
            inverse @ G @ inverse + via + via.T + lever @ shared @ lever.T
        )
        levers.append(lever)
        mixed.append(mix)
    return Spread(own, shared, levers, mixed)
