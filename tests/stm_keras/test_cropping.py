import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps, Placement, Region, crop, keep_biases


def frame(shape=(2, 12, 20), extent=(6.0, 30.0), angle=30.0):
    data = np.arange(np.prod(shape), dtype=float).reshape(shape)
    return ConductanceMaps(
        data,
        np.arange(shape[0]) / 10,
        extent,
        channel="Z",
        unit="m",
        source="a.sxm",
        placement=Placement((100.0, -40.0), angle),
    )


def test_a_part_keeps_its_pixels_and_their_size():
    maps = frame()
    part = crop(maps, (2, 9), (5, 20))
    np.testing.assert_array_equal(part.data, maps.data[:, 2:9, 5:20])
    assert part.pixel_nm == pytest.approx(maps.pixel_nm)
    assert part.extent_nm == pytest.approx((3.5, 22.5))
    assert "rows 2:9, columns 5:20 of 12 x 20 px" in part.provenance[-1]
    assert (part.channel, part.unit, part.source) == ("Z", "m", "a.sxm")


spans = st.tuples(st.integers(0, 30), st.integers(2, 30)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@given(spans, spans, st.floats(-180, 180))
def test_places_on_the_sample_do_not_move(rows, cols, angle):
    maps = frame((1, 60, 60), (6.0, 30.0), angle)
    part = crop(maps, rows, cols)
    pixels = np.array([[0.0, 0.0], [1.0, 0.5], [-0.5, 1.5]])
    np.testing.assert_allclose(
        part.scanner_nm(pixels),
        maps.scanner_nm(pixels + (rows[0], cols[0])),
        atol=1e-9,
    )


def test_the_whole_frame_is_itself():
    maps = frame()
    assert crop(maps, (0, 12), (0, 20)) is maps
    assert Region().spans(maps) == ((0, 12), (0, 20))


def test_a_frame_without_placement():
    maps = ConductanceMaps(np.arange(12.0).reshape(1, 3, 4), [0], (3, 4))
    assert crop(maps, (1, 3), (0, 2)).placement is None


def test_ends_may_be_left_out():
    assert Region((None, 4), (7, None)).spans(frame()) == ((0, 4), (7, 20))


@pytest.mark.parametrize(
    ("roi", "spans"),
    [
        ((0, 0, 6, 30), ((0, 12), (0, 20))),
        ((1, 3, 2, 6), ((2, 6), (2, 6))),
        ((1.2, 3.7, 2, 6), ((2, 6), (2, 6))),  # to the nearest border
        ((0, 0, 6.1, 30.5), ((0, 12), (0, 20))),  # rounding is forgiven
    ],
)
def test_nm_become_pixels(roi, spans):
    assert Region(roi_nm=roi).spans(frame()) == spans


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(rows=(0, 13)), r"--rows 0:13 reaches beyond .* <= 12"),
        (Region(cols=(-1, 5)), r"--cols -1:5 reaches beyond .* <= 20"),
        (Region(rows=(5, 5)), "--rows 5:5 is empty"),
        (Region(rows=(8, 3)), "--rows 8:3 is empty"),
        (Region(cols=(30, None)), "--cols 30:20 is empty"),
        (Region(roi_nm=(0, 0, 7, 5)), "--roi 0,0,7,5 sticks out.* 6 nm high"),
        (Region(roi_nm=(-2, 0, 3, 5)), "sticks out"),
        (Region(roi_nm=(0, 0, 0.1, 5)), "less than a pixel"),
    ],
)
def test_parts_that_are_none(region, message):
    with pytest.raises(InputError, match=rf"a\.sxm: .*{message}"):
        region.spans(frame())


def test_crop_checks_as_well():
    with pytest.raises(InputError, match="--cols 0:21 reaches beyond"):
        crop(frame(), (0, 5), (0, 21))


def test_nothing_measured_in_the_part():
    data = frame().data.copy()
    data[1, :6] = np.nan
    maps = frame().with_data(data, "half scanned")
    with pytest.raises(InputError, match=r"rows 1:4, .* of map 1\. Choose"):
        crop(maps, (1, 4), (0, 20))


@pytest.mark.parametrize(
    "roi", [(0, 0, 0, 5), (0, 0, 5, -1), (np.nan, 0, 1, 1), (0, np.inf, 1, 1)]
)
def test_impossible_roi(roi):
    with pytest.raises(InputError, match=r"--roi needs top, left"):
        Region(roi_nm=roi)


def test_px_and_nm_at_once():
    with pytest.raises(InputError, match="not both"):
        Region(rows=(0, 5), roi_nm=(0, 0, 1, 1))


def test_maps_of_a_range_of_biases():
    maps = frame((5, 3, 4))
    kept = keep_biases(maps, (0.1, 0.3))
    np.testing.assert_allclose(kept.bias_v, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(kept.data, maps.data[1:4])
    assert "3 of 5 maps kept, 0.1 to 0.3 V" in kept.provenance[-1]
    assert keep_biases(maps, (-1, 1)) is maps
    with pytest.raises(InputError, match=r"a\.sxm: no map .* from 0 to 0\.4 V"):
        keep_biases(maps, (0.41, 2))


@pytest.mark.parametrize(
    "roi", [(1e308, 0, 1e308, 1), (0, 0, 1, 1e308), (-1e308, 0, 1, 1)]
)
def test_a_roi_beyond_all_numbers(roi):
    with pytest.raises(InputError, match="sticks out"):
        Region(roi_nm=roi).spans(frame())
