"""Images as the report page holds them: 8 bits a pixel, deflated, in text."""

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_NOT_MEASURED = 0
_LEVELS = 254
"""Of what is measured, from 1 on: the eye tells fewer apart."""

_MOST_PX = 1024
"""Of a side: more than a page shows at once."""
_LEAST_PX = 32
_FEW = 4
_MARGIN = 0.97


@dataclass(frozen=True, eq=False)
class Layer:
    """Images that the page shows in one place.

    Attributes:
        name: for people.
        images: float [n, H, W]: one for all biases, or one a bias; NaN where
            unknown.
        unit: of the values; empty where they have none.
    """

    name: str
    images: np.ndarray
    unit: str = ""


def packed(layers: Sequence[Layer], most_bytes: int) -> list[dict[str, Any]]:
    """Layers as JSON has them, with fewer pixels where they need be.

    Args:
        layers: in the order of the page.
        most_bytes: of all their images together, as text.

    Returns:
        For each layer `name`, `unit`, `shape` (rows and columns [px] here),
        `full_shape` (before), `ranges` (least and greatest value of each
        image), and `images`; see `unpacked`.
    """
    side = float(
        min(max(max(one.images.shape[1:]) for one in layers), _MOST_PX)
    )
    side *= min(1.0, _MARGIN * math.sqrt(most_bytes / _estimate(layers, side)))
    while True:
        found = [_packed(layer, max(side, _LEAST_PX)) for layer in layers]
        size = _size(found)
        if size <= most_bytes or side <= _LEAST_PX:
            return found
        side *= _MARGIN * math.sqrt(most_bytes / size)


def unpacked(text: str, shape: Sequence[int]) -> NDArray[np.uint8]:
    """An image as the page unpacks it.

    Args:
        text: base64 of deflated bytes: how the pixels are written, then the
            pixels: 0 as they are, 1 as differences, modulo 256, from the
            pixel to the left.
        shape: rows and columns.

    Returns:
        uint8 [H, W]: 0 is "not measured", 1 the least value of its range or
        less, 255 the greatest or more, and between them is linear.
    """
    content = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    pixels = content[1:].reshape(shape)
    if content[0]:
        pixels = np.cumsum(pixels, axis=1, dtype=np.uint8)
    return pixels


def _size(found: Sequence[dict[str, Any]]) -> int:
    return sum(len(text) for one in found for text in one["images"])


def _estimate(layers: Sequence[Layer], side: float) -> float:
    """Of the size at so many pixels a side, by a few images a layer."""
    total = 0.0
    for layer in layers:
        few = layer.images[:: max(1, len(layer.images) // _FEW)]
        part = _packed(Layer(layer.name, few), side)
        total += _size([part]) * len(layer.images) / len(few)
    return total


def _packed(layer: Layer, side: float) -> dict[str, Any]:
    images = [_shrunk(image, side) for image in layer.images]
    ranges = [_range(image) for image in images]
    return {
        "name": layer.name,
        "unit": layer.unit,
        "shape": list(images[0].shape),
        "full_shape": list(layer.images.shape[1:]),
        "ranges": ranges,
        "images": [
            _text(_codes(image, *ends))
            for image, ends in zip(images, ranges, strict=True)
        ],
    }


def _shrunk(image: np.ndarray, side: float) -> np.ndarray:
    """An image with at most so many pixels a side, means of what is there."""
    longest = max(image.shape)
    if longest <= side:
        return np.asarray(image, np.float64)
    shape = [max(1, round(n * side / longest)) for n in image.shape]
    measured = np.isfinite(image)
    share = _local_mean(measured, shape)
    mean = _local_mean(np.where(measured, image, 0.0), shape)
    return np.where(share >= 0.5, mean / np.maximum(share, 0.5), np.nan)


def _local_mean(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    rows, cols = shape
    # Of values near 1: 32 bits are enough for what has 8 in the end.
    scale = float(np.abs(image).max()) or 1.0
    values = Image.fromarray((image / scale).astype(np.float32))
    return scale * np.asarray(values.resize((cols, rows), Image.Resampling.BOX))


def _range(image: np.ndarray) -> list[float]:
    """Least and greatest value to be told apart; the extremes are not."""
    if not np.isfinite(image).any():
        return [0.0, 0.0]
    low, high = np.nanpercentile(image, (0.5, 99.5))
    return [float(f"{end:.6g}") for end in (low, high)]


def _codes(image: np.ndarray, low: float, high: float) -> NDArray[np.uint8]:
    span = high - low
    part = (image - low) / span if span > 0 else np.where(image > low, 1.0, 0.0)
    codes = 1 + np.rint(_LEVELS * np.clip(np.nan_to_num(part), 0, 1))
    return np.where(np.isfinite(image), codes, _NOT_MEASURED).astype(np.uint8)


def _text(codes: NDArray[np.uint8]) -> str:
    """As short as the two ways of writing the pixels make it."""
    differences = np.diff(codes, axis=1, prepend=np.uint8(0))
    return min(
        (
            base64.b64encode(zlib.compress(bytes([way]) + pixels.tobytes()))
            for way, pixels in enumerate((codes, differences))
        ),
        key=len,
    ).decode("ascii")
