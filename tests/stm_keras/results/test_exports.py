"""Files for other programs, read back without what wrote them."""

import csv
import shutil
import struct
import subprocess
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from roifile import ROI_TYPE, roiread

from stm_keras.results.exports import write_points, write_roi_set
from stm_keras.results.folder import impurity_mask
from stm_keras.results.gwyddion import write_gwy


def gwy_components(content):
    """Components of a serialised object, by the format's description.

    http://gwyddion.net/documentation/user-guide-en/gwyfile-format.html
    """
    found, at = {}, 0
    while at < len(content):
        end = content.index(b"\0", at)
        name, kind = content[at:end].decode(), chr(content[end + 1])
        at = end + 2
        if kind == "b":
            value, size = content[at] != 0, 1
        elif kind in "iqd":
            size = struct.calcsize("<" + kind)
            (value,) = struct.unpack_from("<" + kind, content, at)
        elif kind == "s":
            size = content.index(b"\0", at) + 1 - at
            value = content[at : at + size - 1].decode("utf-8")
        elif kind == "D":
            (count,) = struct.unpack_from("<I", content, at)
            size = 4 + 8 * count
            value = np.frombuffer(content, "<f8", count, at + 4)
        else:
            assert kind == "o", (name, kind)
            end = content.index(b"\0", at)
            (length,) = struct.unpack_from("<I", content, end + 1)
            size = end + 5 + length - at
            inner = gwy_components(content[end + 5 : at + size])
            value = (content[at:end].decode(), inner)
        found[name] = value
        at += size
    assert at == len(content)
    return found


def gwy_file(path):
    content = path.read_bytes()
    assert content[:4] == b"GWYP"
    ((kind, components),) = gwy_components(b"file\0o" + content[4:]).values()
    assert kind == "GwyContainer"
    return components


def gwy_field(components, key):
    kind, field = components[key]
    assert kind == "GwyDataField"
    image = field["data"].reshape(field["yres"], field["xres"])
    assert np.isfinite(image).all()
    return image, field


@pytest.fixture
def gwy(tmp_path):
    def write(prediction, radius_nm=0.4):
        mask = impurity_mask(
            prediction.maps.shape[1:],
            prediction.maps.pixel_nm,
            prediction.positions_px,
            radius_nm,
        )
        write_gwy(tmp_path / "p.gwy", prediction, mask)
        return gwy_file(tmp_path / "p.gwy"), mask

    return write


def test_gwyddion_map_and_mask(gwy, prediction):
    found = prediction()
    components, mask = gwy(found)
    image, field = gwy_field(components, "/0/data")
    (bias_index,) = np.flatnonzero(found.maps.bias_v == 0.02)
    np.testing.assert_array_equal(image, found.maps.data[bias_index])
    assert (field["xreal"], field["yreal"]) == pytest.approx((5e-9, 8e-9))
    assert field["si_unit_xy"] == ("GwySIUnit", {"unitstr": "m"})
    assert field["si_unit_z"] == ("GwySIUnit", {"unitstr": "m"})
    assert components["/0/data/title"] == "Z, 0.02 V"
    assert components["/0/data/visible"] is True
    np.testing.assert_array_equal(gwy_field(components, "/0/mask")[0], mask)
    _, notes = components["/0/meta"]
    assert list(notes.values()) == list(found.notes)


def test_gwyddion_points_lie_from_each_channels_corner(gwy, prediction):
    found = prediction()
    components, _ = gwy(found)
    for key, corner in (("/0", (0.0, 0.0)), ("/1", found.search.origin_nm)):
        kind, selection = components[f"{key}/select/point"]
        assert kind == "GwySelectionPoint"
        assert selection["max"] == 3
        points = selection["data"].reshape(-1, 2)
        y_nm, x_nm = (found.positions_nm - corner).T
        np.testing.assert_allclose(points[:, 0], x_nm * 1e-9, atol=1e-15)
        np.testing.assert_allclose(points[:, 1], y_nm * 1e-9, atol=1e-15)


def test_gwyddion_score(gwy, prediction):
    found = prediction()
    components, _ = gwy(found)
    image, field = gwy_field(components, "/1/data")
    known = ~np.isnan(found.search.score)
    np.testing.assert_array_equal(image[known], found.search.score[known])
    assert field["xreal"] == pytest.approx(44 * 0.1e-9)
    assert field["yreal"] == pytest.approx(36 * 0.2e-9)
    assert field["xoff"] == pytest.approx(0.6e-9)
    assert field["yoff"] == pytest.approx(0.8e-9)
    np.testing.assert_array_equal(gwy_field(components, "/1/mask")[0], ~known)


def test_gwyddion_missing_pixels(gwy, prediction):
    found = prediction()
    data = found.maps.data.copy()
    data[0, :3] = np.nan
    found = replace(found, maps=found.maps.with_data(data, "hole"))
    components, _ = gwy(found)
    image, _ = gwy_field(components, "/0/data")
    np.testing.assert_array_equal(image[:3], np.nanmedian(data[0]))
    measured, _ = gwy_field(components, "/2/data")
    np.testing.assert_array_equal(measured, ~np.isnan(data[0]))


def test_gwyddion_of_nothing_found(gwy, prediction):
    components, _ = gwy(prediction(np.empty((0, 2))))
    assert not [key for key in components if "select" in key]
    assert "/0/mask" not in components
    assert "/1/data" in components


@pytest.mark.skipif(
    shutil.which("gwyddion") is None, reason="needs the program gwyddion"
)
def test_gwyddion_itself_keeps_everything(gwy, prediction, tmp_path):
    written, _ = gwy(prediction())
    again = tmp_path / "again.gwy"
    said = subprocess.run(
        ["gwyddion", f"--convert-to-gwy={again}", tmp_path / "p.gwy"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (said.returncode, said.stderr) == (0, "")
    read = gwy_file(again)
    assert set(written) <= set(read)
    for key, value in written.items():
        if not isinstance(value, tuple):
            assert read[key] == value
            continue
        for name in value[1].keys() & read[key][1].keys():
            np.testing.assert_equal(read[key][1][name], value[1][name])


def test_imagej_points(tmp_path, prediction):
    found = prediction()
    write_roi_set(tmp_path / "RoiSet.zip", found)
    selections = roiread(tmp_path / "RoiSet.zip")
    assert isinstance(selections, list)
    assert [s.name for s in selections] == [
        "1 score 9.5",
        "2 score 6.25",
        "3 score 4",
    ]
    for selection, (row, col) in zip(
        selections, found.positions_px, strict=True
    ):
        assert selection.roitype == ROI_TYPE.POINT
        np.testing.assert_allclose(selection.coordinates(), [[col, row]])


def test_imagej_bytes_are_as_its_decoder_reads_them(tmp_path, prediction):
    """Offsets of ij.io.RoiDecoder."""
    found = prediction()
    write_roi_set(tmp_path / "RoiSet.zip", found)
    with zipfile.ZipFile(tmp_path / "RoiSet.zip") as archive:
        names = archive.namelist()
        assert all(name.endswith(".roi") for name in names)
        content = archive.read(names[0])
    assert content[:4] == b"Iout"
    assert content[6] == 10  # a point
    options, n_points = (
        struct.unpack_from(">H", content, offset)[0] for offset in (50, 16)
    )
    assert options & 128  # sub-pixel resolution
    assert n_points == 1
    # Behind the header of 64 bytes two int16, then x and y as float32.
    assert struct.unpack_from(">ff", content, 68) == (30.5, 12.25)


def test_napari_layout(tmp_path, prediction):
    found = prediction()
    write_points(tmp_path / "points.csv", found)
    with (tmp_path / "points.csv").open(newline="") as file:
        names, *lines = csv.reader(file)
    assert names[:3] == ["index", "axis-0", "axis-1"]
    table = np.array(lines, dtype=float)
    np.testing.assert_allclose(table[:, 1:3], found.positions_px)
    np.testing.assert_array_equal(table[:, 0], [0, 1, 2])
    assert names[3:] == ["score", "rank"]
    np.testing.assert_allclose(table[:, 3:], [[9.5, 1], [6.25, 2], [4, 3]])
