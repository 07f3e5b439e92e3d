"""Files of GXSM against what was written, and real ones against their bytes."""

import sys

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps


@pytest.fixture
def gxsm(tiny):
    pytest.importorskip("h5netcdf")
    return tiny("gxsm")


@pytest.fixture
def counts():
    image = 100 * np.random.default_rng(2).normal(size=(1, 30, 40))
    return image.astype(np.float32)


@pytest.fixture
def written(tmp_path, gxsm, counts):
    def write(name="scan-Xp-Topo.nc", image=counts, **options):
        path = tmp_path / name
        path.write_bytes(gxsm.gxsm_bytes(image, **options))
        return path

    return write


@pytest.mark.parametrize("version", [3, 4])
def test_an_image_in_its_frame(written, counts, version):
    recording = open_recording(written(version=version))
    (channel,) = recording.channels
    assert (channel.name, channel.unit) == ("Topo", "m")
    np.testing.assert_allclose(channel.load(), counts * 0.02 * 1e-10, rtol=1e-6)
    assert channel.bias_v.tolist() == [-0.25]
    assert recording.extent_nm == pytest.approx((30, 40))
    assert recording.placement.centre_nm == pytest.approx((-12, 5))
    assert recording.placement.angle_deg == 30
    assert read_maps(written(version=version)).unit == "m"


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("n_events", [2, 20, 400])
def test_a_table_is_never_taken_for_the_image(written, version, n_events):
    path = written(version=version, n_events=n_events)
    assert open_recording(path).shape == (30, 40)


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("scan-Xp-ADC1.nc", "Topo", ("Topo", "forward")),
        ("scan-Xm-ADC1.nc", "Topo", ("Topo", "backward")),
        ("renamed.nc", "M X- ZS-Topo", ("ZS-Topo", "backward")),
        ("renamed.nc", "title not set", ("Lock-In", "forward")),
    ],
)
def test_name_and_direction(written, name, title, expected):
    path = written(
        name, texts={"title": title}, attributes={"label": "Lock-In"}
    )
    (channel,) = open_recording(path).channels
    assert (channel.name, channel.direction) == expected


def test_gxsm_4_tells_the_bias_in_the_json_of_its_controller(written, gxsm):
    settings = dict(gxsm.SETTINGS)
    del settings["sranger_mk2_hwi_bias"]
    settings["JSON_RedPACPALL_SPMC_BIAS"] = (0.1, {"var_unit": "V"})
    (channel,) = open_recording(written(settings=settings)).channels
    assert channel.bias_v.tolist() == [0.1]


@pytest.mark.parametrize(
    ("own", "of_image", "unit", "factor"),
    [
        ({"var_unit": "Å", "unit": "AA"}, {}, "m", 1e-10),
        ({"var_unit": "Ang", "unit": "V"}, {"ZSrcUnit": "V"}, "V", 1),
        ({"var_unit": "nA", "unit": "nA"}, {"unit": "nA"}, "A", 1e-9),
        ({"unit": "nm"}, {}, "m", 1e-10),  # for the screen alone
    ],
)
def test_units(written, gxsm, counts, own, of_image, unit, factor):
    settings = {**gxsm.SETTINGS, "dz": (0.5, own)}
    path = written(settings=settings, attributes=of_image, version=4)
    (channel,) = open_recording(path).channels
    assert channel.unit == unit
    np.testing.assert_allclose(channel.load(), counts * 0.5 * factor, rtol=1e-6)


def test_layers_are_biases(written, counts):
    layers = np.concatenate([counts, counts + 1, counts + 2])
    bias = np.array([-0.2, 0.0, 0.2])
    (channel,) = open_recording(written(image=layers, values=bias)).channels
    np.testing.assert_array_equal(channel.bias_v, bias)
    np.testing.assert_allclose(channel.load()[2], layers[2] * 2e-12, rtol=1e-6)


@pytest.mark.parametrize("name", ["dz", "rangex"])
def test_a_scale_that_is_missing(written, gxsm, name):
    settings = {**gxsm.SETTINGS, name: (np.nan, {})}
    with pytest.raises(InputError, match=f"{name} is no number"):
        open_recording(written(settings=settings))
    del settings[name]
    with pytest.raises(InputError, match="FloatField"):
        open_recording(written(settings=settings))


@pytest.mark.parametrize("version", [3, 4])
def test_no_extra_is_needed(written, monkeypatch, version):
    path = written(version=version)
    for package in ("xarray", "h5netcdf", "netCDF4", "zarr"):
        monkeypatch.setitem(sys.modules, package, None)
    for module in [name for name in sys.modules if "io.netcdf" in name]:
        monkeypatch.delitem(sys.modules, module)
    assert read_maps(path).channel == "Topo"


def test_a_table_is_no_image_where_the_image_is_refused(tmp_path):
    path = tmp_path / "scan.nc"
    with netcdf_file(path, "w") as file:
        sizes = {"time": 4, "when": 3, "y": 64, "x": 64, "row": 9, "two": 2}
        for name, size in sizes.items():
            file.createDimension(name, size)
        points = file.createVariable("when", "f8", ("when",))
        points[:] = np.arange(3)
        image = file.createVariable("film", "f4", ("time", "when", "y", "x"))
        image[:] = np.zeros((4, 3, 64, 64), np.float32)
        table = file.createVariable("log", "f8", ("row", "two"))
        table[:] = np.ones((9, 2))
    with pytest.raises(InputError, match=r"film \(4 x 3 x 64 x 64\)"):
        open_recording(path)


class TestRealFiles:
    def test_gxsm_3(self, shared_file):
        path = shared_file("readers/gxsm3_chigwell_adc1_forward.nc")
        recording = open_recording(path)
        with netcdf_file(path, mmap=False) as file:
            image = file.variables["FloatField"].data[0]
            dz = float(file.variables["dz"].data)
        (channel,) = recording.channels
        np.testing.assert_allclose(channel.load(), image * dz, rtol=1e-6)
        assert recording.shape == (64, 64)
        assert recording.extent_nm == pytest.approx((10_000, 10_000))
        assert channel.bias_v.tolist() == [-5]
        # The numbers are volts of the converter: 10 V are 2^15 counts.
        assert dz == pytest.approx(10 / 2**15, rel=1e-4)
        assert (channel.name, channel.unit) == ("Frequency shift", "V")

    def test_gxsm_4(self, shared_file):
        path = shared_file("au111/Au111-R1_228-M-Xp-ZSmTopo.nc")
        recording = open_recording(path)
        with h5py.File(path) as file:
            image = np.asarray(file["FloatField"])[0]
            dz = float(np.asarray(file["dz"]))
        (channel,) = recording.channels
        np.testing.assert_allclose(
            channel.load(), image * dz * 1e-10, rtol=1e-6
        )
        assert recording.extent_nm == pytest.approx((60, 60))
        assert recording.placement.centre_nm == pytest.approx(
            (-86.4277, -49.9208), abs=1e-4
        )
        assert channel.bias_v.tolist() == [0.1]
        assert (channel.name, channel.unit) == ("ZS-Topo", "m")
        assert channel.direction == "forward"
        assert read_maps(path).channel == "ZS-Topo"
