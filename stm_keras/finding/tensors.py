"""A file as the tensors that an exported model takes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.files import atomic_directory, writable_directory
from stm_keras.finding.few_maps import few_maps
from stm_keras.finding.file_prediction import (
    FileOptions,
    companions_of,
    read_files,
)
from stm_keras.finding.prepared_maps import PreparedMaps, prepare_maps
from stm_keras.io.folder import expand
from stm_keras.model_card import read_card


def write_tensors(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
) -> Path:
    """Write the inputs of a model's signatures for a file.

    It does what `stmk predict` does before the network, in the folder `out`:
    `maps.npy` float32 [1, V, H, W] at the network's pixel, NaN where not
    measured, of many maps means (see `few_maps`); `pixel_nm.npy` [1];
    `ring_per_nm.npy` [1, V], for a model that takes it; `inputs.json`, the same
    for a REST request; and `frame.json`,
    which tells how to get from pixels of the maps to those of the file.

    Args:
        paths: one file, or those of a stack.
        model: model directory, of which the card is read.
        out: folder to write; replaced whole.
        options: how to read and clean.

    Returns:
        `out`.

    Raises:
        InputError: where a file, the model or the folder cannot be used.
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
    out = Path(out)
    writable_directory(out.resolve().parent)
    with atomic_directory(out) as temporary:
        for name, values in tensors_of(ready).items():
            np.save(temporary / f"{name}.npy", values)
        _write_json(temporary / "inputs.json", _request(ready))
        _write_json(temporary / "frame.json", _frame(ready))
    return out


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


def _frame(ready: PreparedMaps) -> dict[str, object]:
    maps = ready.part
    return {
        "source": maps.source,
        "origin_px": list(ready.origin_px),
        "file_pixel_nm": list(maps.pixel_nm),
        "file_px_per_px": ready.scale.tolist(),
        "bias_v": maps.bias_v.tolist(),
        "position_in_file_px": "(px + 0.5) * file_px_per_px - 0.5 + origin_px",
        "position_in_file_nm": "(position_in_file_px + 0.5) * file_pixel_nm",
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content) + "\n")
