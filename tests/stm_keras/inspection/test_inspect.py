"""What a report says of maps that cannot be measured, and of frames."""

import numpy as np
import pytest

from stm_keras.inspection.inspect import MOST_MEASURED, inspect_file
from stm_keras.inspection.report import as_json, report_lines
from stm_keras.io.recording import ReadOptions


@pytest.fixture
def written(tmp_path):
    def write(maps, extent=(20.0, 30.0)):
        path = tmp_path / "maps.npz"
        bias = np.linspace(-0.2, 0, len(maps))
        np.savez(path, maps=maps, bias_v=bias, extent_nm=np.array(extent))
        return path

    return write


@pytest.fixture
def stack():
    return np.random.default_rng(1).normal(size=(3, 24, 36))


def _text(path):
    lines = " ".join(report_lines(inspect_file(path, ReadOptions())))
    return " ".join(lines.split())


def test_why_a_map_cannot_be_seen_is_said_in_full(written, stack):
    stack[1] = 2.5
    report = inspect_file(written(stack), ReadOptions())
    (file,) = as_json([report], None)["files"]
    assert file["maps"][1]["fault"] == "has the same value, 2.5, everywhere"
    assert [m["fault"] is None for m in file["maps"]] == [True, False, True]


def test_a_frame_has_one_order_of_sides(written, stack):
    text = _text(written(stack))
    assert "20 x 30 nm (height x width), 24 x 36 px (height x width)" in text


def test_of_very_many_maps_some_are_measured(written, stack):
    maps = np.concatenate([stack] * 120)
    report = inspect_file(written(maps), ReadOptions())
    assert len(report.maps) == 360
    measured = [m for m in report.maps if m.levelled is not None]
    assert len(measured) == MOST_MEASURED
    assert (measured[0].index, measured[-1].index) == (0, 359)
    assert f"{MOST_MEASURED} of 360 maps are measured here" in report.warnings
