import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps


@pytest.fixture
def scan(tmp_path, sxm_bytes):
    def write(channels, **options):
        path = tmp_path / "scan.sxm"
        path.write_bytes(sxm_bytes(channels, **options))
        return path

    return write


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": (8, 7)}, "header promises"),
        ({"pixels": (7, 6)}, "header promises"),
        ({"pixels": (10**15, 10**15)}, "header promises"),
        ({"pixels": (0, 6)}, "SCAN_PIXELS"),
        ({"pixels": (-8, -6)}, "SCAN_PIXELS"),
        ({"pixels": ("nan", 6)}, "SCAN_PIXELS"),
        ({"pixels": ("9" * 5000, 6)}, "SCAN_PIXELS"),
        ({"pixels": (8, "6 1")}, "SCAN_PIXELS"),
        ({"size_nm": (0.0, 8.0)}, "SCAN_RANGE"),
        ({"size_nm": (6.0, float("inf"))}, "SCAN_RANGE"),
        ({"scan_dir": "left"}, "SCAN_DIR"),
    ],
)
def test_lying_headers(scan, two_channels, options, message):
    path = scan(two_channels, **options)
    with pytest.raises(InputError, match=message) as error:
        read_maps(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_placement_and_what_a_person_wants_to_know(scan, two_channels):
    fields = {
        "SCAN_OFFSET": "             1.0E-8         -2.5E-8",
        "SCAN_ANGLE": "            9.000E+1",
        "REC_DATE": " 27.02.2019",
        "REC_TIME": "08:50:59",
        "ACQ_TIME": "       131.4",
        "Z-Controller>Setpoint": "500E-12",
        "Z-Controller>Setpoint unit": "A",
        "Lock-in>Amplitude": "10E-3",
        "Lock-in>Modulated signal": "Bias (V)",
        "Lock-in>Frequency (Hz)": "983E+0",
    }
    comment = "5 µA über 3 Å – gut"
    path = scan(two_channels, fields=fields, comment=comment, encoding="cp1252")
    maps = read_maps(path)
    assert maps.placement.centre_nm == pytest.approx((10.0, -25.0))
    # Clockwise by a right angle: the frame's top looks to the right.
    top = maps.placement.to_scanner([(0.0, 4.0)], maps.extent_nm)[0]
    np.testing.assert_allclose(top, (10.0 + 3.0, -25.0))
    assert open_recording(path).metadata == {
        "title": "scan",
        "date": "27.02.2019 08:50:59",
        "duration": "131.4 s",
        "scan direction": "down",
        "comment": comment,
        "bias": "0.01 V",
        "set point": "5e-10 A",
        "lock-in": "on, 0.01 V on Bias, 983 Hz",
    }


@pytest.mark.parametrize(
    ("offset", "angle"), [("1 2 3", "0"), ("a b", "0"), ("1 2", "inf")]
)
def test_no_placement_that_is_none(scan, two_channels, offset, angle):
    fields = {"SCAN_OFFSET": offset, "SCAN_ANGLE": angle}
    assert read_maps(scan(two_channels, fields=fields)).placement is None


def test_units_become_si(scan):
    image = np.arange(12.0).reshape(3, 4)
    path = scan([("Z", "nm", {"forward": image})])
    maps = read_maps(path)
    assert maps.unit == "m"
    np.testing.assert_allclose(maps.data[0], image * 1e-9, rtol=1e-6)


@pytest.mark.parametrize("lost", [1, 4, 500, 768])
def test_truncated(scan, two_channels, lost):
    path = scan(two_channels)
    content = path.read_bytes()
    path.write_bytes(content[:-lost])
    with pytest.raises(InputError, match=r"header promises.*being written"):
        read_maps(path)


def test_truncated_within_the_header(scan, two_channels):
    path = scan(two_channels)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="header has no end"):
        read_maps(path)


def test_too_much_is_refused_too(scan, two_channels):
    path = scan(two_channels)
    path.write_bytes(path.read_bytes() + b"1234")
    with pytest.raises(InputError, match="header promises"):
        read_maps(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"FLOAT", b"INT16", "SCANIT_TYPE"),
        (b"DATA_INFO", b"DATA_OFNI", "DATA_INFO"),
        (b"\tboth\t", b"\tboss\t", "DATA_INFO"),
        (b":SCANIT_END:", b":SCANIT_EN:", "no end"),
    ],
)
def test_damaged_headers(scan, two_channels, old, new, message):
    path = scan(two_channels)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=message):
        read_maps(path)
