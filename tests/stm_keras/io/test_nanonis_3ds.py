import contextlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

SHAPE = (7, 3, 4)
NAMES = ("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)")


@pytest.fixture
def write(tmp_path, tiny):
    """Writes a grid; gives its path and the maps in it."""
    module = tiny("nanonis_3ds")

    def file(names=NAMES, shape=SHAPE, **options):
        sweeps = module.sample_sweeps(names, shape)
        path = tmp_path / "grid.3ds"
        path.write_bytes(module.grid_bytes(sweeps, **options))
        return path, sweeps

    return file


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
def test_sweeps_are_as_seen(write, text, name, direction):
    path, sweeps = write()
    found = channel(path, name, direction)
    np.testing.assert_array_equal(found.load(), sweeps[text])
    assert (found.unit, found.sweep) == ("A", True)


def test_frame_and_bias(write):
    path, sweeps = write(ends=(0.4, -0.3), size_nm=(4.0, 6.0))
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


def test_points_off_the_grid_are_warned_of(write):
    path, _ = write()
    moved = path.read_bytes().replace(b"=3.000000E-08;", b"=3.200000E-08;")
    path.write_bytes(moved)
    notes = open_recording(path).notes
    assert any("warning: points lie up to 1.5 px" in note for note in notes)


def test_parameters_are_images(write, tiny):
    height = tiny("nanonis_3ds").sample_sweeps(("Z (m)",), (1, 3, 4))["Z (m)"]
    path, sweeps = write(
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


def test_averages_come_before_single_sweeps(write):
    names = (
        "Current [00001] (A)",
        "LI Demod 1 X [00001] (A)",
        "LI Demod 1 X (A) [filt]",
        "LI Demod 1 X [AVG] (A)",
        "LI Demod 1 X [AVG] [bwd] (A)",
        "LI Demod 1 X [00001] [bwd] (A)",
    )
    path, sweeps = write(names)
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
def test_lock_in_off_by_the_header(write, status, run, chosen):
    path, _ = write(
        lines=[
            f"Lock-in>Lock-in status={status}",
            f"Bias Spectroscopy>Lock-In run={run}",
        ],
    )
    assert read_maps(path).channel == chosen


def test_line(write):
    path, sweeps = write(shape=(5, 1, 6), size_nm=(0.0, 10.0), angle_deg=30.0)
    maps = read_maps(path, channel="Current")
    np.testing.assert_array_equal(maps.data, sweeps["Current (A)"])
    # Six points at steps of 2 nm, the first and last at the ends.
    np.testing.assert_allclose(maps.extent_nm, (2.0, 12.0))
    assert any("line" in note for note in maps.provenance)
    assert maps.placement.angle_deg == pytest.approx(-30.0)


class TestUnfinished:
    @pytest.mark.parametrize("how", ["cut", "cut within a point", "zeros"])
    def test_missing_points_are_nan(self, write, how):
        zeros = 5 if how == "zeros" else 0
        path, sweeps = write(n_written=7, n_zeros=zeros)
        if how == "cut within a point":
            path.write_bytes(path.read_bytes() + b"\x3f" * 41)
        recording = open_recording(path)
        assert "warning: unfinished: 7 of 12 points measured" in recording.notes
        # From the bottom up: one whole row, and three points of the next.
        measured = np.zeros((3, 4), bool)
        measured[2] = measured[1, :3] = True
        maps = channel(path, "Current").load()
        np.testing.assert_array_equal(np.isfinite(maps).all(axis=0), measured)
        expected = np.where(measured, sweeps["Current (A)"], np.nan)
        np.testing.assert_array_equal(maps, expected)
        image = channel(path, "X").load()
        np.testing.assert_array_equal(np.isfinite(image[0]), measured)

    def test_too_few_points(self, write):
        path, _ = write(shape=(9000, 8, 8), n_written=1)
        with pytest.raises(InputError, match="1 of 64 are measured"):
            read_maps(path)

    def test_nothing_but_zeros(self, write):
        path, _ = write(n_written=0, n_zeros=12)
        with pytest.raises(InputError, match="0 of 12 are measured"):
            read_maps(path)

    def test_no_points(self, write):
        path, _ = write(n_written=0)
        with pytest.raises(InputError, match=r"none of its 12.*being written"):
            read_maps(path)


class TestBiasAxis:
    def test_segments(self, write, tiny):
        lines = [tiny("nanonis_3ds").SEGMENTS]
        path, _ = write(file_type="MLS", lines=lines)
        maps = read_maps(path)
        np.testing.assert_allclose(
            maps.bias_v, [-0.1, -0.06, -0.02, 0.02, 0.14 / 3, 0.22 / 3, 0.1]
        )
        assert "bias in 3 segments" in maps.provenance

    def test_segments_that_do_not_join_keep_all_their_points(self, write):
        title = "Segment Start (V), Segment End (V), Steps (xn)"
        path, _ = write(
            file_type="MLS", lines=[f"{title}=0,1,3;2,5,4"], ends=(0, 5)
        )
        np.testing.assert_allclose(
            read_maps(path).bias_v, [0, 0.5, 1, 2, 3, 4, 5]
        )

    def test_segments_in_force_by_the_sweep_mode(self, write):
        title = "Bias Spectroscopy>MultiLine Settings: Segment Start (V), "
        title += "Segment End (V), Settling (s), Integration (s), Steps (xn)"
        lines = [f"{title}=-1,1,0,0,7"]
        path, _ = write(lines=lines)
        assert read_maps(path).bias_v[0] == -0.2
        path, _ = write(lines=[*lines, "Bias Spectroscopy>Sweep mode=MLS"])
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
    def test_segments_that_do_not_fit(self, write, table):
        title = "Segment Start (V), Segment End (V), a, b, Steps (xn)"
        options = {"file_type": "MLS", "lines": [f"{title}={table}"]}
        path, _ = write(**options)
        with pytest.raises(InputError, match="--bias"):
            read_maps(path)
        assert read_maps(path, bias_v=range(7)).shape == SHAPE
        # The controller's own bias, where it was recorded, is as good.
        path, sweeps = write((*NAMES, "Bias (V)"), **options)
        maps = read_maps(path, channel="Current")
        np.testing.assert_allclose(maps.bias_v, sweeps["Bias (V)"][:, 2, 0])
        assert any("as recorded" in note for note in maps.provenance)

    def test_unknown_kind_of_sweep(self, write):
        path, _ = write(file_type="Spiral")
        with pytest.raises(InputError, match="--bias"):
            read_maps(path)
        assert "type spiral" in open_recording(path).notes[0]

    def test_no_kind_is_linear_as_in_old_files(self, write):
        path, _ = write(file_type=None)
        assert read_maps(path).bias_v[0] == -0.2

    def test_ends_that_vary(self, write):
        ends = [(-0.2 + 0.01 * (point == 5), 0.2) for point in range(12)]
        path, _ = write(ends=ends)
        maps = read_maps(path)
        assert maps.bias_v[0] == -0.2
        assert any("Sweep Start differs" in line for line in maps.provenance)
        assert not any("Sweep End" in line for line in maps.provenance)

    def test_ends_in_the_header_alone(self, write):
        lines = [
            "Bias Spectroscopy>Sweep Start (V)=-300E-3",
            "Bias Spectroscopy>Sweep End (V)=300E-3",
        ]
        unnamed = {"Fixed parameters": '"Start;End"'}
        path, _ = write(lines=lines, replaced=unnamed)
        np.testing.assert_allclose(read_maps(path).bias_v[[0, -1]], [-0.3, 0.3])
        path, _ = write(replaced=unnamed)
        with pytest.raises(InputError, match="--bias"):
            read_maps(path)

    def test_recorded_bias_that_contradicts(self, write):
        path, sweeps = write((*NAMES, "Bias (V)"))
        maps = read_maps(path, channel="Current")
        away = np.abs(sweeps["Bias (V)"][:, 2, 0] - maps.bias_v).max()
        (note,) = (n for n in maps.provenance if "recorded bias" in n)
        assert f"{away:g} V" in note


class TestOtherSweeps:
    def test_images_stay_readable(self, write):
        height = np.arange(12.0).reshape(3, 4)
        path, _ = write(signal="Z (m)", images={"Z (m)": height})
        recording = open_recording(path)
        names = {channel.name for channel in recording.channels}
        assert names == {"X", "Y", "Z"}
        assert "swept over Z (m) and not over the bias" in recording.notes[0]
        maps = read_maps(path, bias_v=[0.1])
        assert maps.channel == "Z"
        assert recording.notes[0] in maps.provenance

    def test_nothing_besides(self, write):
        path, _ = write(signal="OC M1 Freq. Shift (Hz)")
        named = b'"X (m);Y (m)"'
        assert named in path.read_bytes()
        content = path.read_bytes().replace(named, b'"Sweep Start;Sweep End"')
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"swept over OC M1 Freq\. Shift"):
            read_maps(path)


@pytest.mark.parametrize(
    ("encoding", "comment"),
    [
        ("cp1252", "Strom 5 µA, 3 Å – gut"),
        ("utf-8", "電流 5 µA"),
        ("iso-8859-1", "\x81\x8d"),
        ("ascii", "two\r\nlines = fine"),
    ],
)
def test_header_text_of_any_kind(write, encoding, comment):
    lines = [f'Comment="{comment}"', "Note=:HEADER_END: =;"]
    path, sweeps = write(encoding=encoding, lines=lines)
    maps = read_maps(path, channel="Current")
    np.testing.assert_array_equal(maps.data, sweeps["Current (A)"])
    told = open_recording(path).metadata["comment"]
    assert told.isprintable()
    if comment.isprintable():
        assert told == comment


def test_header_saved_again_with_unix_newlines(write):
    path, sweeps = write(newline="\n", lines=['Comment="a\nb"'])
    np.testing.assert_array_equal(
        read_maps(path, channel="Current").data, sweeps["Current (A)"]
    )
    assert open_recording(path).metadata["comment"] == "a b"


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("Grid dim", '"4 x 2"', "promises"),
        ("Grid dim", '"999999999 x 999999999"', "too few points"),
        ("Grid dim", '"0 x 3"', "Grid dim"),
        ("Grid dim", '"-4 x 3"', "Grid dim"),
        ("Grid dim", f'"{"9" * 5000} x 3"', "Grid dim"),
        ("Grid dim", '"4"', "Grid dim"),
        ("Grid settings", "1;2;3", "Grid settings"),
        ("Grid settings", "1E-9;2E-9;nan;3E-9;0", "Grid settings"),
        ("Grid settings", "1E-9;2E-9;0;0;0", "Grid settings"),
        ("Grid settings", "1E300;1E300;1E-9;1E-9;0", "Grid settings"),
        ("# Parameters (4 byte)", "5", "4 of 5 parameters"),
        ("# Parameters (4 byte)", "999999999999999", "parameters"),
        ("Points", "999999999999999", "points"),
        ("Points", "8", "points"),
        ("Points", "0", "points"),
        ("Points", "seven", "Points"),
        ("Experiment size (bytes)", "88", "bytes"),
        ("Channels", '""', "no channel"),
        ("Channels", None, "no channel"),
    ],
)
def test_lying_headers(write, key, text, message):
    path, _ = write(replaced={key: text})
    with pytest.raises(InputError, match=message) as error:
        read_maps(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_too_much_is_refused_too(write):
    path, _ = write()
    path.write_bytes(path.read_bytes() + b"1")
    with pytest.raises(InputError, match=r"promises .* holds"):
        read_maps(path)


def test_cut_short_in_the_meantime(write):
    path, _ = write()
    recording = open_recording(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cut short while it was read"):
        recording.channels[0].load()


def test_random_damage_gives_maps_or_one_line(tmp_path, tiny, mutated):
    path = tmp_path / "damaged.3ds"
    n_read, messages = 0, []
    for name, content in tiny("nanonis_3ds").tiny_files().items():
        header = content.index(b":HEADER_END:") + 14
        part = header if "line" in name else None
        for copy in mutated(content, 200, 7, part):
            path.write_bytes(copy)
            try:
                for found in open_recording(path).channels:
                    assert found.load().shape[0] == found.bias_v.size
            except InputError as error:
                messages.append(str(error))
            else:
                n_read += 1
    assert min(n_read, len(messages)) > 100
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("dim", ["4 x 3000", "300 x 100", "99999 x 99999"])
def test_a_header_cannot_ask_for_memory(write, dim):
    path, _ = write(shape=(50, 3, 4), replaced={"Grid dim": f'"{dim}"'})
    tracemalloc.start()
    with contextlib.suppress(InputError):
        open_recording(path).channels[0].load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size + (2 << 20)
