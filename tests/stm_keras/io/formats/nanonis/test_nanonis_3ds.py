import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

SHAPE = (7, 3, 4)
NAMES = ("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)")


def channel(path, name, direction="forward"):
    (found,) = (
        channel
        for channel in open_recording(path).channels
        if (channel.name, channel.direction) == (name, direction)
    )
    return found


@pytest.mark.parametrize(
    ("text", "name", "direction"),
    [
        ("Current (A)", "Current", "forward"),
        ("LI Demod 1 X (A)", "LI Demod 1 X", "forward"),
        ("Current [bwd] (A)", "Current", "backward"),
    ],
)
def test_sweeps_are_as_seen(write_grid, text, name, direction):
    path, sweeps = write_grid()
    found = channel(path, name, direction)
    np.testing.assert_array_equal(found.load(), sweeps[text])
    assert (found.unit, found.sweep) == ("A", True)


def test_frame_and_bias(write_grid):
    path, sweeps = write_grid(ends=(0.4, -0.3), size_nm=(4.0, 6.0))
    maps = read_maps(path)
    assert maps.channel == "LI Demod 1 X"
    np.testing.assert_array_equal(maps.data, sweeps["LI Demod 1 X (A)"])
    np.testing.assert_allclose(maps.extent_nm, (4.0, 6.0))
    # Downwards, as swept, and the ends as a person wrote them.
    np.testing.assert_allclose(
        maps.bias_v, np.linspace(0.4, -0.3, 7), rtol=0, atol=1e-15
    )
    assert maps.placement.centre_nm == pytest.approx((30.0, -20.0))


@given(
    rows=st.integers(1, 4),
    columns=st.integers(2, 5),
    angle=st.floats(-180, 180),
    centre=st.tuples(*[st.floats(-100, 100)] * 2),
    size=st.tuples(*[st.floats(1, 50)] * 2),
    on_line=st.booleans(),
)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_pixels_lie_where_the_points_were_measured(
    tiny, tmp_path_factory, rows, columns, angle, centre, size, on_line
):
    module = tiny("nanonis_3ds")
    if on_line:
        rows, size = 1, (0.0, size[1])
    path = tmp_path_factory.mktemp("grid") / "grid.3ds"
    path.write_bytes(
        module.grid_bytes(
            module.sample_sweeps(("Current (A)",), (3, rows, columns)),
            centre_nm=centre,
            size_nm=size,
            angle_deg=angle,
        )
    )
    maps = read_maps(path, channel="Current")
    x, y = (channel(path, name).load()[0] * 1e9 for name in "XY")
    places = maps.scanner_nm(np.argwhere(np.ones((rows, columns))))
    np.testing.assert_allclose(
        places, np.stack([x, y], -1).reshape(-1, 2), atol=1e-4
    )
    assert not any("settings put" in note for note in maps.provenance)


def test_points_off_the_grid_are_warned_of(write_grid):
    path, _ = write_grid()
    moved = path.read_bytes().replace(b"=3.000000E-08;", b"=3.200000E-08;")
    path.write_bytes(moved)
    notes = open_recording(path).notes
    assert any("warning: points lie up to 1.5 px" in note for note in notes)


def test_parameters_are_images(write_grid, tiny):
    height = tiny("nanonis_3ds").sample_sweeps(("Z (m)",), (1, 3, 4))["Z (m)"]
    path, sweeps = write_grid(
        (*NAMES, "Z (m)"),
        images={"Z (m)": height[0] * 1e-9, "Scan:Current (pA)": height[0]},
        lines=["Bias>Bias (V)=100E-3"],
    )
    maps = read_maps(path, channel="topograph")
    np.testing.assert_allclose(maps.data, height * 1e-9, rtol=1e-6)
    assert (maps.channel, maps.unit, maps.bias_v.tolist()) == ("Z", "m", [0.1])
    scanned = read_maps(path, channel="Scan:Current")
    assert scanned.unit == "A"
    np.testing.assert_allclose(scanned.data, height * 1e-12, rtol=1e-6)
    swept = read_maps(path, channel="Z [sweep]")
    np.testing.assert_array_equal(swept.data, sweeps["Z (m)"])


def test_averages_come_before_single_sweeps(write_grid):
    names = (
        "Current [00001] (A)",
        "LI Demod 1 X [00001] (A)",
        "LI Demod 1 X (A) [filt]",
        "LI Demod 1 X [AVG] (A)",
        "LI Demod 1 X [AVG] [bwd] (A)",
        "LI Demod 1 X [00001] [bwd] (A)",
    )
    path, sweeps = write_grid(names)
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data, sweeps["LI Demod 1 X [AVG] (A)"])
    assert "average of the sweeps" in maps.provenance
    back = read_maps(path, direction="backward")
    np.testing.assert_array_equal(
        back.data, sweeps["LI Demod 1 X [AVG] [bwd] (A)"]
    )
    single = read_maps(
        path, channel="LI Demod 1 X [00001]", direction="backward"
    )
    np.testing.assert_array_equal(
        single.data, sweeps["LI Demod 1 X [00001] [bwd] (A)"]
    )
    assert "single sweep 00001" in single.provenance
    filtered = read_maps(path, channel="LI Demod 1 X [filt]")
    np.testing.assert_array_equal(
        filtered.data, sweeps["LI Demod 1 X (A) [filt]"]
    )


@pytest.mark.parametrize(
    ("status", "run", "chosen"),
    [
        ("ON", "FALSE", "LI Demod 1 X"),
        ("OFF", "TRUE", "LI Demod 1 X"),  # on for the sweeps alone
        ("OFF", "FALSE", "d(Current)/dV"),
    ],
)
def test_lock_in_off_by_the_header(write_grid, status, run, chosen):
    path, _ = write_grid(
        lines=[
            f"Lock-in>Lock-in status={status}",
            f"Bias Spectroscopy>Lock-In run={run}",
        ],
    )
    assert read_maps(path).channel == chosen


def test_line(write_grid):
    path, sweeps = write_grid(
        shape=(5, 1, 6), size_nm=(0.0, 10.0), angle_deg=30.0
    )
    maps = read_maps(path, channel="Current")
    np.testing.assert_array_equal(maps.data, sweeps["Current (A)"])
    # Six points at steps of 2 nm, the first and last at the ends.
    np.testing.assert_allclose(maps.extent_nm, (2.0, 12.0))
    assert any("line" in note for note in maps.provenance)
    assert maps.placement.angle_deg == pytest.approx(-30.0)


class TestOtherSweeps:
    def test_images_stay_readable(self, write_grid):
        height = np.arange(12.0).reshape(3, 4)
        path, _ = write_grid(signal="Z (m)", images={"Z (m)": height})
        recording = open_recording(path)
        names = {channel.name for channel in recording.channels}
        assert names == {"X", "Y", "Z"}
        assert "swept over Z (m) and not over the bias" in recording.notes[0]
        maps = read_maps(path, bias_v=[0.1])
        assert maps.channel == "Z"
        assert recording.notes[0] in maps.provenance

    def test_nothing_besides(self, write_grid):
        path, _ = write_grid(signal="OC M1 Freq. Shift (Hz)")
        named = b'"X (m);Y (m)"'
        assert named in path.read_bytes()
        content = path.read_bytes().replace(named, b'"Sweep Start;Sweep End"')
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"swept over OC M1 Freq\. Shift"):
            read_maps(path)


def test_random_damage_gives_maps_or_one_line(
    tmp_path, tiny, mutated, refusals
):
    n_read = n_refused = 0
    for name, content in tiny("nanonis_3ds").tiny_files().items():
        header = content.index(b":HEADER_END:") + 14
        part = header if "line" in name else None
        copies = list(mutated(content, 200, 7, part))
        messages = refusals(tmp_path / "damaged.3ds", copies)
        n_refused += len(messages)
        n_read += len(copies) - len(messages)
    assert min(n_read, n_refused) > 100
