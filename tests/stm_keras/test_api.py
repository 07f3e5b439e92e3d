"""What a notebook uses: `import stm_keras`, read, find, models by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stm_keras
from stm_keras.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def detector():
    return stm_keras.load_detector("wang2020")


def test_a_file_is_read_and_searched(virtual_scan, detector):
    maps = stm_keras.read(virtual_scan)
    assert isinstance(maps, stm_keras.Maps)
    found = stm_keras.find(virtual_scan, surface="au111", detector=detector)
    same = stm_keras.find(maps, surface="au111", detector=detector)
    assert isinstance(found, stm_keras.Detections)
    assert len(found) > 0
    np.testing.assert_array_equal(found.positions_px, same.positions_px)
    table = found.to_dataframe()
    assert list(table) == list(found.columns())
    assert len(table) == len(found)
    assert found.plot().axes
    shown = found._repr_html_()
    assert shown.count("<tr>") == min(len(found), 50) + 1
    assert f"{len(found)} impurities in " in shown
    assert found.report()._repr_html_().startswith("<iframe")


def test_bad_input(virtual_scan, detector):
    with pytest.raises(InputError, match=r"Unknown option 'surfce'\. Known:"):
        stm_keras.find(virtual_scan, surfce="au111", detector=detector)
    with pytest.raises(InputError, match="No file"):
        stm_keras.read([])
    with pytest.raises(InputError, match="ship \\(context, wang2020\\)"):
        stm_keras.load_detector("contxt")
    with pytest.raises(AttributeError, match="no attribute 'fnd'"):
        _ = stm_keras.fnd


@pytest.mark.parametrize("first", ["stm_keras", "keras"])
def test_keras_knows_the_layers_whichever_is_imported_first(first):
    other = "keras" if first == "stm_keras" else "stm_keras"
    model = ROOT / "saved_models/wang2020/model.keras"
    code = (
        f"import {first}, {other}, keras\n"
        f"print(type(keras.saving.load_model({str(model)!r})).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "ImpurityFinder"
