"""`array.stm`: maps of xarray searched, with units and coordinates kept."""

import subprocess
import sys

import numpy as np
import pytest

import stm_keras
from stm_keras.detections import Detections, Search
from stm_keras.errors import InputError

xarray = pytest.importorskip("xarray")


@pytest.fixture
def maps():
    data = np.random.default_rng(0).normal(size=(3, 20, 30))
    return stm_keras.Maps(
        data, [-0.1, 0.05, 0.1], (2.0, 3.0), unit="S", channel="LI X"
    )


@pytest.fixture
def upwards(maps):
    """The same maps as another program has them: y up, Å, mV, nS."""
    return xarray.DataArray(
        1e9 * maps.data.astype(np.float64).transpose(1, 2, 0)[::-1],
        dims=("y", "x", "bias"),
        coords={
            "y": ("y", 100 + np.linspace(1, 20, 20), {"units": "angstrom"}),
            "x": ("x", 1e-10 * np.arange(30), {"units": "m"}),
            "bias": ("bias", [-100, 50, 100], {"units": "mV"}),
        },
        attrs={"units": "nS"},
    )


def found_in(maps, positions_px):
    positions = np.asarray(positions_px, np.float64)
    n = len(positions)
    return Detections(
        maps,
        positions,
        np.linspace(0.5, 0.9, n),
        0.4,
        search=Search.of(maps, np.zeros(maps.shape[1:]), needs_every_map=True),
        deviations_px=np.full((n, 2), 0.1),
        expected_false=0.7,
        notes=("read",),
    )


def test_maps_come_back_as_they_were(maps):
    again = maps.to_xarray().stm.maps
    np.testing.assert_array_equal(again.data, maps.data)
    np.testing.assert_array_equal(again.bias_v, maps.bias_v)
    assert again.extent_nm == maps.extent_nm
    assert (again.unit, again.channel) == ("S", "LI X")


def test_units_and_order_of_another_program(maps, upwards):
    again = upwards.stm.maps
    np.testing.assert_allclose(again.data, maps.data, rtol=1e-6)
    np.testing.assert_allclose(again.bias_v, maps.bias_v)
    np.testing.assert_allclose(again.extent_nm, (2.0, 3.0))
    assert again.unit == "S"
    assert len(upwards.stm.plot().axes) > 2


def test_positions_in_the_arrays_own_coordinates(upwards, tmp_path):
    found = found_in(upwards.stm.maps, [[0, 0], [19, 29], [4.5, 10]])
    both = upwards.stm.with_positions(found)
    # The surest first, as in every table.
    np.testing.assert_allclose(both.row, [4.5, 19, 0])
    np.testing.assert_allclose(both.impurity_y, [115.5, 101, 120])
    np.testing.assert_allclose(both.impurity_x, [10e-10, 29e-10, 0], atol=1e-20)
    units = [both[name].attrs["units"] for name in ("x_nm", "row", "score")]
    assert units == ["nm", "px", "1"]
    assert both.impurity_y.attrs["units"] == "angstrom"
    assert both.impurity_x.attrs["units"] == "m"
    pytest.importorskip("h5netcdf")
    both.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    again = xarray.load_dataset(tmp_path / "found.nc", engine="h5netcdf")
    np.testing.assert_array_equal(again.score, both.score)
    assert again.attrs["expected_false"] == 0.7
    # The maps in it are still maps, for this package too.
    same = stm_keras.read(tmp_path / "found.nc")
    np.testing.assert_array_equal(same.data, upwards.stm.maps.data)


def test_found_as_in_the_file(virtual_scan):
    detector = stm_keras.load_detector("wang2020")
    maps = stm_keras.read(virtual_scan)
    array = maps.to_xarray()
    found = array.stm.find(surface="au111", detector=detector)
    same = stm_keras.find(maps, surface="au111", detector=detector)
    assert len(found) > 0
    np.testing.assert_array_equal(found.positions_px, same.positions_px)


def test_what_is_no_stack_of_maps(maps, upwards):
    with pytest.raises(InputError, match="does not say the bias"):
        _ = xarray.DataArray(np.eye(4), dims=("y", "x")).stm.maps
    with pytest.raises(InputError, match="no maps"):
        _ = xarray.DataArray(np.ones(4), dims=("y",)).stm.maps
    given = xarray.DataArray(np.eye(4), dims=("y", "x")).stm.read(
        bias_v=(0.1,), extent_nm=(2.0, 3.0)
    )
    assert given.extent_nm == (2.0, 3.0)
    other = stm_keras.Maps(np.eye(4)[None], [0.1], (1.0, 1.0))
    with pytest.raises(InputError, match="found in other maps"):
        upwards.stm.with_positions(found_in(other, [[1, 1]]))


@pytest.mark.parametrize("order", ["xarray, stm_keras", "stm_keras, xarray"])
def test_registered_whichever_is_imported_first(order):
    code = f"import {order}; print(hasattr(xarray.DataArray, 'stm'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == "True"
