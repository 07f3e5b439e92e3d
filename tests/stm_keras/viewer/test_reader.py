"""Layers of napari from files; they need no napari."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import stm_keras
from stm_keras.io.reader import FORMATS
from stm_keras.viewer import reader

MANIFEST = Path(reader.__file__).with_name("napari.yaml")


def test_a_file_in_nm_with_its_bias_as_an_axis(virtual_scan):
    ((data, layer, kind),) = reader.reader_of(virtual_scan)(virtual_scan)
    maps = stm_keras.read(virtual_scan)
    assert kind == "image"
    np.testing.assert_array_equal(data, maps.data)
    np.testing.assert_allclose(layer["scale"], [0.032, 0.46875, 0.46875])
    assert layer["axis_labels"] == ["bias", "y", "x"]
    assert layer["units"] == ["V", "nm", "nm"]
    # Where napari has the last map, and the centre of a pixel.
    last = np.multiply(layer["scale"], [len(data) - 1, 3, 4])
    bias, y, x = last + layer["translate"]
    assert bias == pytest.approx(maps.bias_v[-1])
    assert (y, x) == (3.5 * 0.46875, 4.5 * 0.46875)


@pytest.mark.parametrize(
    ("bias_v", "label", "scale"),
    [
        ((0.3, 0.1, 0.2), "bias", [0.1, 0.2, 0.1]),
        ((0.1, 0.2, 0.5), "map", [1, 0.2, 0.1]),
        ((0.1, 0.1, 0.1), "map", [1, 0.2, 0.1]),
        ((0.1,), "y", [0.2, 0.1]),
    ],
)
def test_biases_of_all_kinds(bias_v, label, scale):
    data = np.random.default_rng(0).normal(size=(len(bias_v), 5, 10))
    maps = stm_keras.Maps(data, bias_v, (1.0, 1.0))
    image, layer, _ = reader.layer_of(maps)
    assert image.ndim == len(scale)
    assert layer["axis_labels"][0] == label
    np.testing.assert_allclose(layer["scale"], scale)
    held = layer["metadata"][reader.MAPS]
    assert layer["metadata"]["bias_v"] == sorted(bias_v)
    np.testing.assert_array_equal(np.squeeze(held.data), np.squeeze(image))


def test_several_files_are_one_stack(tmp_path):
    paths = []
    for index in range(2):
        data = np.random.default_rng(index).normal(size=(1, 6, 6))
        path = tmp_path / f"{index}.npz"
        np.savez(path, maps=data, bias_v=[0.1 * index], extent_nm=[2.0, 2.0])
        paths.append(str(path))
    ((data, layer, _),) = reader.read_layers(paths)
    assert data.shape == (2, 6, 6)
    np.testing.assert_allclose(layer["scale"], [0.1, 1 / 3, 1 / 3])


def test_the_manifest_names_what_is_there():
    manifest = yaml.safe_load(MANIFEST.read_text("utf-8"))["contributions"]
    (patterns,) = [one["filename_patterns"] for one in manifest["readers"]]
    # Of a microscope or its data; pictures are napari's own.
    known = {suffix for one in FORMATS for suffix in one.suffixes}
    assert {pattern[1:] for pattern in patterns} == known - {
        *(".tif", ".tiff", ".npy", ".zarr", ".zarr.zip")
    }
    module, name = manifest["commands"][0]["python_name"].split(":")
    assert (module, getattr(reader, name)) == (
        reader.__name__,
        reader.reader_of,
    )
