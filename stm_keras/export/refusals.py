"""Inputs of an exported model that make no sense, refused in the graph."""

import numpy as np
import tensorflow as tf

from stm_keras.export.endpoints import INPUTS

RING_RAD_PX = 0.3, np.pi
"""Between these must lie the largest 2k of a frame, wider than any training's;
what does not is in another unit. Near a band's edge others may be smaller."""

_LARGEST = 1e30
"""Sums of larger values are no number in float32."""


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
        and ring_per_nm where it is given: to be used in place of what came,
        which no check holds back.
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
        (
            ~tf.math.is_finite(maps) | (tf.abs(maps) <= _LARGEST),
            f"maps [B, V, H, W]: a value is beyond {_LARGEST:g}; if it marks "
            "what was not measured, give NaN in its place.",
        ),
    ]
    least, most = RING_RAD_PX
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
