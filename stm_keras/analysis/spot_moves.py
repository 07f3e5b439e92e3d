"""Moves between mixtures: one spot into two, two spots into one."""

import numpy as np
from scipy.spatial import KDTree

from stm_keras.analysis.spot_mixture import Spots


def halved(
    spots: Spots,
    which: np.ndarray,
    axes: np.ndarray,
    direction: np.ndarray,
    usual: float,
) -> Spots:
    """Replace some spots by two each, along their long axes.

    Args:
        spots: n spots.
        which: int [m], the indices of those to replace.
        axes: float64 [n, 2] standard deviations, smaller first [px].
        direction: float64 [n, 2] unit vectors of the long axes.
        usual: width of an ordinary spot [px].

    Returns:
        n + m spots, the new ones last.
    """
    rest = spots.take(np.setdiff1d(np.arange(len(spots.widths)), which))
    excess = np.maximum(axes[which, 1] ** 2 - usual**2, 0.5 * usual**2)
    step = np.sqrt(excess)[:, None] * direction[which]
    width = np.minimum(axes[which, 0], usual)
    for sign in (-1, 1):
        half = Spots(
            spots.positions[which] + sign * step,
            spots.amplitudes[which] * 0.7,
            width,
        )
        rest = rest.joined(half)
    return rest


def close_pairs(spots: Spots) -> np.ndarray:
    """Disjoint pairs [m, 2] nearer than the sum of their widths."""
    if len(spots.widths) < 2:
        return np.empty((0, 2), int)
    tree = KDTree(spots.positions)
    apart, index = map(np.asarray, tree.query(spots.positions, k=2))
    nearest, taken, pairs = index[:, 1], set(), []
    for i in np.argsort(apart[:, 1]):
        j = int(nearest[i])
        near = apart[i, 1] < spots.widths[i] + spots.widths[j]
        if near and i not in taken and j not in taken:
            pairs.append((int(i), j))
            taken |= {int(i), j}
    return np.array(pairs, int).reshape(-1, 2)


def merged(spots: Spots, pairs: np.ndarray) -> Spots:
    """Replace pairs of spots by one each, of the same mass and centre.

    Args:
        spots: n spots.
        pairs: int [m, 2] indices, none twice.

    Returns:
        n - m spots, the new ones last.
    """
    rest = spots.take(np.setdiff1d(np.arange(len(spots.widths)), pairs.ravel()))
    mass = spots.amplitudes * spots.widths**2
    share = mass[pairs] / mass[pairs].sum(axis=1, keepdims=True)
    centre = (share[:, :, None] * spots.positions[pairs]).sum(axis=1)
    width = (share * spots.widths[pairs]).sum(axis=1)
    amplitude = mass[pairs].sum(axis=1) / width**2
    return rest.joined(Spots(centre, amplitude, width))
