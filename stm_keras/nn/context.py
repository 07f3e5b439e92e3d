"""A network whose view spans several rings, and that says how sure it is."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from stm_keras.nn.context_sizes import ContextSizes
from stm_keras.nn.detection_loss import detection_loss
from stm_keras.nn.detection_output import (
    UNCALIBRATED,
    as_calibration,
    calibrated,
    detection_output,
)
from stm_keras.nn.rotations import N_ROTATIONS, mean_over_rotations
from stm_keras.nn.two_looks import TwoLooks
from stm_keras.nn.untyped import Tensor, ops

LEAST_FRAME_PX = 16
"""In a smaller frame the network would see little but its edge."""

_FIRST_LOOK_SHARE = 0.3
"""Weight of the first look's loss beside the last one's."""

_STACK = (
    tf.TensorSpec((None,) * 4, tf.float32, name="maps"),
    tf.TensorSpec((None,) * 4, tf.float32, name="measured"),
    tf.TensorSpec((None,) * 2, tf.float32, name="ring"),
)


@keras.saving.register_keras_serializable("stm_keras")
class Context(TwoLooks):
    """From maps to impurities: probability, place and their deviations.

    It looks twice. A light encoder, shared over the voltages and told the wave
    number of each map, sees several rings through dilated convolutions and
    ring templates. The mean over the voltages gives a first answer, from which
    each map is explained: the rings of what is likely there are taken off. A
    second encoder sees what is left beside what was; attention over the
    voltages (arXiv:2006.15898, Eq. 1) joins its features, and a wider decoder
    gives the answer. No layer depends on the image's size, the number of maps
    or their order.

    Args:
        calibration: what made probabilities and standard deviations true on
            held-out fields, see `Calibration`. Not used in training.
        rotations: 4 for the mean of what is said of the maps as they are and
            turned by 90, 180 and 270 degrees, 1 for the former alone. Not used
            in training.
        **sizes: see `ContextSizes`.

    Call arguments:
        maps: [B, V, H, W], any unit, NaN where not measured.
        ring: 2k of each map [rad/px], [B, V]; 0 or NaN where unknown; None
            where none is known.
        return_weights: also give the attention weights.
        standardised: the maps went through `MapStandardization` already.
        measured: with `standardised`, 1 where a pixel was measured and 0
            elsewhere, [B, V, H, W]; None where all were. Otherwise NaN tell.

    Returns:
        [B, H, W, 5]: the logit of the probability of an impurity that belongs
        to this pixel (which is the score S), its row and column offsets from
        the pixel's centre [px], and the standard deviations of the two [px];
        with `return_weights` also c, see `VoltageAttention`. In training the
        first look's five follow, [B, H, W, 10].
    """

    def __init__(
        self,
        calibration: Sequence[float] = UNCALIBRATED,
        rotations: int = 1,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        **sizes: Any,
    ) -> None:
        if rotations not in (1, N_ROTATIONS):
            raise ValueError(
                f"`rotations` must be 1 or {N_ROTATIONS}. Received: "
                f"rotations={rotations}"
            )
        super().__init__(
            ContextSizes(**sizes), name=name, trainable=trainable, dtype=dtype
        )
        self.calibration = as_calibration(calibration)
        self.rotations = rotations
        # In graphs they stand once, however many signatures ask them.
        self._functions = tuple(
            tf.function(self._upright, input_signature=_STACK, autograph=False)
            for _ in range(2)
        )

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor | None = None,
        training: bool | None = None,
        return_weights: bool = False,
        standardised: bool = False,
        measured: tf.Tensor | None = None,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        present: tf.Tensor = ops.cast(ops.isfinite(maps), "float32")
        if standardised and measured is not None:
            present = measured
        if not standardised:
            maps = self.standardization(maps)
        told: Tensor = ops.zeros(ops.shape(maps)[:2]) if ring is None else ring
        if training:
            joined, first, weights = self.joined(maps, present, told, True)
            parts = self.decoder(joined)[1], first
            output = ops.concatenate(
                [detection_output(part) for part in parts], axis=-1
            )
        else:
            output = self._calibrated(maps, present, told)
            weights = None
        if not return_weights:
            return output
        if weights is None:
            weights = self.joined(maps, present, told)[2]
        return output, weights

    def _calibrated(
        self, maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor
    ) -> tf.Tensor:
        """The answer outside of training."""
        if self.rotations == 1:
            output = self._upright(maps, measured, ring)
        else:
            answers = self._functions
            if tf.executing_eagerly():
                answers = self._upright, self._upright
            output = mean_over_rotations(answers, maps, measured, ring)
        return calibrated(output, ops.shape(maps)[1], self.calibration)

    def _upright(
        self, maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor
    ) -> tf.Tensor:
        """The answer for maps as they lie, not calibrated."""
        joined = self.joined(maps, measured, ring)[0]
        return detection_output(self.decoder(joined)[1])

    def answer(
        self, maps: tf.Tensor, ring: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        """The output of a batch, see the class."""
        return self(maps, ring, training=training)

    def loss(self, output: tf.Tensor, data: dict[str, tf.Tensor]) -> tf.Tensor:
        """-ln of the likelihood of `data["positions"]`, [B], in nat."""
        positions = data["positions"]
        if output.shape[-1] == 5:
            return detection_loss(output, positions)
        last, first = (
            detection_loss(part, positions) for part in ops.split(output, 2, -1)
        )
        return last + _FIRST_LOOK_SHARE * first

    def score(self, output: tf.Tensor) -> tf.Tensor:
        """S, the logit of the probability, [B, H, W]."""
        return ops.take(output, 0, axis=-1)

    @property
    def sizes(self) -> dict[str, Any]:
        """What decides the number of weights."""
        return self.own.as_dict()

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        own = {"calibration": self.calibration, "rotations": self.rotations}
        return {**super().get_config(), **self.sizes, **own}
