"""What a map looks like once the rings of the likely impurities are gone."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.ring_power import RingPower
from stm_keras.nn.ring_templates import RingTemplates
from stm_keras.nn.untyped import ops

WAVES = ((1.0, 1.0), (1.0, 2.0))
"""A scatterer's ring and Eq. 3's, see `RingTemplates`."""

_LIKELY = ((0.0, 0.2, 0.0), (0.2, 1.0, 0.2), (0.0, 0.2, 0.0))
"""Of a ring between pixels the closest ones share the amplitude."""

_STEP = 0.5


@keras.saving.register_keras_serializable("stm_keras")
class Explained(layers.Layer):
    """One round of matching pursuit, with learnt amplitudes.

    Rings of neighbours overlap, and which of two rings a pixel belongs to no
    single map can tell. Where all maps together make an impurity likely, each
    map's own ring around it is taken off, and the templates are asked again.
    It sees rings that fall off as 1/r (a scatterer) and as 1/r^2 (Eq. 3 of
    arXiv:2006.15898).

    Args:
        joint: correct the amplitudes once by what the templates still answer
            to what is left (a step towards the least squares over all rings
            at once), and give every impurity its own ring back.

    Call arguments:
        maps: standardised, [N, H, W].
        ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.
        features: of each map, [N, H, W, c].
        probability: of an impurity that belongs to the pixel, [N, H, W, 1].
        held: 1 where a pixel was measured, [N, H, W, 1].

    Returns:
        [N, H, W, 7]: what is left of the map, and the templates' answers to
        it; the map itself and no answers where 2k is unknown. And with
        `joint` the power in rings of no other impurity, see `RingPower`,
        else None.
    """

    channels = 7

    def __init__(self, joint: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.joint = joint
        self.templates = RingTemplates(WAVES, name="templates")
        # Small at first: nothing is taken off before there is a reason.
        small: Any = keras.initializers.RandomNormal(stddev=0.02)
        quadratures = 2 * len(WAVES)
        self.amplitude = layers.Conv2D(
            quadratures, 1, kernel_initializer=small, name="amplitude"
        )
        if joint:
            self.power = RingPower(WAVES, name="power")
            step: Any = keras.initializers.Identity(_STEP)
            likely: Any = _likely_at_first
            self.step = layers.Dense(
                quadratures,
                use_bias=False,
                kernel_initializer=step,
                name="step",
            )
            self.likely = layers.Conv2D(
                1,
                3,
                padding="same",
                use_bias=False,
                kernel_initializer=likely,
                name="likely",
            )

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for an output."""
        rounds = 2 if self.joint else 1
        # Rings are painted and asked for; `likely` sees one pixel further.
        return rounds * 2 * self.templates.radius_px + rounds - 1

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; `input_shape` is that of the features."""
        self.amplitude.build(input_shape)
        if self.joint:
            any_image = (None, None, None)
            self.step.build((*any_image, 2 * len(WAVES)))
            self.likely.build((*any_image, 1))
        self.built = True

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor,
        features: tf.Tensor,
        probability: tf.Tensor,
        held: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """See the class."""
        amplitudes = self.amplitude(features) * probability
        left = maps - self.templates.paint(amplitudes, ring)
        if not self.joint:
            answers = self.templates(left, ring)
            shown = [ops.expand_dims(left, -1), answers]
            return ops.concatenate(shown, axis=-1), None
        # Nothing was measured there that a ring could explain.
        held = ops.squeeze(held, -1)
        left = left * held
        answers = self.templates(left, ring)
        quadratures = 2 * len(WAVES)
        step = self.step(answers[..., :quadratures]) * self.likely(probability)
        left = left - held * self.templates.paint(step, ring)
        answers = self.templates(left, ring)
        power = self.power(left, amplitudes + step, ring)
        shown = [ops.expand_dims(left, -1), answers]
        return ops.concatenate(shown, axis=-1), power

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "joint": self.joint}


def _likely_at_first(shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
    return ops.reshape(ops.cast(_LIKELY, dtype or "float32"), shape)
