"""Pair found with true positions, one to one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from stm_keras.errors import InputError

ONE_CLUSTER = 64
"""So few allowed pairs are solved at once: splitting them would cost more."""


class Matches(NamedTuple):
    """Pairs, ordered by the index of the predicted position.

    Attributes:
        pairs: int64 [k, 2], the indices (predicted, reference); none of them
            occurs twice.
        distances: float64 [k], in the unit of the positions.
    """

    pairs: np.ndarray
    distances: np.ndarray


def as_positions(positions: ArrayLike, name: str) -> np.ndarray:
    """Check an array of positions.

    Args:
        positions: [n, 2]; an empty list is an empty array.
        name: what the error calls it.

    Returns:
        The same, float64 [n, 2].

    Raises:
        InputError: for another shape, or a position that is not finite.
    """
    array = np.asarray(positions, dtype=np.float64)
    if array.shape == (0,):
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(
            f"`{name}` must have the shape [n, 2] (row, column). "
            f"Received: {array.shape}."
        )
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError(
            f"`{name}` holds a position that is not finite (index {bad}). "
            "Leave such positions out."
        )
    return array


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is not a positive, finite number.

    Raises:
        InputError: for such a tolerance.
    """
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise InputError(
            f"`tolerance` must be positive and finite. Received: {tolerance}."
        )


def match(
    predicted: ArrayLike, reference: ArrayLike, tolerance: float
) -> Matches:
    """Match two sets of positions one to one.

    Of all one-to-one matchings whose pairs are no farther apart than the
    tolerance, this finds one with the most pairs and, among these, the least
    sum of squared distances, so that the RMSE does not depend on the order of
    the positions. Assigning by distance alone and dropping the pairs that are
    too far would lose pairs.

    The set is split into clusters that no allowed pair connects, each solved
    exactly by a linear assignment, so that time and memory grow with the
    largest cluster and not with the whole map.

    Args:
        predicted: [n, 2], float.
        reference: [m, 2], float, in the same unit.
        tolerance: the farthest that a pair may be apart (inclusive), in the
            unit of the positions.

    Returns:
        The pairs and their distances.

    Raises:
        InputError: for positions of another shape or not finite, or a
            tolerance that is not positive and finite.
    """
    check_tolerance(tolerance)
    predicted = as_positions(predicted, "predicted")
    reference = as_positions(reference, "reference")
    if not (len(predicted) and len(reference)):
        return Matches(np.empty((0, 2), dtype=np.int64), np.empty(0))
    close = KDTree(predicted).sparse_distance_matrix(
        KDTree(reference), tolerance, output_type="ndarray"
    )
    shape = (len(predicted), len(reference))
    rows, cols, distances = close["i"], close["j"], close["v"]
    taken = [
        edges[_assign(rows[edges], cols[edges], distances[edges])]
        for edges in _clusters(rows, cols, shape)
    ]
    taken = np.concatenate(taken)
    taken = taken[np.argsort(rows[taken])]
    pairs = np.stack([rows[taken], cols[taken]], axis=1)
    return Matches(pairs.astype(np.int64), distances[taken])


def _clusters(
    rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]
) -> list[np.ndarray]:
    """Indices of the allowed pairs, split where none connects them."""
    edges = np.arange(len(rows))
    if len(edges) <= ONE_CLUSTER:
        return [edges]
    total = sum(shape)
    graph = coo_array(
        (np.ones(len(edges)), (rows, cols + shape[0])), shape=(total, total)
    )
    cluster = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order])) + 1
    return np.split(order, starts)


def _assign(
    rows: np.ndarray, cols: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Solve one cluster; returns the indices of its edges that are taken."""
    if len(rows) < 2:
        return np.arange(len(rows))
    row_ids, row = np.unique(rows, return_inverse=True)
    col_ids, col = np.unique(cols, return_inverse=True)
    shape = (len(row_ids), len(col_ids))
    # One forbidden pair costs more than all allowed ones together, so that no
    # gain in distance can pay for a pair that is lost.
    scale = distances.max() or 1.0
    cost = np.full(shape, float(min(shape) + 1))
    cost[row, col] = np.square(distances / scale)
    edge = np.full(shape, -1, dtype=np.int64)
    edge[row, col] = np.arange(len(rows))
    taken = edge[linear_sum_assignment(cost)]
    return taken[taken >= 0]
