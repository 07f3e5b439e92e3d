"""Real grids against their bytes, taken apart here without the reader."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

SHAPE = (7, 3, 4)
NAMES = ("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)")
HUNFEN = (
    "Current",
    "Bias(AI5)",
    "7280DSP Lockin-X",
    "7280DSP Lockin-Y",
    "LIR 1 omega",
    "LIY 1 omega",
)
SPMGRIDS = (
    "Current",
    "Applied Voltage measured",
    "Bias",
    "X [sweep]",
    "Y [sweep]",
    "Z [sweep]",
    "Phase",
    "Amplitude",
    "Frequency Shift",
    "Excitation",
)
GRIDS = {
    "davis_map2": {
        "layout": (40, 40, 100, 10, ("Current", "Input 6")),
        "ends": (-0.4, 0.4),
        "extent": (4.959236, 4.959236),
        "units": {"Current": "A", "Input 6": "V", "Z": "m", "X": "m"},
    },
    "hunfen_grid008": {
        "layout": (32, 1, 401, 10, (*HUNFEN, *(f"{n} b" for n in HUNFEN))),
        "ends": (0.002, -0.004),
        "extent": (53.54185 / 31, 53.54185 * 32 / 31),
        # A percentage is a number.
        "units": {"Bias(AI5)": "V", "LIR 1 omega": "A", HUNFEN[2]: ""},
        "factors": {HUNFEN[2]: 0.01, HUNFEN[3]: 0.01},
    },
    "spmgrids_bias": {
        "layout": (20, 20, 128, 18, SPMGRIDS),
        "ends": (0.2, -0.1),
        "extent": (15.0, 15.0),
        "units": {"Bias": "V", "Phase": "deg", "Frequency Shift": "Hz"},
    },
}


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
        copies = list(mutated(content, 50, 7, part))
        messages = refusals(tmp_path / "damaged.3ds", copies)
        n_refused += len(messages)
        n_read += len(copies) - len(messages)
    assert min(n_read, n_refused) > 20


def test_segments(write_grid, tiny):
    lines = [tiny("nanonis_3ds").SEGMENTS]
    path, _ = write_grid(file_type="MLS", lines=lines)
    maps = read_maps(path)
    np.testing.assert_allclose(
        maps.bias_v, [-0.1, -0.06, -0.02, 0.02, 0.14 / 3, 0.22 / 3, 0.1]
    )
    assert "bias in 3 segments" in maps.provenance


def test_segments_that_do_not_join_keep_all_their_points(write_grid):
    title = "Segment Start (V), Segment End (V), Steps (xn)"
    path, _ = write_grid(
        file_type="MLS", lines=[f"{title}=0,1,3;2,5,4"], ends=(0, 5)
    )
    np.testing.assert_allclose(read_maps(path).bias_v, [0, 0.5, 1, 2, 3, 4, 5])


def test_segments_in_force_by_the_sweep_mode(write_grid):
    title = "Bias Spectroscopy>MultiLine Settings: Segment Start (V), "
    title += "Segment End (V), Settling (s), Integration (s), Steps (xn)"
    lines = [f"{title}=-1,1,0,0,7"]
    path, _ = write_grid(lines=lines)
    assert read_maps(path).bias_v[0] == -0.2
    path, _ = write_grid(lines=[*lines, "Bias Spectroscopy>Sweep mode=MLS"])
    assert read_maps(path).bias_v[0] == -1


@pytest.mark.parametrize(
    "table",
    [
        "-1,1,0,0,6",  # of another number of points
        "-1,1,0,0,x",
        "-1,1",
        "",
        "nan,1,0,0,7",
        "-1,1,0,0,999999999;1,2,0,0,2",
        "-1,1,0,0,0;1,2,0,0,7",
    ],
)
def test_segments_that_do_not_fit(write_grid, table):
    title = "Segment Start (V), Segment End (V), a, b, Steps (xn)"
    options = {"file_type": "MLS", "lines": [f"{title}={table}"]}
    path, _ = write_grid(**options)
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert read_maps(path, bias_v=np.arange(7) / 7).shape == SHAPE
    # The controller's own bias, where it was recorded, is as good.
    path, sweeps = write_grid((*NAMES, "Bias (V)"), **options)
    maps = read_maps(path, channel="Current")
    np.testing.assert_allclose(maps.bias_v, sweeps["Bias (V)"][:, 2, 0])
    assert any("as recorded" in note for note in maps.provenance)


def test_unknown_kind_of_sweep(write_grid):
    path, _ = write_grid(file_type="Spiral")
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert "type spiral" in open_recording(path).notes[0]


def test_no_kind_is_linear_as_in_old_files(write_grid):
    path, _ = write_grid(file_type=None)
    assert read_maps(path).bias_v[0] == -0.2


def test_ends_that_vary(write_grid):
    ends = [(-0.2 + 0.01 * (point == 5), 0.2) for point in range(12)]
    path, _ = write_grid(ends=ends)
    maps = read_maps(path)
    assert maps.bias_v[0] == -0.2
    assert any("Sweep Start differs" in line for line in maps.provenance)
    assert not any("Sweep End" in line for line in maps.provenance)


def test_ends_in_the_header_alone(write_grid):
    lines = [
        "Bias Spectroscopy>Sweep Start (V)=-300E-3",
        "Bias Spectroscopy>Sweep End (V)=300E-3",
    ]
    unnamed = {"Fixed parameters": '"Start;End"'}
    path, _ = write_grid(lines=lines, replaced=unnamed)
    np.testing.assert_allclose(read_maps(path).bias_v[[0, -1]], [-0.3, 0.3])
    path, _ = write_grid(replaced=unnamed)
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)


def test_recorded_bias_that_contradicts(write_grid):
    path, sweeps = write_grid((*NAMES, "Bias (V)"))
    maps = read_maps(path, channel="Current")
    away = np.abs(sweeps["Bias (V)"][:, 2, 0] - maps.bias_v).max()
    (note,) = (n for n in maps.provenance if "recorded bias" in n)
    assert f"{away:g} V" in note


class Raw:
    """A grid as its bytes have it, in the order of the measurement.

    `centre`, `rows` and so on were read off the headers by eye.
    """

    def __init__(self, path, columns, rows, points, n_parameters, names):
        content = path.read_bytes()
        start = content.index(b":HEADER_END:\r\n") + 14
        values = np.frombuffer(content[start:], ">f4").astype(np.float32)
        size = n_parameters + len(names) * points
        self.parameters = values.reshape(rows, columns, size)[
            ..., :n_parameters
        ]
        sweeps = values.reshape(rows, columns, size)[..., n_parameters:]
        self.sweeps = dict(
            zip(
                names,
                np.moveaxis(sweeps.reshape(rows, columns, -1, points), 2, 0),
                strict=True,
            )
        )


@pytest.fixture(params=GRIDS, name="grid")
def _grid(request, shared_file):
    facts = GRIDS[request.param]
    path = shared_file(f"readers/{request.param}.3ds")
    return path, facts, Raw(path, *facts["layout"])


def test_every_sweep_and_the_bias(grid):
    path, facts, raw = grid
    recording = open_recording(path)
    swept = [channel for channel in recording.channels if channel.sweep]
    columns, rows, points, *_ = facts["layout"]
    assert recording.shape == (rows, columns)
    np.testing.assert_allclose(recording.extent_nm, facts["extent"], rtol=1e-6)
    assert len(swept) == len(raw.sweeps)
    for channel, (name, sweeps) in zip(swept, raw.sweeps.items(), strict=True):
        back = channel.direction == "backward"
        assert name == f"{channel.name}{' b' * back}"
        # The first point is the bottom left: the last row's first column.
        expected = np.moveaxis(sweeps[::-1], -1, 0)
        factor = facts.get("factors", {}).get(channel.name, 1)
        np.testing.assert_allclose(
            channel.load(), expected * np.float32(factor), rtol=1e-6
        )
        np.testing.assert_allclose(
            channel.bias_v,
            np.linspace(*facts["ends"], points),
            rtol=0,
            atol=1e-12,
        )
    units = {channel.name: channel.unit for channel in recording.channels}
    assert facts["units"].items() <= units.items()


def test_real_pixels_lie_where_the_points_were_measured(grid):
    path, _, raw = grid
    maps = read_maps(path, channel="Current")
    _, rows, columns = maps.shape
    x, y = raw.parameters[..., 2], raw.parameters[..., 3]
    pixels = np.argwhere(np.ones((rows, columns)))
    places = maps.scanner_nm(pixels).reshape(rows, columns, 2)
    # The header has seven digits of some 600 nm.
    away = places - np.stack([x, y], -1)[::-1] * 1e9
    assert np.abs(away).max() < 3e-4
    # Any other orientation or sense of the angle would be far off.
    assert np.abs(places[::-1, :] - places).max() > 1 or rows == 1
    assert not any("warning" in note for note in maps.provenance)


def test_heights_are_an_image(grid):
    path, _, raw = grid
    (height,) = (c for c in open_recording(path).channels if c.name == "Z")
    np.testing.assert_array_equal(height.load()[0], raw.parameters[::-1, :, 4])


@pytest.mark.parametrize(
    ("name", "volts"),
    # The controller's own to rounding; a voltmeter's to a fifth of a step.
    [("Bias", 1e-7), ("Applied Voltage measured", 5e-4)],
)
def test_nominal_bias_against_the_recorded(shared_file, name, volts):
    recording = open_recording(shared_file("readers/spmgrids_bias.3ds"))
    (channel,) = (c for c in recording.channels if c.name == name)
    away = channel.load() - channel.bias_v[:, None, None]
    assert np.abs(away).max() < volts


def test_the_way_back_is_stored_in_the_order_of_the_way_forward(shared_file):
    path = shared_file("readers/hunfen_grid008.3ds")
    for direction in ("forward", "backward"):
        maps = read_maps(path, channel="Bias(AI5)", direction=direction)
        mean = maps.data.mean(axis=(1, 2))
        # An input with a divider and an offset: it tells the order alone.
        slope, offset = np.polyfit(maps.bias_v, mean, 1)
        assert slope == pytest.approx(0.875, abs=0.005)
        assert offset == pytest.approx(1.85e-3, abs=2e-5)


def test_what_is_chosen(shared_file):
    davis = read_maps(shared_file("readers/davis_map2.3ds"))
    assert (davis.channel, davis.unit) == ("d(Current)/dV", "S")
    # Input 6 is the lock-in's output: the derivative's picture, scaled.
    lock_in = read_maps(davis.source, channel="Input 6")
    assert (
        np.corrcoef(
            davis.data.mean(axis=(1, 2)), lock_in.data.mean(axis=(1, 2))
        )[0, 1]
        > 0.995
    )
    line = read_maps(shared_file("readers/hunfen_grid008.3ds"))
    assert line.channel == "7280DSP Lockin-X"
    recording = open_recording(line.source)
    assert recording.metadata["comment"] == "line cross the step 0.1 T"
    assert recording.metadata["sweeps"] == "4"
    assert recording.metadata["lock-in"].startswith("off")
