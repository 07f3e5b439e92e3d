"""Rings of a map's own wave number: how well they fit, and how they look."""

import functools
import operator
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.ring_basis import (
    RADIUS_PX,
    SIDE_PX,
    RingBasis,
    mixed,
    seen_through,
)
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class RingTemplates(layers.Layer):
    """Answers of ring templates, whatever the phase of the ring.

    A point scatterer leaves Re[C exp(2 i k r)] / r^d around it, C having an
    unknown phase; d = 1 far from an s-wave scatterer (G. A. Fiete and E. J.
    Heller, Rev. Mod. Phys. 75, 933 (2003)), d = 2 in Eq. 3 of
    arXiv:2006.15898, which like this has r + 1 px for r in the decay. A map's
    correlation with the cosine and the sine says how much of such a ring
    there is around a pixel, and with which phase: what a few small
    convolutions would have to learn, coherent over many pixels.

    All maps are convolved with the same ten radial kernels, in whose span the
    templates of every wave number lie, and each map mixes the results with
    factors of its own. No weight is trained.

    Args:
        templates: of each the factor of the told 2k, for it may be told
            wrongly, and d.

    Call arguments:
        maps: standardised, [N, H, W].
        ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.

    Returns:
        [N, H, W, 3 len(templates)]: the two quadratures of all answers, then
        their sizes; 0 where 2k is unknown. White noise of unit variance gives
        sizes of unit mean square.
    """

    radius_px = RADIUS_PX

    def __init__(
        self, templates: tuple[tuple[float, float], ...], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.templates = tuple((scale, decay) for scale, decay in templates)
        self.basis = RingBasis()
        # Their rows as channels: three times as fast as one channel out.
        turned = self.basis.kernels.transpose(1, 0, 2)[None]
        self._synthesis = turned.transpose(0, 1, 3, 2).astype("float32")

    def call(self, maps: tf.Tensor, ring: tf.Tensor) -> tf.Tensor:
        """See the class."""
        seen = seen_through(maps, self.basis.kernels)
        answers = mixed(seen, self.basis.factors(ring, self.templates))
        squares = ops.square(answers)
        count = len(self.templates)
        size = ops.sqrt(squares[..., :count] + squares[..., count:] + 1e-6)
        # The root's own small constant is no answer either.
        known = ops.cast(ring > 0, "float32")[:, None, None, None]
        return ops.concatenate([answers, size * known], axis=-1)

    def paint(self, amplitudes: tf.Tensor, ring: tf.Tensor) -> tf.Tensor:
        """Maps of rings, the transpose of the answers.

        Args:
            amplitudes: of the two quadratures of a ring of every template
                around every pixel, [N, H, W, 2 len(templates)].
            ring: see the class.

        Returns:
            [N, H, W]; 0 where 2k is unknown.
        """
        factors = ops.transpose(
            self.basis.factors(ring, self.templates), (0, 2, 1)
        )
        whole = mixed(amplitudes, factors)
        # The kernels are even: convolution and correlation are the same.
        rows = ops.conv(whole, self._synthesis, padding="same")
        height = ops.shape(rows)[1]
        around = (RADIUS_PX, RADIUS_PX)
        rows = ops.pad(rows, ((0, 0), around, (0, 0), (0, 0)))
        shifted = [rows[:, i : i + height, :, i] for i in range(SIDE_PX)]
        return functools.reduce(operator.add, shifted)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "templates": self.templates}
