"""Functions of an exported model: what goes in, what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Named = dict[str, tf.Tensor]

MAPS = tf.TensorSpec((None,) * 4, tf.float32, name="maps")
RING = tf.TensorSpec((None, None), tf.float32, name="ring_per_nm")
PIXEL = tf.TensorSpec((None,), tf.float32, name="pixel_nm")

_RING_RAD_PX = 0.3, np.pi
"""Between these must lie the largest 2k of a frame, wider than any training's;
what does not is in another unit. Near a band's edge others may be smaller."""

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


def standardize(network: Any) -> Endpoint:
    """The maps as the network sees them."""
    return Endpoint(
        "standardize",
        lambda maps: {"maps": network.standardization(maps)},
        (MAPS,),
        "maps of mean 0 and standard deviation 1",
        internal=True,
    )


def checked(
    maps: tf.Tensor,
    pixel_nm: tf.Tensor,
    ring_per_nm: tf.Tensor | None,
    least_px: int,
) -> list[tf.Tensor]:
    """The inputs, unless they make no sense, which is refused with a line.

    Args:
        maps: see `INPUTS`.
        pixel_nm: likewise.
        ring_per_nm: likewise; None for a network that does not take it.
        least_px: least side of a frame [px].

    Returns:
        The maps, [B, V, H, W], with NaN for all that is no number, pixel_nm,
        and ring_per_nm where it is given.
    """
    given = [maps, pixel_nm] + ([] if ring_per_nm is None else [ring_per_nm])
    # One after the other: each rests on what the one before found right, and
    # TensorFlow's own words for what goes wrong otherwise tell little.
    given = _after(_wrong_ranks(given), given)
    given = _after(_wrong_sizes(given, least_px), given)
    given = _after(_wrong_values(given), given)
    maps = tf.where(tf.math.is_finite(given[0]), given[0], float("nan"))
    return [maps, *given[1:]]


def _after(
    checks: list[tf.Operation | None], given: list[tf.Tensor]
) -> list[tf.Tensor]:
    """The same tensors, which wait for the checks."""
    with tf.control_dependencies([c for c in checks if c is not None]):
        return [tf.identity(tensor) for tensor in given]


def _wrong_ranks(given: list[tf.Tensor]) -> list[tf.Operation | None]:
    named = zip(given, ("maps", "pixel_nm", "ring_per_nm"), strict=False)
    return [
        tf.debugging.assert_equal(
            _rank(tensor),
            len(tensor.shape),
            f"{name} must be {INPUTS[name].partition(']')[0]}].",
        )
        for tensor, name in named
    ]


def _rank(tensor: tf.Tensor) -> tf.Tensor:
    """Of what came, not what the signature says.

    TensorFlow does not compare the two, and would put the signature's in the
    place of `tf.rank`; how many sizes are not negative it cannot foresee.
    """
    return tf.shape(tf.where(tf.shape(tensor) >= 0))[0]


def _wrong_sizes(
    given: list[tf.Tensor], least_px: int
) -> list[tf.Operation | None]:
    maps, pixel_nm, *ring_per_nm = given
    batch, voltages, height, width = tf.unstack(tf.shape(maps))
    checks = [
        tf.debugging.assert_positive(
            voltages, "maps [B, V, H, W]: V is 0, and a stack needs a map."
        ),
        tf.debugging.assert_greater_equal(
            tf.minimum(height, width),
            least_px,
            f"maps [B, V, H, W]: H and W must be at least {least_px} px.",
        ),
        tf.debugging.assert_equal(
            tf.shape(pixel_nm)[0], batch, "pixel_nm [B]: not B values."
        ),
    ]
    for ring in ring_per_nm:
        checks.append(
            tf.debugging.assert_equal(
                tf.shape(ring),
                tf.stack([batch, voltages]),
                "ring_per_nm [B, V]: not one value for each of the maps.",
            )
        )
    return checks


def _wrong_values(given: list[tf.Tensor]) -> list[tf.Operation | None]:
    maps, pixel_nm, *ring_per_nm = given
    sized = tf.math.is_finite(pixel_nm) & (pixel_nm > 0)
    alive = tf.reduce_any(tf.math.is_finite(maps), axis=(2, 3))
    # All maps or none: a frame may be empty, as padding of a batch is.
    whole = tf.reduce_all(alive, axis=1) | ~tf.reduce_any(alive, axis=1)
    said = [
        (sized, "pixel_nm [B]: a pixel has a side above 0 nm."),
        (
            whole,
            "maps [B, V, H, W]: a map holds no number, others of its frame "
            "do; leave it out.",
        ),
    ]
    least, most = _RING_RAD_PX
    for ring in ring_per_nm:
        unknown = (ring == 0) | tf.math.is_nan(ring)
        known_px = tf.where(unknown, 0.0, ring * tf.expand_dims(pixel_nm, -1))
        largest = tf.reduce_max(known_px, axis=1)
        shown = (largest >= least) | tf.reduce_all(unknown, axis=1)
        shown &= (largest <= most) & tf.reduce_all(known_px >= 0, axis=1)
        message = (
            "ring_per_nm [B, V]: times pixel_nm the largest of a frame must "
            f"lie between {least} and {most:.2f} rad/px, and none be below 0; "
            "0 is unknown; the units are rad/nm and nm."
        )
        # Of a pixel without a size the other line tells.
        said.append((shown | ~sized, message))
    return [
        tf.debugging.assert_equal(tf.reduce_all(held), True, message)
        for held, message in said
    ]


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
