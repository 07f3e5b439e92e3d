"""Real scans against their bytes, taken apart here without the reader."""

import numpy as np
import pytest

from stm_keras.io.reader import open_recording, read_maps


@pytest.mark.parametrize(
    ("name", "side_nm"), [("Topo015", 20.0), ("Topo102", 15.0)]
)
def test_real_scans(shared_file, name, side_nm):
    path = shared_file(f"cu111_co/{name}.sxm")
    maps = read_maps(path)
    assert maps.shape == (1, 256, 256)
    assert (maps.channel, maps.unit) == ("Z", "m")
    assert "lock-in off" in maps.provenance[1]
    np.testing.assert_allclose(maps.extent_nm, (side_nm, side_nm), rtol=1e-6)
    np.testing.assert_allclose(maps.bias_v, [0.01])
    # Straight from the bytes: Z comes first, and the scan went down.
    raw = path.read_bytes()
    start = raw.index(b"\x1a\x04") + 2
    images = np.frombuffer(raw[start : start + 2 * 4 * 65536], ">f4")
    forward, backward = images.reshape(2, 256, 256)
    np.testing.assert_array_equal(maps.data[0], forward)
    np.testing.assert_array_equal(
        read_maps(path, direction="backward").data[0], backward[:, ::-1]
    )


@pytest.mark.parametrize("name", ["Topo015", "Topo102"])
def test_real_cores_are_dark_where_the_reference_puts_them(shared_file, name):
    maps = read_maps(shared_file(f"cu111_co/{name}.sxm"))
    table = np.loadtxt(
        shared_file(f"cu111_co/{name}_core_positions.csv"),
        delimiter=",",
        skiprows=1,
    )
    rows, cols = np.rint(table[:, :2]).astype(int).T
    image = maps.data[0].astype(np.float64)
    image -= np.median(image, axis=1, keepdims=True)
    image /= image.std()
    assert np.median(image[rows, cols]) < -3
    assert abs(np.median(image[::-1][rows, cols])) < 1
    assert abs(np.median(image[:, ::-1][rows, cols])) < 1


@pytest.mark.parametrize("name", ["Topo015", "Topo102"])
def test_real_lock_in_is_seen_to_be_off_without_the_header(
    shared_file, tmp_path, name
):
    raw = shared_file(f"cu111_co/{name}.sxm").read_bytes()
    key = b":Lock-in>Lock-in status:"
    assert key in raw
    path = tmp_path / "silent.sxm"
    path.write_bytes(raw.replace(key, b":Lock-in>Lock-in ??????:"))
    maps = read_maps(path)
    assert maps.channel == "Z"
    assert "noise about zero" in maps.provenance[1]


@pytest.mark.parametrize(
    ("name", "centre_nm", "angle_deg"),
    [
        ("Topo015", (65.02696, 51.40949), 3.17),
        ("Topo102", (-54.20781, 26.39928), 1.25),
    ],
)
def test_real_placement(shared_file, name, centre_nm, angle_deg):
    # As SCAN_OFFSET and SCAN_ANGLE have them, clockwise.
    recording = open_recording(shared_file(f"cu111_co/{name}.sxm"))
    assert recording.placement.centre_nm == pytest.approx(centre_nm)
    assert recording.placement.angle_deg == pytest.approx(-angle_deg)
    assert recording.metadata["set point"] == "5e-10 A"
    assert recording.notes == ()
    assert {channel.unit for channel in recording.channels} == {"m", "A"}
