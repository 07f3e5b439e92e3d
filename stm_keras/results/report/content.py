"""What the report page shows, as JSON has it."""

import base64
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import ArrayLike

import stm_keras
from stm_keras.detections import (
    Detections,
    Search,
    as_positions,
    table_cell,
    table_head,
    to_nm,
    warnings_in,
)
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.plots import rms_map
from stm_keras.results.report.pictures import Layer, packed
from stm_keras.results.report.words import (
    CALIBRATION,
    COLUMNS,
    LAYERS,
    meaning,
)
from stm_keras.units import height_by_width

PICTURE_BYTES = 4_000_000
"""Of all pictures, as text: the page stays below 5 MB."""

MOST_LEFT_OUT = 2000
"""Candidates below the threshold; the surest are taken."""

_COLOURS = {
    "Viridis": "viridis",
    "Cividis": "cividis",
    "Grey": "gray",
    "Grey, dark is high": "gray_r",
}
"""Even in lightness from end to end, so that they print, and nobody needs to
tell red from green; by Matplotlib's names."""


def content_of(
    found: Detections, truth_px: ArrayLike | None = None
) -> dict[str, Any]:
    """What the page shows of a result.

    Args:
        found: the impurities.
        truth_px: row, column of the true positions [px], [m, 2], where they
            are known.

    Returns:
        Plain values; every number is finite.
    """
    search = found.search
    content = _content(
        search.levelled, layers_of(found), search.origin_nm, found.notes
    )
    content["about"] += _about_search(found)
    content["found"] = _found(found)
    content["remarks"] += _cut_short(found)
    if truth_px is not None:
        truth = as_positions(truth_px, "truth_px")
        truth_nm = to_nm(truth, found.maps.pixel_nm)
        content["truth_nm"] = truth_nm[:, ::-1].tolist()
    return content


def content_of_maps(maps: ConductanceMaps) -> dict[str, Any]:
    """What the page shows of maps alone: the same without `found`."""
    ordered = maps.sorted_by_bias()
    return _content(ordered, _map_layers(ordered), (0, 0), ordered.provenance)


def layers_of(found: Detections) -> list[Layer]:
    """All layers of a result, the maps first.

    Raises:
        InputError: for a further layer that is no image, and not one a map.
    """
    search = found.search
    layers = _map_layers(search.levelled)
    layers.append(Layer("Score S of the network", search.score[np.newaxis]))
    layers += (
        Layer(LAYERS.get(name, _own_name(name)), _images(name, image, search))
        for name, image in search.layers.items()
    )
    return layers


def _images(name: str, layer: np.ndarray, search: Search) -> np.ndarray:
    """Images [n, H, W] of a further layer, one or one a map."""
    images = np.asarray(layer)
    images = images[np.newaxis] if images.ndim == 2 else images
    if images.ndim != 3 or len(images) not in (1, search.levelled.shape[0]):
        raise InputError(
            f"The layer {name!r} must be [H, W], or [V, H, W] with one image "
            f"a map. Received the shape {np.shape(layer)}."
        )
    return images


def as_json(content: Mapping[str, Any]) -> str:
    """The content as text that can stand within a <script> element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    # In a file's name, "</script>" would end the element.
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _map_layers(maps: ConductanceMaps) -> list[Layer]:
    layers = [Layer(f"Map: {maps.channel or 'signal'}", maps.data, maps.unit)]
    if len(maps.data) > 1:
        rms = rms_map(maps.data)[np.newaxis]
        layers.append(Layer("RMS over bias", rms, maps.unit))
    return layers


def _content(
    maps: ConductanceMaps,
    layers: list[Layer],
    corner_nm: tuple[float, float],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """What maps and results have in common."""
    pictures = packed(layers, PICTURE_BYTES)
    return {
        "title": _title(maps.source),
        "written_by": f"stm-keras {stm_keras.__version__}",
        "about": [*_about_maps(maps)],
        "frame_nm": {
            "top": corner_nm[0],
            "left": corner_nm[1],
            "height": maps.extent_nm[0],
            "width": maps.extent_nm[1],
        },
        "bias_v": maps.bias_v.tolist(),
        "layers": pictures,
        "colours": {
            name: base64.b64encode(_colours(table)).decode("ascii")
            for name, table in _COLOURS.items()
        },
        "remarks": [*_shrunk(pictures)],
        "warnings": [
            {"text": line, "meaning": meaning(line)}
            for line in warnings_in(notes)
        ],
        "provenance": list(notes),
    }


def _title(source: str) -> str:
    """The name of a file, or of the first of a stack."""
    paths = [Path(name) for name in source.split(", ")]
    if len({path.suffix for path in paths}) > 1:
        return Path(source).name  # one file with a comma in its name
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].name or 'memory'}{more}"


def _colours(name: str) -> bytes:
    """Red, green and blue of 256 colours."""
    return mpl.colormaps[name](np.arange(256), bytes=True)[:, :3].tobytes()


def _about_maps(maps: ConductanceMaps) -> Iterator[tuple[str, str]]:
    yield "File", maps.source
    unit = f" [{maps.unit}]" if maps.unit else ""
    yield "Channel", f"{maps.channel or 'not named'}{unit}"
    _, *sides = maps.shape
    size = height_by_width(maps.extent_nm, "nm")
    yield "Frame", f"{size}, {height_by_width(sides, 'px')}"
    low, high = 1e3 * maps.bias_v.min(), 1e3 * maps.bias_v.max()
    biases = f"{low:.5g} mV"
    if len(maps.bias_v) > 1:
        biases = f"{len(maps.bias_v)}, from {low:.5g} to {high:.5g} mV"
    yield "Maps", biases


def _about_search(found: Detections) -> Iterator[tuple[str, str]]:
    search = found.search
    _, height, width = search.levelled.shape
    if (height, width) != found.maps.shape[1:]:
        row, col = search.origin_px
        yield (
            "Part searched",
            f"rows {row}:{row + height}, columns {col}:{col + width}",
        )
    share = search.searched(search.levelled).mean()
    yield "Of it searched", f"{share:.1%}"
    yield "Model", str(search.model.get("name", "not named"))
    yield "Surface", str(search.options.get("surface") or "not given")
    if found.surrogates is not None:
        yield (
            "Found where no impurity is",
            f"{found.surrogates.mean():.2g} in the mean of "
            f"{len(found.surrogates)} phase-randomised surrogate map(s)",
        )


def _shrunk(pictures: list[dict[str, Any]]) -> Iterator[str]:
    for one in pictures:
        if one["shape"] != one["full_shape"]:
            yield (
                f"{one['name']}: shown with "
                f"{height_by_width(one['shape'], 'px')} in place of "
                f"{height_by_width(one['full_shape'], 'px')}, so that this "
                "page stays small. Positions are not touched by it."
            )


def _cut_short(found: Detections) -> Iterator[str]:
    if found.left_out is not None and len(found.left_out) > MOST_LEFT_OUT:
        yield (
            f"Of the candidates below the threshold the {MOST_LEFT_OUT} surest "
            f"of {len(found.left_out)} are on this page."
        )


def _found(found: Detections) -> dict[str, Any]:
    """The table of impurities, and of candidates that may become some."""
    columns = found.columns()
    n_left_out = 0
    if found.left_out is not None:
        more = found.left_out.columns()
        n_left_out = min(len(found.left_out), MOST_LEFT_OUT)
        more["rank"] = more["rank"] + len(found)
        unknown = np.full(n_left_out, np.nan)  # as the kinds, of those found
        columns = {
            name: np.concatenate([column, more.get(name, unknown)[:n_left_out]])
            for name, column in columns.items()
        }
    return {
        "count": len(found),
        "left_out": n_left_out,
        "threshold": found.threshold,
        "probabilities": found.gives_probabilities,
        "meaning": found.meaning_of_score,
        "calibration": CALIBRATION if found.gives_probabilities else "",
        "columns": [_column(name, values) for name, values in columns.items()],
        "csv_head": [
            *table_head(columns),
            f"source: {found.maps.source}",
            f"model: {found.search.model.get('name', 'not named')}",
        ],
    }


def _column(name: str, values: np.ndarray) -> dict[str, Any]:
    heading, unit = COLUMNS.get(name, (_own_name(name), ""))
    plain = [_plain(name, value) for value in values.tolist()]
    return {"name": name, "heading": heading, "unit": unit, "values": plain}


def _plain(name: str, value: Any) -> Any:
    """A value as positions.csv has it; None where it is not known.

    Scores are exact: the threshold is one of them.
    """
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if name == "score" else float(table_cell(name, value))


def _own_name(name: str) -> str:
    return name.replace("_", " ").capitalize()
