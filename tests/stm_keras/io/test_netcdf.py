import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps
from stm_keras.maps import ConductanceMaps, Placement

xr = pytest.importorskip("xarray", reason="the extra netcdf is not installed")
zarr = pytest.importorskip("zarr")


@pytest.fixture
def tiny_netcdf(tiny):
    return tiny("netcdf")


@pytest.fixture
def write(tmp_path):
    def save(content, name="file.nc"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


@pytest.fixture
def stack():
    return (3 + np.random.default_rng(7).normal(size=(3, 4, 5))).astype("f4")


@pytest.fixture
def maps(stack):
    stack[1, 2, 3] = np.nan
    return ConductanceMaps(
        stack,
        np.array([-0.1, 0.3, 0.1]),
        (4.0, 7.1),
        "d(Current)/dV",
        "S",
        source="scan.sxm",
        provenance=("read", "levelled"),
        placement=Placement((1.5, -2), 30.0),
    )


def _same(back, maps):
    np.testing.assert_array_equal(back.data, maps.data)
    np.testing.assert_array_equal(back.bias_v, maps.bias_v)
    assert back.extent_nm == maps.extent_nm
    assert (back.channel, back.unit) == (maps.channel, maps.unit)
    assert back.placement == maps.placement
    n = len(maps.provenance)
    assert back.provenance[:n] == maps.provenance


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    extent=st.tuples(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4)),
    shape=st.tuples(*[st.integers(1, 4)] * 2, st.integers(2, 5)),
    provenance=st.lists(st.sampled_from(["read", "µ", "cut, twice"])),
    placed=st.booleans(),
)
def test_round_trip(tmp_path, extent, shape, provenance, placed):
    rng = np.random.default_rng(sum(shape))
    maps = ConductanceMaps(
        rng.normal(size=shape),
        rng.normal(size=shape[0]),
        extent,
        "LI Demod 1 X (backward)",
        "A",
        provenance=tuple(provenance),
        placement=Placement((extent[0], -3), 12.5) if placed else None,
    )
    path = tmp_path / "maps.nc"
    maps.to_xarray().to_dataset().to_netcdf(path, engine="h5netcdf")
    _same(read_maps(path), maps)


@pytest.mark.parametrize("version", [2, 3])
def test_round_trip_through_zarr(tmp_path, maps, version):
    path = tmp_path / "maps.zarr"
    array = maps.to_xarray().rename("maps")
    array.to_dataset().to_zarr(path, zarr_format=version, consolidated=False)
    _same(read_maps(path), maps)
    assert open_recording(path).metadata["source"] == "scan.sxm"
    archive = tmp_path / "maps.zarr.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for place in sorted(path.rglob("*")):
            file.write(place, place.relative_to(path).as_posix())
    _same(read_maps(archive), maps)


@pytest.mark.parametrize("version", ["version_3", "version_4"])
def test_y_counts_upwards_unless_the_file_says_down(
    write, tiny_netcdf, stack, version
):
    make = getattr(tiny_netcdf, version)
    for positive, rows in (({}, -1), ({"positive": "down"}, 1)):
        axes = tiny_netcdf.axes(stack.shape, **positive)
        maps = read_maps(write(make("didv", stack, axes, units="nS")))
        np.testing.assert_allclose(
            maps.data, stack[:, ::rows] * 1e-9, rtol=1e-6
        )
        np.testing.assert_allclose(maps.bias_v, [-0.1, 0, 0.1])
        assert maps.extent_nm == pytest.approx((2, 2.5))
        assert (maps.channel, maps.unit) == ("didv", "S")
        # The scanner's y points up.
        assert (maps.placement is None) == bool(positive)
    axes = tiny_netcdf.axes(stack.shape)
    axes["y"] = (axes["y"][0][::-1].copy(), axes["y"][1])
    maps = read_maps(write(make("didv", stack, axes, units="nS")))
    np.testing.assert_allclose(maps.data, stack * 1e-9, rtol=1e-6)
    assert maps.placement.centre_nm == pytest.approx((1.25, 1))


@pytest.mark.parametrize(
    "names",
    [
        ("bias", "y", "x"),
        ("x", "y", "energy"),
        ("y", "x", "V"),
        ("e", "x", "y"),
    ],
)
@pytest.mark.parametrize("falls", [False, True])
def test_dimensions_in_any_order(tmp_path, stack, names, falls):
    sizes = {"y": 4, "x": 5}
    order = [{"y": 1, "x": 2}.get(name, 0) for name in names]
    points = {
        name: np.arange(sizes.get(name, 3)) * (-1.0 if falls else 1.0)
        for name in names
    }
    units = {"y": "nm", "x": "nm"}
    coords = {
        name: (name, points[name], {"units": units.get(name, "V")})
        for name in names
    }
    xr.DataArray(
        np.transpose(stack, order), coords, names, "didv", {"units": "S"}
    ).to_netcdf(tmp_path / "file.nc", engine="h5netcdf")
    maps = read_maps(tmp_path / "file.nc")
    expected = stack[:, :, ::-1] if falls else stack[:, ::-1]
    np.testing.assert_array_equal(maps.data, expected)
    np.testing.assert_array_equal(maps.bias_v, np.arange(3) * (-1) ** falls)


def test_without_coordinates_row_0_is_the_top(tmp_path, stack):
    xr.Dataset({"lockin": (("n", "row", "col"), stack)}).to_netcdf(
        tmp_path / "file.nc", engine="scipy"
    )
    with pytest.raises(InputError, match="--bias"):
        read_maps(tmp_path / "file.nc")
    maps = read_maps(tmp_path / "file.nc", bias_v=[0, 1, 2], extent_nm=(2, 3))
    np.testing.assert_array_equal(maps.data, stack)


def test_one_map_with_its_bias_as_a_number(tmp_path, stack):
    xr.Dataset(
        {"z": (("y", "x"), stack[0], {"units": "Å"})},
        {"bias": ((), 50.0, {"units": "mV"})},
    ).to_netcdf(tmp_path / "file.nc", engine="h5netcdf")
    maps = read_maps(tmp_path / "file.nc", extent_nm=(2, 3))
    assert maps.bias_v.tolist() == [0.05]
    assert maps.unit == "m"
    np.testing.assert_allclose(maps.data[0], stack[0] * 1e-10, rtol=1e-6)


def test_packed_integers_with_holes(tmp_path, stack):
    data = xr.Dataset({"didv": (("bias", "y", "x"), stack)})
    data["didv"][0, 1, 2] = np.nan
    data.to_netcdf(
        tmp_path / "file.nc",
        engine="h5netcdf",
        encoding={
            "didv": {
                **{"dtype": "i2", "scale_factor": 1e-3, "_FillValue": -1},
                **{"zlib": True, "chunksizes": (1, 2, 5)},
            }
        },
    )
    maps = read_maps(tmp_path / "file.nc", bias_v=[0, 1, 2], extent_nm=(2, 3))
    assert np.isnan(maps.data[0, 1, 2])
    np.testing.assert_allclose(maps.data[1:], stack[1:], atol=1e-3)


def test_spectra_alone_are_no_maps(tmp_path):
    xr.Dataset({"iv": (("point", "bias"), np.ones((4, 9)))}).to_netcdf(
        tmp_path / "file.nc", engine="h5netcdf"
    )
    with pytest.raises(InputError, match=r"iv \(4 x 9\) has no axis y"):
        open_recording(tmp_path / "file.nc")


def test_zarr_without_xarray(tmp_path, stack):
    path = tmp_path / "file.zarr"
    zarr.create_group(path).create_array("didv", data=stack)
    zarr.open(path)["didv"].attrs["units"] = "S"
    maps = read_maps(path, bias_v=[0, 1, 2], extent_nm=(2, 3))
    np.testing.assert_array_equal(maps.data, stack)
    assert (maps.channel, maps.unit) == ("didv", "S")
    path = tmp_path / "bare.zarr"
    zarr.create_array(path, data=stack)
    maps = read_maps(path, bias_v=[0, 1, 2], extent_nm=(2, 3))
    np.testing.assert_array_equal(maps.data, stack)


def _described(path, change):
    for place in path.rglob("zarr.json"):
        text = json.loads(place.read_text())
        if "shape" in text:
            change(text)
            place.write_text(json.dumps(text))


def _huge(text):
    text["shape"] = [10**6] * len(text["shape"])


def _huge_chunks(text):
    grid = text["chunk_grid"]["configuration"]
    grid["chunk_shape"] = [10**5] * len(text["shape"])


def _pickles(text):
    text["codecs"] = [{"name": "numcodecs.pickle", "configuration": {}}]


def _nonsense(text):
    text["shape"] = "many"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_huge, "would unpack"),
        (_huge_chunks, "would unpack"),
        (_pickles, "pickle.*may run code"),
        (_nonsense, "cannot be understood"),
    ],
)
def test_stores_that_lie(tmp_path, maps, change, message):
    path = tmp_path / "maps.zarr"
    maps.to_xarray().rename("maps").to_dataset().to_zarr(
        path, consolidated=False
    )
    _described(path, change)
    with pytest.raises(InputError, match=message):
        open_recording(path)


def test_a_link_out_of_a_store(tmp_path, maps):
    path = tmp_path / "maps.zarr"
    maps.to_xarray().rename("maps").to_dataset().to_zarr(
        path, consolidated=False
    )
    (path / "maps" / "c").rename(tmp_path / "elsewhere")
    (path / "maps" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="link out of the store"):
        open_recording(path)


@pytest.mark.parametrize("content", [b"", b"CDF\1", b"CDF\5" + bytes(99)])
def test_no_whole_file(write, content):
    with pytest.raises(InputError):
        open_recording(write(content))


def test_damaged_files_are_refused_or_read(
    tmp_path, tiny_netcdf, mutated, refusals
):
    refused = 0
    for n, (name, content) in enumerate(tiny_netcdf.tiny_files().items()):
        copies = mutated(content, 20, seed=n)
        refused += len(refusals(tmp_path / name, copies))
    assert refused > 5
