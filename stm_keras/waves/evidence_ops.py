"""Single-scattering evidence in TensorFlow operations.

The same as `evidence` makes of a fit without scattering between impurities,
for given wave numbers and noise: differentiable in all of these and in the
distances, of fixed shapes, and so usable within a network or an exported
graph. H0^(1) is interpolated in the table of `hankel`.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.waves.evidence import PHASES, SLOPES
from stm_keras.waves.hankel import STEP, tables
from stm_keras.waves.iteration import WEAK

MOST = 400.0
"""The table serves k r up to this."""


class Amplitudes(NamedTuple):
    """Amplitudes of N candidates, padding among them, in V maps.

    Attributes:
        parts: real and imaginary part, float64 [V, N, 2]; 0 of padding.
        covariance: of these, float64 [V, N, 2, 2].
    """

    parts: tf.Tensor
    covariance: tf.Tensor


def hankel_wave(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Real and imaginary part of H0^(1), float32.

    Args:
        x: k r, float32, any shape, 0 to `MOST`.
    """
    table, _ = tables(MOST)
    place = tf.clip_by_value(x, 0.0, MOST) / STEP
    cell = tf.floor(tf.stop_gradient(place))
    part, index = place - cell, tf.cast(cell, tf.int32)
    values = [
        tf.gather(tf.constant(at), index) + part * tf.gather(to, index)
        for at, to in (
            (table.values.real, table.steps.real),
            (table.values.imag, table.steps.imag),
        )
    ]
    return values[0], values[1]


def wave_columns(r: tf.Tensor, k: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """What amplitudes of 1, then of i, add to maps, float32 [V, 2N, P].

    Args:
        r: distances of N places and P pixels, float32 [N, P] [px].
        k: wave numbers, float32 [V] [rad/px].
        gamma: damping 1 / (2 l), float32 [] [1/px].
    """
    real, imag = hankel_wave(k[:, None, None] * r)
    damping = tf.exp(-2 * gamma * r)
    return tf.concat(
        [damping * (real**2 - imag**2), -2 * damping * real * imag], axis=1
    )


def candidate_amplitudes(
    maps: tf.Tensor,
    r: tf.Tensor,
    candidate: tf.Tensor,
    k: tf.Tensor,
    gamma: tf.Tensor,
    noise: tf.Tensor,
    nuisances: tf.Tensor,
    prior: tf.Tensor,
) -> Amplitudes:
    """Fit all candidates of a frame together.

    Args:
        maps: of variance about 1 at P pixels outside of the cores, float32
            [V, P].
        r: of candidates and pixels, float32 [N, P] [px]; of padding anything
            finite.
        candidate: which are no padding, bool [N].
        k: wave numbers, float32 [V] [rad/px].
        gamma: damping, float32 [] [1/px].
        noise: variance of white noise, float32 [V].
        nuisances: columns of what else is in the maps, float32 [V, m, P].
        prior: variance of each, float32 [V, m].
    """
    own = wave_columns(r, k, gamma)
    own *= tf.cast(tf.tile(candidate, [2]), tf.float32)[:, None]
    columns = tf.concat([nuisances, own], axis=1)
    n, m = _static(r, 0), _static(nuisances, 1)
    weak = tf.fill([tf.shape(maps)[0], 2 * n], np.float32(WEAK**2))
    precision = noise[:, None] / tf.concat([prior, weak], axis=1)
    gram = tf.matmul(columns, columns, transpose_b=True)
    gram = tf.linalg.set_diag(gram, tf.linalg.diag_part(gram) + precision)
    top = tf.linalg.matvec(columns, maps)
    factor = tf.linalg.cholesky(tf.cast(gram, tf.float64))
    solved = tf.linalg.cholesky_solve(
        factor, tf.cast(top, tf.float64)[..., None]
    )[..., 0]
    unit = tf.eye(m + 2 * n, dtype=tf.float64)[:, m:]
    unit = tf.tile(unit[None], tf.stack([tf.shape(maps)[0], 1, 1]))
    inverse = tf.linalg.cholesky_solve(factor, unit)[:, m:]
    inverse *= tf.cast(noise, tf.float64)[:, None, None]
    blocks = [
        [
            tf.linalg.diag_part(
                inverse[:, a * n : (a + 1) * n, b * n : (b + 1) * n]
            )
            for b in range(2)
        ]
        for a in range(2)
    ]
    parts = tf.stack([solved[:, m : m + n], solved[:, m + n :]], axis=-1)
    rows = [tf.stack(row, axis=-1) for row in blocks]
    return Amplitudes(parts, tf.stack(rows, axis=-2))


def _static(tensor: tf.Tensor, axis: int) -> int:
    """A size that is known beforehand."""
    size = tensor.shape[axis]
    assert size is not None
    return int(size)


def evidence_along(found: Amplitudes, u: tf.Tensor) -> tf.Tensor:
    """Amplitude along the best phase that is linear in energy, [N].

    Args:
        found: of N candidates in V maps.
        u: energy of the maps, -1 to 1, float64 [V].

    Returns:
        In deviations, float64; as `evidence.along`.
    """
    slopes = SLOPES if _static(u, 0) > 1 else np.zeros(1)
    phase, slope = (a.ravel() for a in np.meshgrid(PHASES, slopes))
    angle = phase[:, None] + slope[:, None] * u  # [T, V]
    e = tf.stack([tf.cos(angle), tf.sin(angle)], axis=-1)
    inverse = tf.linalg.inv(found.covariance)
    weighed = tf.einsum("vnab,tvb->tvna", inverse, e)
    top = tf.einsum("tvna,vna->tn", weighed, found.parts)
    width = tf.einsum("tvna,tva->tn", weighed, e)
    return tf.reduce_max(top / tf.sqrt(width), axis=0)
