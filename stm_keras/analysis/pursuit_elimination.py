"""Which rings of a fit are needed least?"""

import numpy as np

from stm_keras.analysis.pursuit_fit import RingFit, ring_rows


def elimination(fit: RingFit) -> tuple[np.ndarray, np.ndarray]:
    """Take the least needed impurity out, again and again.

    Args:
        fit: it stays as it is.

    Returns:
        order: indices, the first taken out first, int [n].
        falls: by how much chi^2 rose each time, float64 [n].
    """
    n = len(fit.positions)
    gram = fit.normal.gram.copy()
    gram += (
        1e-9 * np.einsum("vii->vi", gram)[:, :, None] * np.eye(gram.shape[1])
    )
    inverse, best = np.linalg.inv(gram), fit.coefficients.copy()
    left, order, falls = np.arange(n), [], []
    for _ in range(n):
        rows = ring_rows(left)
        blocks = inverse[:, rows[:, :, None], rows[:, None, :]]
        parts = best[:, rows]
        solved = np.linalg.solve(blocks, parts[..., None])[..., 0]
        rise = (parts * solved).sum(axis=-1) / fit.noise[:, None] ** 2
        least = int(rise.sum(axis=0).argmin())
        order.append(int(left[least]))
        falls.append(float(rise.sum(axis=0)[least]))
        here = rows[least]
        column = inverse[:, :, here]
        best -= (column @ solved[:, least, :, None])[..., 0]
        inverse -= column @ np.linalg.solve(
            blocks[:, least], column.swapaxes(1, 2)
        )
        left = np.delete(left, least)
    return np.array(order, int), np.array(falls)
