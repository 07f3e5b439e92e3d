"""Real scans against their bytes, taken apart here without the reader."""

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps
from stm_keras.maps import ConductanceMaps

WAYS = ("forward", "backward")


@pytest.fixture
def scan(tmp_path, sxm_bytes):
    def write(channels, **options):
        path = tmp_path / "scan.sxm"
        path.write_bytes(sxm_bytes(channels, **options))
        return path

    return write


@pytest.mark.parametrize("scan_dir", ["up", "down"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("order", ["MSBFIRST", "LSBFIRST"])
def test_image_is_as_seen(scan, two_channels, scan_dir, direction, order):
    path = scan(two_channels, scan_dir=scan_dir, order=order)
    for name, unit, images in two_channels:
        maps = read_maps(path, channel=name, direction=direction)
        np.testing.assert_array_equal(maps.data[0], images[direction])
        assert (maps.channel, maps.unit) == (name, unit)


def test_units_and_sides(scan, two_channels):
    maps = read_maps(scan(two_channels, size_nm=(6.0, 8.0), bias_v="-2E-1"))
    assert maps.shape == (1, 6, 8)
    np.testing.assert_allclose(maps.extent_nm, (6.0, 8.0))
    np.testing.assert_allclose(maps.bias_v, [-0.2])
    assert "forward" in maps.provenance[0]


def test_channels_of_one_direction(scan, two_channels):
    images = two_channels[0][2]
    channels = [
        ("Current", "A", {"backward": images["forward"] * 2}),
        ("Z", "m", images),
    ]
    path = scan(channels)
    np.testing.assert_array_equal(
        read_maps(path, channel="Z").data[0], images["forward"]
    )
    with pytest.raises(InputError, match="not recorded forward"):
        read_maps(path, channel="Current")


def test_unfinished_scan_keeps_its_lines_unmeasured(scan, two_channels):
    for _, _, images in two_channels:
        images["forward"][:2] = np.nan  # an upward scan stopped early
    maps = read_maps(scan(two_channels, scan_dir="up"))
    assert not maps.mask[:2].any()
    assert maps.mask[2:].all()
    assert "warning: unfinished: 4 of 6 lines scanned" in maps.provenance


def test_running_lock_in_is_chosen(scan, two_channels):
    maps = read_maps(scan(two_channels))
    assert maps.channel == "LI_Demod_1_X"
    assert "dI/dV" in maps.provenance[1]


def test_lock_in_off_by_the_header(scan, two_channels):
    path = scan(two_channels, lock_in="OFF")
    maps = read_maps(path)
    assert maps.channel == "Z"
    assert "LI_Demod_1_X: the file says lock-in off" in maps.provenance[1]
    asked = read_maps(path, channel="LI_Demod_1_X")
    assert "lock-in off" in asked.provenance[1]


def test_lock_in_off_by_its_noise(scan, two_channels):
    rng = np.random.default_rng(2)
    shape = (40, 50)
    images = [rng.normal(size=shape) for _ in range(4)]
    channels = [
        ("Z", "m", {"forward": images[0], "backward": images[1]}),
        ("LIX_1_omega", "A", {"forward": images[2], "backward": images[3]}),
    ]
    maps = read_maps(scan(channels, lock_in="?"))
    assert maps.channel == "Z"
    assert "noise about zero" in maps.provenance[1]


def test_options_take_the_place_of_the_header(scan, two_channels):
    path = scan(two_channels, bias_v="n/a")
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    maps = read_maps(path, bias_v=[0.3], extent_nm=(1.0, 2.0))
    assert maps.bias_v.tolist() == [0.3]
    assert maps.extent_nm == (1.0, 2.0)
    assert "bias as given by the user" in maps.provenance
    with pytest.raises(InputError, match="1 maps need as many biases"):
        read_maps(path, bias_v=[0.3, 0.4])


def test_header_text_of_any_kind(scan, two_channels):
    comment = "\xe4\xb5\x85 :SCAN_PIXELS: here\n:SCAN_PIXELS:\n9 9"
    maps = read_maps(scan(two_channels, comment=comment), channel="Z")
    np.testing.assert_array_equal(maps.data[0], two_channels[0][2]["forward"])


@pytest.mark.parametrize("value", [np.nan, 2.5])
def test_empty_and_constant_images(scan, value):
    image = np.full((4, 5), value)
    path = scan([("Z", "m", {"forward": image})])
    with pytest.raises(InputError, match="the topograph has one value"):
        read_maps(path)
    with pytest.raises(InputError, match="map 0"):
        read_maps(path, channel="Z")


def test_unknown_channel_lists_the_known(scan, two_channels):
    path = scan(two_channels)
    with pytest.raises(InputError, match="Z, LI_Demod_1_X"):
        read_maps(path, channel="Frequency")
    with pytest.raises(InputError, match="direction"):
        read_maps(path, direction="sideways")  # type: ignore[arg-type]


def test_random_damage_gives_maps_or_one_line(
    tmp_path, sxm_bytes, two_channels, mutated
):
    content = sxm_bytes(two_channels)
    path = tmp_path / "damaged.sxm"
    messages = []
    for copy in mutated(content, 300, seed=11):
        path.write_bytes(copy)
        try:
            maps = read_maps(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert isinstance(maps, ConductanceMaps)
            assert maps.data.nbytes <= len(copy)
    assert 0 < len(messages) < 300
    assert not any("\n" in message for message in messages)


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


@pytest.fixture
def passes(tmp_path, tiny):
    """Writes a multi-pass scan; gives its path and the images in it."""

    def write(biases_v, names=("[P{}]_Z",), **options):
        path = tmp_path / "passes.sxm"
        module = tiny("nanonis_sxm")
        content, images = module.multipass_bytes(biases_v, names, **options)
        path.write_bytes(content)
        return path, images

    return write


@pytest.mark.parametrize("name", ["[P{}]_Z", "[P{}] Z", "Z_[P{}]"])
@pytest.mark.parametrize("scan_dir", ["up", "down"])
def test_passes_of_several_biases_are_a_stack(passes, name, scan_dir):
    biases = [(0.1, 0.2), (-0.3, -0.4), (0.05, 0.06)]
    path, images = passes(biases, (name,), scan_dir=scan_dir)
    for place, way in enumerate(WAYS):
        maps = read_maps(path, channel="Z", direction=way)
        # Each way of each pass has a bias of its own.
        np.testing.assert_allclose(maps.bias_v, [b[place] for b in biases])
        np.testing.assert_array_equal(
            maps.data, [images[number, way] for number in (1, 2, 3)]
        )
        assert any("pass 2 at" in line for line in maps.provenance)
    by_bias = read_maps(path, direction="backward").sorted_by_bias()
    np.testing.assert_array_equal(by_bias.data[0], images[2, "backward"])


def test_every_quantity_has_its_stack(passes):
    names = ("[P{}]_Z", "[P{}]_Current", "[P{}]_LI_Demod_1_X")
    path, images = passes([(0.1, 0.1), (-0.2, -0.2)], names)
    found = {(c.name, c.direction) for c in open_recording(path).channels}
    assert found == {
        (name, way) for name in ("Z", "Current", "LI_Demod_1_X") for way in WAYS
    }
    maps = read_maps(path, channel="LI_Demod_1_X")
    np.testing.assert_array_equal(maps.data[1], images[2, "forward"] + 2)
    assert maps.shape == (2, 5, 4)


def test_passes_of_one_bias_stay_apart(passes):
    names = ("[P{}]_Z", "[P{}]_Current")
    path, images = passes([(0.1, 0.1), (0.1, 0.1)], names)
    names = {channel.name for channel in open_recording(path).channels}
    assert names == {"Z [P1]", "Z [P2]", "Current [P1]", "Current [P2]"}
    maps = read_maps(path, channel="Z [P2]", direction="backward")
    np.testing.assert_array_equal(maps.data[0], images[2, "backward"])
    np.testing.assert_allclose(maps.bias_v, [0.1])
    # The first pass is the topograph that is looked at unless asked.
    assert read_maps(path).channel == "Z [P1]"


def test_a_pass_without_its_own_bias_has_the_scan_s(tmp_path, tiny):
    module = tiny("nanonis_sxm")
    own = {"Bias_override": "TRUE", "Bias_override_value": "-2.0E-1"}
    kept = {"Bias_override": "FALSE", "Bias_override_value": "9.9E+0"}
    lifted = {"Z_Setp_override": "TRUE", "Z_Setp_override_value": "3.000E-10"}
    played = {"Playback": "TRUE", "Playback-Offset": "-1.0E-10"}
    table = module.pass_table([kept, kept, own | lifted, own | played])
    image = np.arange(12.0).reshape(3, 4)
    both = {"forward": image, "backward": image + 1}
    path = tmp_path / "passes.sxm"
    path.write_bytes(
        module.sxm_bytes(
            [("[P1]_Z", "m", both), ("[P2]_Z", "m", both)],
            fields={
                "Multipass-Config": table,
                "Z-Controller>Setpoint unit": "A",
            },
            bias_v="5.0E-2",
        )
    )
    forward, backward = open_recording(path).channels
    np.testing.assert_allclose(forward.bias_v, [0.05, -0.2])
    assert forward.note == (
        "pass 1 at 0.05 V; pass 2 at -0.2 V, set point 3.000E-10 A"
    )
    assert "playing back a former pass, offset -1.0E-10" in backward.note


def test_a_channel_of_one_pass_alone(tmp_path, tiny):
    module = tiny("nanonis_sxm")
    image = {"forward": np.arange(12.0).reshape(3, 4)}
    own = {"Bias_override": "TRUE", "Bias_override_value": "-2.0E-1"}
    path = tmp_path / "passes.sxm"
    path.write_bytes(
        module.sxm_bytes(
            [("[P1]_Z", "m", image), ("[P2]_LI_Demod_1_X", "A", image)],
            fields={"Multipass-Config": module.pass_table([{}, {}, own, own])},
        )
    )
    height, lock_in = open_recording(path).channels
    assert (height.name, lock_in.name) == ("Z", "LI_Demod_1_X")
    assert (height.bias_v, lock_in.bias_v) == (0.01, -0.2)


@pytest.mark.parametrize(
    "table", ["", "\tRecord-Ch", "\tRecord-Ch\n\t1\n\t2\n\t3", "\n\t\n"]
)
def test_no_table_that_fits_the_passes(passes, table):
    path, images = passes([(0.1, 0.1), (-0.2, -0.2)])
    content = path.read_bytes()
    start = content.index(b"\tRecord-Ch")
    end = content.index(b":DATA_INFO:")
    path.write_bytes(content[:start] + table.encode() + b"\n" + content[end:])
    recording = open_recording(path)
    assert "warning: no table of 2 passes" in recording.notes[0]
    maps = read_maps(path, channel="Z [P2]", bias_v=[-0.2])
    np.testing.assert_array_equal(maps.data[0], images[2, "forward"])


def test_channels_that_name_no_pass(passes):
    path, _ = passes([(0.1, 0.1)], ("Z",))
    (note,) = open_recording(path).notes
    assert "no channel names its pass" in note
    assert read_maps(path).bias_v.tolist() == [0.01]


def test_a_damaged_table_of_passes_gives_maps_or_one_line(
    passes, mutated, refusals
):
    path, _ = passes([(0.1, 0.1), (-0.2, -0.3)])
    content = path.read_bytes()
    copies = mutated(content, 200, 13, content.index(b"\x1a\x04"))
    messages = refusals(path, copies)
    assert len(messages) < 200
    assert len(set(messages)) > 8


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
