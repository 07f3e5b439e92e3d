"""The widget and napari's own model of a window, without a screen.

Qt's platform "offscreen" has no OpenGL, which a whole window draws with.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import stm_keras
from stm_keras.detections import Detections, Search
from stm_keras.errors import InputError

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
napari = pytest.importorskip("napari")
npe2 = pytest.importorskip("npe2")

MANIFEST = Path(stm_keras.__file__).parent / "viewer/napari.yaml"


@pytest.fixture(scope="module", autouse=True)
def application():
    """What Qt's widgets need."""
    qt = pytest.importorskip("qtpy.QtWidgets")

    return qt.QApplication.instance() or qt.QApplication([])


@pytest.fixture(scope="module", autouse=True)
def manifest():
    """The plugin as it is in this folder, installed or not."""
    plugins = npe2.PluginManager.instance()
    found = npe2.PluginManifest.from_file(MANIFEST)
    if found.name in plugins:
        plugins.unregister(found.name)
    plugins.register(found)
    return found


@pytest.fixture
def viewer():
    return napari.components.ViewerModel()


@pytest.fixture
def finder(viewer, virtual_scan, manifest):
    """The widget as the manifest names it, beside an opened file."""
    viewer.open(virtual_scan, plugin="stm-keras")
    (widget,) = manifest.contributions.widgets
    return widget.get_callable()(viewer)


def found_in(maps, scores, left_out=None, **certainty):
    n = len(scores)
    return Detections(
        maps,
        np.arange(2.0 * n).reshape(n, 2),
        np.asarray(scores),
        0.4,
        search=Search.of(maps, np.zeros(maps.shape[1:]), needs_every_map=True),
        deviations_px=np.full((n, 2), 0.1),
        left_out=left_out,
        **certainty,
    )


def test_a_file_opens_in_nm(viewer, finder, virtual_scan):
    (layer,) = viewer.layers
    np.testing.assert_allclose(layer.scale, [0.032, 0.46875, 0.46875])
    assert viewer.dims.axis_labels == ("bias", "y", "x")
    assert [str(unit) for unit in layer.units] == [
        "volt",
        "nanometer",
        "nanometer",
    ]
    assert finder.maps.value is layer


def test_the_slider_updates_the_points(viewer, finder, virtual_scan):
    maps = stm_keras.read(virtual_scan)
    least = found_in(maps, [0.3, 0.1])
    found = found_in(maps, [0.95, 0.8, 0.5], least, notes=("warning: odd",))
    points = finder.mark(found)
    assert len(points.data) == 5
    assert points.shown.tolist() == [True] * 3 + [False] * 2
    assert finder.words.value == "3 impurities, 1 expected to be false\nodd"
    finder.least.value = 0.9
    assert points.shown.sum() == 1
    assert finder.words.value.startswith("1 impurity, none expected")
    finder.least.value = 0.0
    assert points.shown.all()
    assert "2 or 3" in finder.words.value
    # In nm, as the image is.
    np.testing.assert_allclose(
        points.data[1], (np.array([2, 3]) + 0.5) * 0.46875
    )
    assert points.features["rank"].tolist() == [1, 2, 3, 4, 5]
    finder.mark(found_in(maps, [0.9]))
    assert len(viewer.layers) == 2
    assert len(finder.mark(found_in(maps, [])).data) == 0


def test_it_finds(finder, virtual_scan):
    finder.model.value, finder.surface.value = "wang2020", "au111"
    points = finder.mark(finder.search())
    same = stm_keras.find(virtual_scan, surface="au111", detector="wang2020")
    assert len(same) > 0
    np.testing.assert_allclose(
        points.data, same.positions_nm[np.argsort(-same.scores, kind="stable")]
    )
    assert points.shown.all()
    assert finder.least.label == "least score"


def test_nothing_to_search(viewer, manifest):
    viewer.add_image(np.zeros((4, 4)))
    (contributed,) = manifest.contributions.widgets
    widget = contributed.get_callable()(viewer)
    assert not widget.maps.choices
    with pytest.raises(InputError, match="No layer of maps"):
        widget.search()
