"""The trained thing: a network, its losses and its training step."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from stm_keras.nn.context import Context
from stm_keras.nn.layers import Shape
from stm_keras.nn.losses import HitRatio, entropy
from stm_keras.nn.untyped import ops
from stm_keras.nn.wang2020 import Wang2020

Network = Wang2020 | Context
Batch = dict[str, tf.Tensor]


def as_batch(data: Any, needed: set[str], truth: str = "") -> Batch:
    """A batch as a dictionary, in whichever way it was given.

    Args:
        data: a dictionary, or (x, y), see `ImpurityFinder`.
        needed: what it must hold.
        truth: what y is where it is no dictionary.

    Returns:
        The dictionary; q under the name `ring`.

    Raises:
        ValueError: saying what is missing, and what was given.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError("There are no sample weights here: give (x, y).")
    batch = dict(x) if isinstance(x, dict) else {"maps": x}
    if y is not None:
        batch |= y if isinstance(y, dict) else {truth: y}
    if "q" in batch:
        batch["ring"] = batch.pop("q")
    missing = sorted(needed - set(batch))
    if missing:
        raise ValueError(
            f"A batch needs {_listed(needed)}, as a dictionary or as (x, y) "
            f"with y = {truth or 'none'}. Missing: {_listed(missing)}. "
            f"Received: {_listed(batch)}"
        )
    if truth:
        _check_rank(truth, batch[truth], 3)
    return batch


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


_AXES = {"maps": "[B, V, H, W]", "q": "[B, V]"}
_AXES |= {"label": "[B, H, W]", "positions": "[B, n, 2], padded with NaN"}


def _check_rank(name: str, values: Any, rank: int) -> None:
    shape = tuple(values.shape)
    if len(shape) != rank or (name == "positions" and shape[-1] != 2):
        raise ValueError(
            f"`{name}` must be {_AXES[name]}. Received the shape {shape}"
        )


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
    known. The hit ratio of a validation needs `positions`.

    They may also be tuples (x, y): x the maps, or a dictionary with `maps`
    and `q`, which is another name for `ring`; y the label or the positions,
    or a dictionary. `predict` takes such an x.
    """

    def __init__(
        self, network: Network, alpha: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        # The network's layers decide for themselves what to compute in.
        self.autocast = False
        if not alpha >= 0:
            raise ValueError(f"`alpha` must be >= 0. Received: alpha={alpha}")
        self._lists_parts = False
        # XLA takes minutes for every number and size of maps, and its steps
        # are slower: Keras leaves `jit_compile=True` out, with a warning.
        self.supports_jit = not isinstance(network, Context) or bool(
            tf.config.list_physical_devices("GPU")
        )
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

    def build(self, input_shape: Shape) -> None:
        """Make the network's weights."""
        if not self.network.built:  # as after loading
            self.network.build(input_shape)
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the weights that a stored model is loaded into."""
        self.build(config["input_shape"])

    def parts(self) -> list[keras.layers.Layer]:
        """The layers of the network, as `summary` lists them."""
        return list(
            self.network._flatten_layers(include_self=False, recursive=False)
        )

    @property
    def layers(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
    ) -> list[keras.layers.Layer]:
        """The network, by which a stored model names its weights."""
        return self.parts() if self._lists_parts else super().layers

    def summary(self, *args: Any, **kwargs: Any) -> None:
        """Keras's table, with a row for every layer of the network."""
        self._lists_parts = True
        try:
            super().summary(*args, **kwargs)
        finally:
            self._lists_parts = False

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """See the network's class."""
        return self.network.compute_output_shape(input_shape)

    def call(
        self,
        maps: tf.Tensor | Batch,
        ring: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        """The network's answer for maps [B, V, H, W]; see its class.

        Args:
            maps: [B, V, H, W], or a dictionary with `maps` and, where it is
                known, `q` (or `ring`).
            ring: q = 2k of each map [rad/px], [B, V].
            training: whether it is a training.
        """
        if isinstance(maps, dict):
            given = as_batch(maps, {"maps"})
            maps, ring = given["maps"], given.get("ring")
        _check_rank("maps", maps, 4)
        if ring is not None:
            _check_rank("q", ring, 2)
            ring = ops.cast(ring, "float32")
        return self.network.answer(ops.cast(maps, "float32"), ring, training)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step on L0 + alpha Lreg."""
        needed = {"maps", self.network.truth}
        if self.alpha > 0:
            needed.add("experiment")
        data = as_batch(data, needed, self.network.truth)
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
            # Optimizers sum the replicas' gradients.
            own = loss / self.distribute_strategy.num_replicas_in_sync
            scaled = self.optimizer.scale_loss(own)
        gradients = tape.gradient(scaled, self.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.trainable_variables, strict=True)
        )
        self.loss_tracker.update_state(loss)
        self.l0_tracker.update_state(l0)
        return self._results(self.lreg_tracker if self.alpha > 0 else None)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """L0 and, where positions are given, hit ratio on held-out maps."""
        truth = self.network.truth
        data = as_batch(data, {"maps", truth}, truth)
        output = self(data["maps"], data.get("ring"), training=False)
        l0 = self.network.loss(output, data)
        self.loss_tracker.update_state(l0)
        self.l0_tracker.update_state(l0)
        if "positions" not in data:
            return self._results(None)
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
