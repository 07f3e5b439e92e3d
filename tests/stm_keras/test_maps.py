import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps, Placement, finite_or_nan


def _maps(n_maps=3, height=4, width=5, **changes):
    data = np.random.default_rng(0).normal(size=(n_maps, height, width))
    fields = {
        "data": data,
        "bias_v": np.linspace(-0.1, 0.1, n_maps),
        "extent_nm": (8.0, 20.0),
        "source": "the file",
    }
    return ConductanceMaps(**{**fields, **changes})


def test_types_and_sides():
    maps = _maps()
    assert maps.data.dtype == np.float32
    assert maps.bias_v.dtype == np.float64
    assert maps.shape == (3, 4, 5)
    assert maps.pixel_nm == (2.0, 4.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        maps.channel = "Z"  # type: ignore[misc]


def test_mask_is_where_every_map_is_measured():
    data = _maps().data.copy()
    data[0, 1, 2] = np.nan
    data[2, 3, 4] = np.nan
    mask = _maps(data=data).mask
    assert not mask[1, 2]
    assert not mask[3, 4]
    assert mask.sum() == 18


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.eye(4)}, r"shape \[4, 4\]"),
        ({"data": np.ones((3, 1, 1))}, "two pixels"),
        ({"data": np.ones((0, 4, 5))}, "at least one map"),
        ({"bias_v": [0.1, 0.2]}, "3 maps need as many biases. Received: 2"),
        ({"bias_v": [0.1, np.nan, 0.2]}, "bias of map 1"),
        ({"extent_nm": (0.0, 1.0)}, "extent"),
        ({"extent_nm": (1.0, np.nan)}, "extent"),
        ({"extent_nm": (1.0,)}, "extent"),
        ({"extent_nm": (1e-300, 1.0)}, "extent"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message) as error:
        _maps(**changes)
    assert "the file" in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "all NaN"), (0.25, "0.25, everywhere"), (np.inf, "infinite")],
)
def test_a_map_with_nothing_in_it_is_named(value, message):
    data = _maps().data.copy()
    data[1] = value
    with pytest.raises(InputError, match=rf"map 1 \(0 V\).*{message}"):
        _maps(data=data)


def test_maps_without_a_common_pixel():
    data = np.random.default_rng(0).normal(size=(2, 4, 5))
    data[0, :2] = np.nan
    data[1, 2:] = np.nan
    with pytest.raises(InputError, match="no pixel is measured in every"):
        _maps(2, data=data)


def test_with_data_appends_to_the_history():
    first = _maps(provenance=("read",))
    second = first.with_data(first.data * 2, "doubled", extent_nm=(1.0, 1.0))
    assert second.provenance == ("read", "doubled")
    assert first.provenance == ("read",)
    assert second.extent_nm == (1.0, 1.0)
    assert second.source == "the file"


@given(st.permutations(range(6)))
def test_sorting_keeps_each_map_with_its_bias(order):
    bias = np.array([-0.2, -0.1, 0.0, 0.0, 0.1, 0.2])
    data = _maps(6).data
    data = data + 10 * np.arange(6)[:, None, None]
    shuffled = _maps(6, data=data[order], bias_v=bias[order])
    result = shuffled.sorted_by_bias()
    np.testing.assert_array_equal(result.bias_v, bias)
    which = np.rint(result.data.mean(axis=(1, 2)) / 10)
    np.testing.assert_array_equal(bias[which.astype(int)], bias)
    assert sorted(which) == list(range(6))
    assert result.sorted_by_bias() is result


def test_infinities_become_unmeasured():
    values, notes = finite_or_nan([1.0, np.inf, -np.inf, 1e300, np.nan])
    np.testing.assert_array_equal(np.isnan(values), [False] + 4 * [True])
    assert "3 infinite" in notes[0]
    assert finite_or_nan([1, 2])[1] == []


def test_places_on_the_sample():
    maps = _maps(extent_nm=(8.0, 20.0), placement=Placement((100.0, 50.0), 90))
    # Half a pixel before the first centre is the frame's top left corner: 10
    # left of the centre and 4 above; a quarter turn takes left to down.
    corner = maps.scanner_nm([(-0.5, -0.5)])
    np.testing.assert_allclose(corner, [(96.0, 40.0)])
    assert _maps().scanner_nm([(0, 0)]) is None


@given(
    st.floats(-180, 180), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 1)
)
def test_a_part_of_a_frame_keeps_its_places(angle, down, right, side):
    whole = Placement((3.0, -2.0), angle)
    part = whole.moved(down, right)
    # The part's centre, in the coordinates of a frame of 4 x 6 nm.
    np.testing.assert_allclose(
        part.to_scanner([(side / 2, side / 2)], (side, side)),
        whole.to_scanner([(2 + down, 3 + right)], (4.0, 6.0)),
        atol=1e-12,
    )


def test_to_xarray():
    pytest.importorskip("xarray", reason="the extra `xarray` is not installed")
    maps = _maps(channel="dI/dV", unit="S", placement=Placement((1, 2), 3))
    array = maps.to_xarray()
    assert array.dims == ("bias", "y", "x")
    np.testing.assert_array_equal(array.values, maps.data)
    np.testing.assert_allclose(array["y"], [1, 3, 5, 7])
    np.testing.assert_allclose(array["x"], [2, 6, 10, 14, 18])
    np.testing.assert_array_equal(array["bias"], maps.bias_v)
    assert array.attrs["units"] == "S"
    assert array.attrs["angle_deg"] == 3
