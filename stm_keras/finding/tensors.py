"""A file as the tensors that an exported model takes."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.files import writable_directory
from stm_keras.finding.few_maps import few_maps
from stm_keras.finding.file_prediction import (
    FileOptions,
    companions_of,
    read_files,
)
from stm_keras.finding.prepared_maps import PreparedMaps, prepare_maps
from stm_keras.io.sets import expand
from stm_keras.model_card import ModelCard, read_card
from stm_keras.nn.context import LEAST_FRAME_PX

FILES = (
    "maps.npy",
    "pixel_nm.npy",
    "ring_per_nm.npy",
    "inputs.json",
    "frame.json",
)

_MOST_OFF_PX = 0.05
"""What the mean of two sides may do to a position without a word."""


def write_tensors(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
) -> list[str]:
    """Write the inputs of a model's signatures for a file.

    It does what `stmk predict` does before the network, in the folder `out`:
    `maps.npy` float32 [1, V, H, W] at the network's pixel, NaN where not
    measured, of many maps means (see `few_maps`); `pixel_nm.npy` [1];
    `ring_per_nm.npy` [1, V], for a model that takes it; `inputs.json`, the same
    for a REST request; and `frame.json`, which tells how to get from pixels of
    the maps to those of the file, and all that was done.

    Args:
        paths: one file, or those of a stack.
        model: model directory, of which the card is read.
        out: folder to write to; other files in it stay.
        options: how to read and clean.

    Returns:
        What to be wary of.

    Raises:
        InputError: where a file, the model or the folder cannot be used, or
            the frame is too small for the model.
    """
    files = list(expand(paths).paths)
    card = read_card(model)
    if not options.stack and len(files) != 1:
        raise InputError(
            f"{len(files)} files: give one, or --stack for maps of one frame."
        )
    maps = read_files(files, options)
    beside = companions_of(files, maps, options)
    ready = prepare_maps(maps, card, options.predict, beside)
    _check(ready, card)
    notes = [*ready.ready.provenance, *_oblong(ready)]
    out = writable_directory(out)
    with tempfile.TemporaryDirectory(prefix=".stmk-", dir=out) as scratch:
        folder = Path(scratch)
        for name, values in tensors_of(ready).items():
            np.save(folder / f"{name}.npy", values)
        _write_json(folder / "inputs.json", _request(ready))
        _write_json(folder / "frame.json", _frame(ready, notes))
        for name in FILES:
            if (folder / name).exists():
                (folder / name).replace(out / name)
            else:  # of another model's tensors
                (out / name).unlink(missing_ok=True)
    return [note for note in notes if note.startswith("warning:")]


def _check(ready: PreparedMaps, card: ModelCard) -> None:
    """Refuse a frame that the model would."""
    _, height, width = ready.ready.shape
    least = LEAST_FRAME_PX if card.detection else card.reach_px + 1
    if min(height, width) < least:
        raise InputError(
            f"{ready.ready.source}: at the network's pixel of "
            f"{ready.ready.pixel_nm[0]:.3g} nm the frame is only {height} x "
            f"{width} px, and {card.name} needs {least}: give a larger frame."
        )


def _oblong(ready: PreparedMaps) -> list[str]:
    """A warning where the one side of a pixel that is told is not both."""
    pixel = np.asarray(ready.ready.pixel_nm)
    off = np.abs(pixel - pixel.mean()) * ready.ready.shape[1:]
    if off.max() < _MOST_OFF_PX * pixel.mean():
        return []
    return [
        f"warning: pixels are {pixel[0]:.5g} x {pixel[1]:.5g} nm, and a model "
        f"takes their mean: its positions_nm are up to {off.max():.2g} nm off; "
        "make them of positions_px, as frame.json says"
    ]


def tensors_of(ready: PreparedMaps) -> dict[str, np.ndarray]:
    """The inputs by name; see `write_tensors`."""
    pixel = np.array([np.mean(ready.ready.pixel_nm)], np.float32)
    maps, ring = ready.ready.data.astype(np.float32), ready.ring_per_nm
    if ring is None:
        return {"maps": maps[None], "pixel_nm": pixel}
    maps, ring = few_maps(maps, ring)
    return {
        "maps": maps[None],
        "pixel_nm": pixel,
        "ring_per_nm": ring[None].astype(np.float32),
    }


def _request(ready: PreparedMaps) -> dict[str, object]:
    """TensorFlow Serving's columnar form, for the signature `locate`."""
    named = {k: v.tolist() for k, v in tensors_of(ready).items()}
    return {"signature_name": "locate", "inputs": named}


def _frame(ready: PreparedMaps, notes: list[str]) -> dict[str, object]:
    maps = ready.part
    return {
        "source": maps.source,
        "origin_px": list(ready.origin_px),
        "file_pixel_nm": list(maps.pixel_nm),
        "file_px_per_px": ready.scale.tolist(),
        "bias_v": maps.bias_v.tolist(),
        "position_in_file_px": "(px + 0.5) * file_px_per_px - 0.5 + origin_px",
        "position_in_file_nm": "(position_in_file_px + 0.5) * file_pixel_nm",
        "provenance": notes,
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content) + "\n")
