"""How likely an impurity is at places between the pixels, from rings alone."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stm_keras.nn.ring_basis import SIDE_PX, RingBasis, mixed, seen_through
from stm_keras.nn.untyped import Tensor, ops

_SHIFTS_PX = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
_CLOSE_PX = 2
_CLOSE = [
    (row, col)
    for row in range(-_CLOSE_PX, _CLOSE_PX + 1)
    for col in range(-_CLOSE_PX, _CLOSE_PX + 1)
]


@keras.saving.register_keras_serializable("stm_keras")
class RingPower(layers.Layer):
    """Power of a map in the rings around places half a pixel apart.

    In white noise, an impurity's likelihood after the best amplitude and
    phase of its ring in every map grows with the sum over the maps of this
    power (a phase-free matched filter, and the generalised likelihood ratio of
    S. M. Kay, Fundamentals of Statistical Signal Processing: Detection Theory
    (1998), chapter 6). Its maximum is where the impurity most likely is; a
    grid of whole pixels is too coarse to tell, for the ring's centre is
    sharper than a pixel.

    Rings that were taken off the map around a place itself are given back
    there: only those of others must not count.

    Args:
        templates: see `RingTemplates`.

    Call arguments:
        left: what is left of standardised maps, [N, H, W].
        amplitudes: of the rings that were taken off, see
            `RingTemplates.paint`, [N, H, W, 2 len(templates)].
        ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.

    Returns:
        [N, H, W, 4 len(templates)]: at the pixel's centre, half a pixel down,
        half a pixel right, and both, of every template; 0 where 2k is
        unknown. White noise of unit variance gives a mean of 1.
    """

    channels = len(_SHIFTS_PX)

    def __init__(
        self, templates: tuple[tuple[float, float], ...], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.templates = tuple((scale, decay) for scale, decay in templates)
        self._centred = RingBasis()
        self._shifted = [RingBasis(shift) for shift in _SHIFTS_PX]
        bases = [basis.kernels for basis in self._shifted]
        self._kernels = np.concatenate(bases, axis=-1)
        self._overlaps = [
            _overlaps(self._centred.kernels, kernels) for kernels in bases
        ]

    def call(
        self, left: tf.Tensor, amplitudes: tf.Tensor, ring: tf.Tensor
    ) -> tf.Tensor:
        """See the class."""
        count = len(self.templates)
        painted = self._centred.factors(ring, self.templates)
        painted = ops.expand_dims(ops.transpose(painted, (0, 2, 1)), 1)
        asked = [
            _orthogonal(basis.factors(ring, self.templates), count)
            for basis in self._shifted
        ]
        own = [
            ops.matmul(ops.matmul(painted, between), ops.expand_dims(one, 1))
            for between, one in zip(self._overlaps, asked, strict=True)
        ]
        own = ops.concatenate(own, axis=-1)
        inputs, outputs = len(_CLOSE) * 2 * count, 2 * count * self.channels
        given_back = mixed(
            _around(amplitudes), ops.reshape(own, (-1, inputs, outputs))
        )
        seen = ops.split(
            seen_through(left, self._kernels), self.channels, axis=-1
        )
        answers = [mixed(s, one) for s, one in zip(seen, asked, strict=True)]
        squares = ops.square(ops.concatenate(answers, axis=-1) + given_back)
        powers = [
            part[..., :count] + part[..., count:]
            for part in ops.split(squares, self.channels, axis=-1)
        ]
        return ops.concatenate(powers, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "templates": self.templates}


def _orthogonal(factors: Tensor, count: int) -> tf.Tensor:
    """The sine made orthogonal to the cosine, both of norm sqrt(1/2)."""
    cosine, sine = factors[..., :count], factors[..., count:]
    sine = sine - 2 * cosine * ops.sum(cosine * sine, axis=1, keepdims=True)
    norm = ops.sum(ops.square(sine), axis=1, keepdims=True)
    sine = sine / ops.sqrt(2 * norm + 1e-9)
    return ops.concatenate([cosine, sine], axis=-1)


def _overlaps(painted: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Inner products of kernels with others around the pixels close to them.

    Args:
        painted: centred kernels, [side, side, rank].
        asked: kernels, [side, side, rank'].

    Returns:
        [close pixels, rank, rank'], float32.
    """
    padded = np.pad(painted, [(_CLOSE_PX,) * 2] * 2 + [(0, 0)])
    products = []
    for row, col in _CLOSE:
        top, left = _CLOSE_PX - row, _CLOSE_PX - col
        moved = padded[top : top + SIDE_PX, left : left + SIDE_PX]
        products.append(np.einsum("hwm,hwn->mn", moved, asked))
    return np.array(products, np.float32)


def _around(channels: Tensor) -> tf.Tensor:
    """Channels of the pixels close to each, [N, H, W, close pixels c]."""
    height, width = ops.shape(channels)[1:3]
    border = (_CLOSE_PX, _CLOSE_PX)
    padded = ops.pad(channels, ((0, 0), border, border, (0, 0)))
    return ops.concatenate(
        [
            padded[
                :,
                _CLOSE_PX + row : _CLOSE_PX + row + height,
                _CLOSE_PX + col : _CLOSE_PX + col + width,
            ]
            for row, col in _CLOSE
        ],
        axis=-1,
    )
