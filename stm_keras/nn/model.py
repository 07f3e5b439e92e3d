"""The trained thing: a network, its losses and its training step."""

from typing import Any

import keras
import tensorflow as tf

from stm_keras.nn.context import Context
from stm_keras.nn.losses import HitRatio, entropy
from stm_keras.nn.wang2020 import Wang2020

Network = Wang2020 | Context
Batch = dict[str, tf.Tensor]


@keras.saving.register_keras_serializable("stm_keras")
class ImpurityFinder(keras.Model):
    """A network that finds impurities, trained with L0 + alpha Lreg.

    L0 is the mean of the network's own loss over a batch of simulated maps:
    the paper's cross entropy (Eq. 2) for `Wang2020`, the likelihood of the
    true impurities for `Context`. Lreg (Eq. 4) is the mean entropy over a
    batch of experimental maps (arXiv:2006.15898). The paper writes sums;
    means keep alpha's meaning when a batch size changes.

    Args:
        network: a layer that gives an answer for maps [B, V, H, W], its own
            loss, and its score S.
        alpha: weight of the entropy on the experimental batch (paper: 0.03).
            0 needs no experiment.

    Batches for `fit` are dictionaries of what the network's loss needs: `maps`
    [B, V, H, W] with `label` [B, H, W] for `Wang2020`; with `ring` [B, V] and
    `positions` [B, n, 2], padded with NaN, for `Context`. With alpha > 0 also
    `experiment` [M, V', H', W'], and `experiment_ring` [M, V'] where it is
    known; for validation always `positions`.
    """

    def __init__(
        self, network: Network, alpha: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # The network's layers decide for themselves what to compute in.
        self.autocast = False
        if not alpha >= 0:
            raise ValueError(f"`alpha` must be >= 0. Received: alpha={alpha}")
        self.network = network
        self.alpha = alpha
        # Owned, and listed in `metrics`: Keras would show a loss that
        # `train_step` only returns as 0.
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.l0_tracker = keras.metrics.Mean(name="l0")
        self.lreg_tracker = keras.metrics.Mean(name="lreg")
        self.hit_ratio = HitRatio()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Reset by Keras at the start of every epoch."""
        return [
            self.loss_tracker,
            self.l0_tracker,
            self.lreg_tracker,
            self.hit_ratio,
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the network's weights."""
        if not self.network.built:  # as after loading
            self.network.build(input_shape)
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the weights that a stored model is loaded into."""
        self.build(config["input_shape"])

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """The network's answer for maps [B, V, H, W]; see its class."""
        return self.network.answer(maps, ring, training)

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """One step on L0 + alpha Lreg."""
        with tf.GradientTape() as tape:
            output = self(data["maps"], data.get("ring"), training=True)
            l0 = tf.reduce_mean(self.network.loss(output, data))
            loss = l0
            if self.alpha > 0:
                shown = data["experiment"], data.get("experiment_ring")
                score = self.network.score(self(*shown, training=True))
                lreg = tf.reduce_mean(entropy(score))
                self.lreg_tracker.update_state(lreg)
                loss += self.alpha * lreg
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        self.loss_tracker.update_state(loss)
        self.l0_tracker.update_state(l0)
        return self._results(self.lreg_tracker if self.alpha > 0 else None)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        """L0 and hit ratio on held-out maps."""
        output = self(data["maps"], data.get("ring"), training=False)
        l0 = self.network.loss(output, data)
        self.loss_tracker.update_state(l0)
        self.l0_tracker.update_state(l0)
        score = self.network.score(output)
        self.hit_ratio.update_state(data["positions"], score)
        return self._results(self.hit_ratio)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "alpha": self.alpha,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "ImpurityFinder":
        """Undo `get_config`."""
        network = keras.saving.deserialize_keras_object(
            config.pop("network"), custom_objects=custom_objects
        )
        return cls(network=network, **config)

    def _results(
        self, extra: keras.metrics.Metric | None
    ) -> dict[str, tf.Tensor]:
        shown = [
            self.loss_tracker,
            self.l0_tracker,
            *([extra] if extra else []),
        ]
        return {metric.name: metric.result() for metric in shown}


def wang2020(
    alpha: float = 0.0, dtype: Any = None, **sizes: Any
) -> ImpurityFinder:
    """Build the paper's network, ready to train or to load weights into.

    Args:
        alpha: see `ImpurityFinder`.
        dtype: Keras's dtype policy; None takes the global one.
        **sizes: see `Wang2020`.

    Returns:
        A model whose weights exist.
    """
    network = Wang2020(**sizes, name="wang2020", dtype=dtype)
    model = ImpurityFinder(network, alpha, dtype=dtype)
    model.build((None, None, None, None))
    return model


def context(
    alpha: float = 0.0, dtype: Any = None, **sizes: Any
) -> ImpurityFinder:
    """Build the network `Context`, ready to train or to load weights into.

    Args:
        alpha: see `ImpurityFinder`.
        dtype: Keras's dtype policy; None takes the global one.
        **sizes: see `Context`.

    Returns:
        A model whose weights exist.
    """
    network = Context(**sizes, name="context", dtype=dtype)
    model = ImpurityFinder(network, alpha, dtype=dtype)
    model.build((None, None, None, None))
    return model


def in_float32(model: ImpurityFinder) -> ImpurityFinder:
    """A trained model as it leaves the training, whatever it computed in.

    Args:
        model: under any dtype policy; its weights are float32 in all of them.

    Returns:
        The model itself, or a copy that computes in float32; no optimizer.
    """
    if model.network.dtype_policy.name == "float32":
        return model
    config = model.network.get_config() | {"dtype": "float32"}
    network = type(model.network).from_config(config)
    copy = ImpurityFinder(network, model.alpha, dtype="float32")
    copy.build((None, None, None, None))
    copy.set_weights(model.get_weights())
    return copy
