"""Functions of an exported model: what goes in, what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

Named = dict[str, tf.Tensor]

MAPS = tf.TensorSpec((None,) * 4, tf.float32, name="maps")
RING = tf.TensorSpec((None, None), tf.float32, name="ring_per_nm")
PIXEL = tf.TensorSpec((None,), tf.float32, name="pixel_nm")

INPUTS = {
    "maps": "[B, V, H, W], any unit; NaN or infinite where not measured",
    "ring_per_nm": "[B, V], 2k of each map [rad/nm]; 0 or NaN where not known",
    "pixel_nm": "[B], side of a pixel [nm]",
}
OUTPUTS = {
    "score": "[B, H, W], S; NaN where nothing was measured",
    "probability": "[B, H, W] of each pixel, or [B, K] of each position",
    "offset": "[B, H, W, 2], from each pixel's centre, row and column [px]",
    "deviation": "[B, H, W, 2], standard deviations of the two [px]",
    "positions_px": "[B, K, 2], row and column; (0, 0) is the centre of the "
    "first pixel; NaN from `count` on",
    "positions_nm": "[B, K, 2], y and x from the frame's top left corner; NaN "
    "from `count` on",
    "deviations_px": "[B, K, 2], standard deviations; NaN from `count` on",
    "deviations_nm": "[B, K, 2], likewise [nm]",
    "height": "[B, K], S at the peak in standard deviations above its mean",
    "count": "[B], number of positions, the surest first",
    "left_out": "[B], candidates that did not fit into K",
    "weights": "[B, V, H, W], share of each map in each pixel's answer; NaN "
    "where nothing was measured",
    "share": "[B, V], mean of `weights` over the pixels that are not NaN",
}


@dataclass(frozen=True)
class Endpoint:
    """A signature of an exported model.

    Attributes:
        name: of the signature.
        function: from tensors by name to tensors by name.
        inputs: their names, shapes and types, in the function's order.
        about: what it is for.
        internal: whether it is for this package alone.
    """

    name: str
    function: Callable[..., Named]
    inputs: tuple[tf.TensorSpec, ...]
    about: str
    internal: bool = False

    @property
    def documented(self) -> dict[str, Any]:
        """What it is for and what goes in, for the model's assets."""
        names = [str(spec.name) for spec in self.inputs]
        inputs = {name: INPUTS.get(name, "") for name in names}
        return {"about": self.about, "inputs": inputs}


class Answers(Protocol):
    """What every exported network can be asked, tensors to named tensors."""

    @property
    def serve(self) -> Callable[..., Named]:
        """Answer of every pixel."""
        ...

    @property
    def locate(self) -> Callable[..., Named]:
        """Positions of the impurities."""
        ...

    @property
    def attention(self) -> Callable[..., Named]:
        """Which maps counted."""
        ...

    @property
    def score_tiles(self) -> Callable[..., Named]:
        """Answer for tiles of standardised maps."""
        ...


def endpoints(
    answers: Answers,
    network: Any,
    public: tuple[tf.TensorSpec, ...],
    tiles: tuple[tf.TensorSpec, ...],
) -> list[Endpoint]:
    """The signatures that every exported model has.

    Args:
        answers: the functions themselves.
        network: gives the maps as it sees them.
        public: inputs of those that are for everyone.
        tiles: of `score_tiles`.
    """
    return [
        Endpoint(
            "serving_default", answers.serve, public, "answer of every pixel"
        ),
        Endpoint(
            "locate", answers.locate, public, "positions of the impurities"
        ),
        Endpoint("attention", answers.attention, public, "which maps counted"),
        standardize(network),
        Endpoint(
            "score_tiles",
            answers.score_tiles,
            tiles,
            "answer for tiles of standardised maps",
            internal=True,
        ),
    ]


def standardize(network: Any) -> Endpoint:
    """The maps as the network sees them."""
    return Endpoint(
        "standardize",
        lambda maps: {"maps": network.standardization(maps)},
        (MAPS,),
        "maps of mean 0 and standard deviation 1",
        internal=True,
    )


def in_nm(positions_px: tf.Tensor, pixel_nm: tf.Tensor) -> tf.Tensor:
    """Positions [B, K, 2] from the corner of the frame, in nm."""
    return (positions_px + 0.5) * pixel_nm[:, None, None]


def shares(weights: tf.Tensor, seen: tf.Tensor) -> Named:
    """Attention weights as shares: c sums to V, these sum to 1.

    Args:
        weights: c, float32 [B, V, H, W] or [B, V, 1, 1].
        seen: where something was measured, bool [B, H, W].

    Returns:
        See `OUTPUTS`.
    """
    weights /= tf.cast(tf.shape(weights)[1], tf.float32)
    seen = tf.expand_dims(seen, 1)
    held = tf.cast(seen, tf.float32)
    count = tf.reduce_sum(held, (2, 3))
    return {
        "weights": tf.where(seen, weights, float("nan")),
        "share": tf.reduce_sum(weights * held, (2, 3)) / count,
    }
