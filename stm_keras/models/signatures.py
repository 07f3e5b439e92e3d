"""Functions of an exported model: what goes in, what comes out."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from stm_keras.models.card import ProbabilitySelection, ScoreSelection
from stm_keras.nn.calibration import TrainingDistribution
from stm_keras.nn.decoding import (
    LEAST_FRAME_PX,
    locate_detections,
    locate_standing_out,
)
from stm_keras.nn.model import ImpurityFinder

Named = dict[str, tf.Tensor]

MAPS = tf.TensorSpec((None,) * 4, tf.float32, name="maps")
RING = tf.TensorSpec((None, None), tf.float32, name="ring_per_nm")
PIXEL = tf.TensorSpec((None,), tf.float32, name="pixel_nm")

INPUTS = {
    "maps": "[B, V, H, W], any unit; NaN or infinite where not measured",
    "ring_per_nm": "[B, V], the scattering wave vector q = 2k of each map "
    "[rad/nm]; 0 or NaN where unknown; the name is kept for one version",
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
    "weights": "[B, V, H, W], weight of each map in each pixel's answer; NaN "
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


RING_RAD_PX = 0.3, np.pi
"""Between these must lie the largest q of a frame, wider than any training's;
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
        which no check holds back. Of an empty batch one frame, see
        `with_frame`.
    """
    given = [maps, pixel_nm] + ([] if ring_per_nm is None else [ring_per_nm])
    # One after the other: each rests on what the one before found right, and
    # TensorFlow's own words for what goes wrong otherwise tell little.
    given = _after(_wrong_ranks(given), given)
    given = _after(_wrong_sizes(given, least_px), given)
    given = _after(_wrong_values(given), given)
    maps = tf.where(tf.math.is_finite(given[0]), given[0], float("nan"))
    return with_frame([maps, *given[1:]])


def with_frame(given: list[tf.Tensor]) -> list[tf.Tensor]:
    """The same tensors, with one frame of ones where the batch is empty.

    Args:
        given: [B, ...], all of one B, with any other dimensions.
    """
    batch = tf.shape(given[0])[0]
    rows = tf.maximum(batch, 1)
    padded = []
    for tensor in given:
        shape = tf.shape(tensor)
        frame = tf.ones(tf.concat([[1], shape[1:]], 0), tensor.dtype)
        whole = tf.concat([tensor, frame], 0)[:rows]
        # Not `ensure_shape`, an operation that other tools lack.
        whole.set_shape(tensor.shape)
        padded.append(whole)
    return padded


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


_NOWHERE = -1e9
"""A logit of probability 0. Not infinite: tf2onnx makes of a choice a sum of
products, and 0 times infinity is no number."""

_LEAST_RING_RAD_PX = 1e-6
"""A ring of a smaller q is none: no frame shows that it turns."""

_RING_PX = tf.TensorSpec((None, None), tf.float32, name="ring")
_MEASURED = tf.TensorSpec((None,) * 4, tf.float32, name="measured")


def context_endpoints(
    model: ImpurityFinder,
    selection: ProbabilitySelection,
    distribution: TrainingDistribution | None,
) -> list[Endpoint]:
    """Signatures of a model with the network `Context`.

    Args:
        model: the trained network.
        selection: of its card, what `locate` gives.
        distribution: features of the training fields; None leaves `describe`
            out.
    """
    answers = _ContextAnswers(model, selection)
    public, tiles = (MAPS, RING, PIXEL), (MAPS, _RING_PX, _MEASURED)
    every = endpoints(answers, model.network, public, tiles)
    if distribution is not None:
        every.append(
            Endpoint(
                "describe",
                functools.partial(answers.describe, distribution),
                (MAPS, _RING_PX),
                "OOD score: distance from the training distribution",
                internal=True,
            )
        )
    return every


@dataclass(frozen=True)
class _ContextAnswers:
    """See `stm_keras.models.signatures.Answers`."""

    model: ImpurityFinder
    selection: ProbabilitySelection

    def serve(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen, _ = self._answer(maps, ring_per_nm, pixel_nm)
        named = _named(output)
        named["score"] = tf.where(seen, named["score"], float("nan"))
        named["probability"] = tf.where(seen, named["probability"], 0.0)
        return named

    def locate(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen, pixel = self._answer(maps, ring_per_nm, pixel_nm)
        logit, rest = tf.split(output, (1, 4), axis=-1)
        logit = tf.where(tf.expand_dims(seen, -1), logit, _NOWHERE)
        found = locate_detections(
            tf.concat([logit, rest], axis=-1),
            self.selection.threshold,
            self.selection.false_discovery_rate,
            self.selection.prior_false,
        )
        return {
            "positions_px": found.positions,
            "positions_nm": in_nm(found.positions, pixel),
            "deviations_px": found.deviations,
            "deviations_nm": found.deviations * pixel[:, None, None],
            "probability": found.certainty,
            "count": found.count,
            "left_out": found.left_out,
        }

    def attention(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        maps, ring_px, _ = _usable(maps, ring_per_nm, pixel_nm)
        network = self.model.network
        weights = network(maps, ring_px, return_weights=True)[1]
        return shares(weights, _seen(maps))

    def score_tiles(
        self, maps: tf.Tensor, ring: tf.Tensor, measured: tf.Tensor
    ) -> Named:
        network = self.model.network
        return _named(network(maps, ring, standardised=True, measured=measured))

    def describe(
        self,
        distribution: TrainingDistribution,
        maps: tf.Tensor,
        ring: tf.Tensor,
    ) -> Named:
        away = self.model.network.describe(maps, ring) - distribution.mean
        return {"unlikeness": tf.norm(away @ distribution.whitening, axis=-1)}

    def _answer(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps, ring_px, pixel = _usable(maps, ring_per_nm, pixel_nm)
        return self.model(maps, ring_px, training=False), _seen(maps), pixel


def _usable(
    maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The maps as they should be, q in rad/px, the checked pixel_nm."""
    maps, pixel, ring = checked(maps, pixel_nm, ring_per_nm, LEAST_FRAME_PX)
    ring_px = ring * tf.expand_dims(pixel, -1)
    # Templates that do not turn would be scaled by nothing, to NaN.
    ring_px = tf.where(ring_px < _LEAST_RING_RAD_PX, 0.0, ring_px)
    return maps, ring_px, pixel


def _seen(maps: tf.Tensor) -> tf.Tensor:
    """Where any map has a number."""
    return tf.reduce_any(tf.math.is_finite(maps), axis=1)


def _named(output: tf.Tensor) -> Named:
    logit, offset, deviation = tf.split(output, (1, 2, 2), axis=-1)
    score = tf.squeeze(logit, axis=-1)
    return {
        "score": score,
        "probability": tf.sigmoid(score),
        "offset": offset,
        "deviation": deviation,
    }


def score_endpoints(
    model: ImpurityFinder, selection: ScoreSelection
) -> list[Endpoint]:
    """Signatures of a model with the network `Wang2020`.

    Args:
        model: the trained network, whose receptive field a frame must exceed.
        selection: of its card, what `locate` gives.
    """
    answers = _ScoreAnswers(model, selection)
    return endpoints(answers, model.network, (MAPS, PIXEL), (MAPS,))


@dataclass(frozen=True)
class _ScoreAnswers:
    """See `stm_keras.models.signatures.Answers`."""

    model: ImpurityFinder
    selection: ScoreSelection

    def serve(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        score, seen, _ = self._answer(maps, pixel_nm)
        highest = tf.reduce_max(
            # Not -inf: tf2onnx makes of a choice a sum of products.
            tf.where(seen, score, score.dtype.min),
            axis=(1, 2),
            keepdims=True,
        )
        # A frame without a single pixel that all maps have is all 0.
        part = tf.exp(tf.minimum(score - highest, 0.0))
        part = tf.where(seen, part, 0.0)
        whole = tf.reduce_sum(part, axis=(1, 2), keepdims=True)
        return {
            "score": tf.where(seen, score, float("nan")),
            "probability": tf.math.divide_no_nan(part, whole),
        }

    def locate(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        score, seen, pixel = self._answer(maps, pixel_nm)
        n_maps = tf.shape(maps)[1]
        found = locate_standing_out(
            score,
            seen,
            _nearest(self.selection.thresholds, n_maps),
            self._noise_floor(n_maps),
        )
        return {
            "positions_px": found.positions,
            "positions_nm": in_nm(found.positions, pixel),
            "height": found.certainty,
            "count": found.count,
            "left_out": found.left_out,
        }

    def attention(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        maps = self._usable(maps, pixel_nm)[0]
        weights = self.model.network(maps, return_weights=True)[1]
        return shares(weights, _in_every_map(maps))

    def score_tiles(self, maps: tf.Tensor) -> Named:
        return {"score": self.model.network(maps, standardised=True)}

    def _noise_floor(self, n_maps: tf.Tensor) -> tf.Tensor:
        """See `ScoreSelection.noise_floor`."""
        most = float(max(self.selection.floors))
        beyond = tf.maximum(1.0, tf.cast(n_maps, tf.float32) / most)
        return _nearest(self.selection.floors, n_maps) * beyond

    def _usable(
        self, maps: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        least_px = self.model.network.reach_px + 1
        maps, pixel = checked(maps, pixel_nm, None, least_px)
        return maps, pixel

    def _answer(
        self, maps: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps, pixel = self._usable(maps, pixel_nm)
        return (
            self.model(maps, training=False),
            _in_every_map(maps),
            pixel,
        )


def _in_every_map(maps: tf.Tensor) -> tf.Tensor:
    """Where every map has a number."""
    return tf.reduce_all(tf.math.is_finite(maps), axis=1)


def _nearest(by_count: dict[int, float], n_maps: tf.Tensor) -> tf.Tensor:
    """The value of the nearest number of maps, as a ratio."""
    counts = np.array(list(by_count), np.float32)
    values = tf.constant(list(by_count.values()), tf.float32)
    apart = tf.abs(tf.math.log(tf.cast(n_maps, tf.float32) / counts))
    return values[tf.argmin(apart)]
