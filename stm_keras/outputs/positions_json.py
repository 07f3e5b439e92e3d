"""Positions as JSON, with all that is needed to make sense of them."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import stm_keras
from stm_keras.finding.prediction import Prediction
from stm_keras.io.maps import ConductanceMaps
from stm_keras.outputs.notes import meaning_of_score, warnings_in

FORMAT = "stm-keras positions"
FORMAT_VERSION = 1

UNITS = {
    "row, col, rows, cols": "px; (0, 0) is the centre of the file's top left "
    "pixel; spans are first and one after the last",
    "x_nm, y_nm": "nm from the file's top left corner, x right, y down",
    "scanner_x_nm, scanner_y_nm, centre_nm": "nm on the sample in the "
    "scanner's own coordinates, x right, y up",
    "angle_deg": "degrees, counter-clockwise",
    "extent_nm, pixel_nm, origin_nm": "nm, along the rows (down) first",
    "bias_v": "V",
    "std_x_nm, std_y_nm": "nm, standard deviations of x_nm and y_nm",
    "rank": "1 is the highest score",
}


def write_json(
    path: Path, prediction: Prediction, *, mask_radius_nm: float
) -> None:
    """Write `document` to a file, UTF-8."""
    text = json.dumps(
        document(prediction, mask_radius_nm=mask_radius_nm),
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )
    # Names of files may hold bytes that are no UTF-8; JSON has the same escape.
    path.write_text(text + "\n", "utf-8", "backslashreplace", newline="\n")


def document(
    prediction: Prediction, *, mask_radius_nm: float
) -> dict[str, Any]:
    """Positions and what is known of them, as JSON has it.

    Args:
        prediction: what was found.
        mask_radius_nm: of the discs in the mask [nm].

    Returns:
        Plain values; the keys are described in docs/predict.md.
    """
    card, options = prediction.card, prediction.options
    found = prediction.found
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"stm-keras {stm_keras.__version__}",
        "units": UNITS | {"score, threshold": meaning_of_score(found)},
        "source": _source(prediction.file_maps),
        "region": _region(prediction),
        "model": {
            "name": card.name,
            "made": card.made,
            "versions": card.versions,
            "ring_rad_px": list(card.ring_rad_px),
        },
        "options": {
            "surface": options.surface,
            "cleaning": dataclasses.asdict(options.cleaning),
            "tiling": options.tiling,
            "threshold": options.threshold,
            "false_discovery_rate": options.false_discovery_rate,
        },
        "threshold": found.threshold,
        "noise_floor_of_s": _finite(found.floor),
        "expected_false": found.expected_false,
        "found_in_surrogates": None
        if found.surrogates is None
        else found.surrogates.tolist(),
        "score_map": {
            "file": "S.npy",
            "shape_px": list(found.score.shape),
            "pixel_nm": list(prediction.maps.pixel_nm),
            "origin_nm": list(prediction.origin_nm),
        },
        "mask": {"file": "mask.npy", "radius_nm": mask_radius_nm},
        "positions": _positions(prediction),
        "warnings": warnings_in(prediction.notes),
        "provenance": list(prediction.notes),
    }


def _source(maps: ConductanceMaps) -> dict[str, Any]:
    placement = maps.placement
    return {
        "file": maps.source,
        "channel": maps.channel,
        "unit": maps.unit,
        "bias_v": maps.bias_v.tolist(),
        "shape_px": list(maps.shape[1:]),
        "extent_nm": list(maps.extent_nm),
        "pixel_nm": list(maps.pixel_nm),
        "placement": placement
        and {
            "centre_nm": list(placement.centre_nm),
            "angle_deg": placement.angle_deg,
        },
    }


def _region(prediction: Prediction) -> dict[str, Any]:
    row, col = prediction.origin_px
    _, height, width = prediction.levelled.shape
    return {
        "rows": [row, row + height],
        "cols": [col, col + width],
        "origin_nm": list(prediction.origin_nm),
        "bias_v": prediction.levelled.bias_v.tolist(),
    }


def _positions(prediction: Prediction) -> list[dict[str, float]]:
    """One a position, the highest score first."""
    places = prediction.positions_px
    scanner = prediction.file_maps.scanner_nm(places)
    deviations = prediction.deviations_nm
    listed = []
    for index, score in enumerate(prediction.scores):
        y_nm, x_nm = prediction.positions_nm[index]
        entry = {
            "row": float(places[index, 0]),
            "col": float(places[index, 1]),
            "x_nm": float(x_nm),
            "y_nm": float(y_nm),
        }
        if deviations is not None:
            entry["std_x_nm"] = float(deviations[index, 1])
            entry["std_y_nm"] = float(deviations[index, 0])
        if scanner is not None:
            entry["scanner_x_nm"] = float(scanner[index, 0])
            entry["scanner_y_nm"] = float(scanner[index, 1])
        listed.append(entry | {"score": float(score), "rank": index + 1})
    return listed


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
