from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label

from stm_keras.detections import read_positions
from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import level_plane
from stm_keras.results.folder import (
    DEFAULT_RADIUS_NM,
    impurity_mask,
    write_mask_tiff,
)

COPPER = Path(__file__).resolve().parents[4] / "shared/data/cu111_co"
places = st.tuples(st.floats(-0.5, 19.5), st.floats(-0.5, 29.5))


@given(
    st.lists(places, max_size=6),
    st.tuples(st.floats(0.02, 1.0), st.floats(0.02, 1.0)),
    st.floats(0.01, 3.0),
)
def test_a_pixel_is_in_where_its_centre_is_near(positions, pixel_nm, radius):
    mask = impurity_mask((20, 30), pixel_nm, positions, radius)
    expected = np.zeros((20, 30), bool)
    rows, cols = np.indices((20, 30))
    for row, col in positions:
        distance = np.hypot(
            (rows - row) * pixel_nm[0], (cols - col) * pixel_nm[1]
        )
        # At exactly the radius rounding may decide either way.
        sure = np.abs(distance - radius) > 1e-9
        expected |= distance <= radius
        assert (mask[sure & (distance <= radius)] == 1).all()
        own = np.rint([row, col]).astype(int).clip(0, [19, 29])
        assert mask[tuple(own)] == 1
        expected[tuple(own)] = True
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1}
    assert abs(int(mask.sum()) - int(expected.sum())) <= 2


def test_discs_of_the_right_area_and_place():
    positions = np.array([[30.0, 40.0], [100.3, 20.6], [80.0, 120.0]])
    mask = impurity_mask((128, 160), (0.1, 0.05), positions, 0.8)
    areas = np.asarray(label(mask))
    assert areas.max() == 3
    for row, col in positions:
        disc = np.argwhere(areas == areas[round(row), round(col)])
        np.testing.assert_allclose(disc.mean(axis=0), [row, col], atol=0.3)
        area_nm2 = len(disc) * 0.1 * 0.05
        assert area_nm2 == pytest.approx(np.pi * 0.8**2, rel=0.05)


def test_no_positions_no_mask():
    assert not impurity_mask((4, 5), (1, 1), []).any()


@pytest.mark.parametrize("radius", [0, -0.1, np.nan, np.inf])
def test_radius_must_be_positive(radius):
    with pytest.raises(InputError, match="--mask-radius-nm must be"):
        impurity_mask((4, 5), (1, 1), [], radius)


def test_tiff_has_the_scale(tmp_path):
    mask = impurity_mask((40, 60), (0.25, 0.1), [[10, 20]], 1.0)
    write_mask_tiff(tmp_path / "mask.tif", mask, (0.25, 0.1))
    with tifffile.TiffFile(tmp_path / "mask.tif") as file:
        (page,) = file.pages
        np.testing.assert_array_equal(page.asarray(), mask)
        assert page.dtype == np.uint8
        x, y = (
            page.tags[name].value for name in ("XResolution", "YResolution")
        )
        assert x[1] / x[0] == pytest.approx(0.1)
        assert y[1] / y[0] == pytest.approx(0.25)
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "nm"
        assert (file.imagej_metadata["min"], file.imagej_metadata["max"]) == (
            0,
            1,
        )


@pytest.mark.skipif(
    not COPPER.is_dir(), reason="needs ../shared/data, real files"
)
@pytest.mark.parametrize("name", ["Topo102", "Topo015"])
def test_the_default_radius_is_that_of_a_core(name):
    """The median profile of the cores meets the waves' level there."""
    maps = level_plane(read_maps(COPPER / f"{name}.sxm"))
    table = read_positions(COPPER / f"{name}_core_positions.csv")
    image = maps.data[0].astype(np.float64)
    rows, cols = np.indices(image.shape)
    edges = np.arange(0, 1.01, 0.1)
    profiles = []
    for row, col in table.positions_px:
        distance = np.hypot(rows - row, cols - col) * maps.pixel_nm[0]
        profiles.append(
            [
                image[(distance >= a) & (distance < a + 0.1)].mean()
                for a in edges[:-1]
            ]
        )
    profile = np.median(profiles, axis=0)
    assert profile[0] < -2e-11
    first_above = edges[:-1][profile > 0][0] + 0.05
    assert first_above == pytest.approx(DEFAULT_RADIUS_NM, abs=0.1)
