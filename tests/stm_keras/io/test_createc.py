import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.createc import open_dat
from stm_keras.io.reader import format_of, open_recording, read_maps

VOLT = 20 / 2**20


@pytest.fixture(name="dat")
def _dat(tiny):
    return tiny("createc_dat")


@pytest.fixture(name="opened")
def _opened(tmp_path):
    def write(content, name="a.dat"):
        path = tmp_path / name
        path.write_bytes(content)
        return open_dat(path)

    return write


def only(recording, name, direction="forward"):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


def test_images_of_both_directions_in_si_units_and_as_they_lie(dat, opened):
    counts = dat.counts()
    recording = opened(dat.dat_bytes(counts))
    metre = VOLT * 3 * 8.0 * 1e-10
    for place, (name, direction, scale, unit) in enumerate(
        [
            ("Topography", "forward", metre, "m"),
            ("Current", "forward", VOLT * 1e-9, "A"),
            ("Topography", "backward", metre, "m"),
            ("Current", "backward", VOLT * 1e-9, "A"),
        ]
    ):
        channel = only(recording, name, direction)
        assert channel.unit == unit
        assert channel.load().dtype == np.float32
        np.testing.assert_allclose(
            channel.load()[0], counts[place] * scale, rtol=1e-6
        )
        assert channel.bias_v == pytest.approx(-0.05)


def test_frame_placement_and_text(dat, opened):
    recording = opened(dat.dat_bytes(dat.counts()))
    step = VOLT * 10 * 50 * 0.1  # nm a count
    assert recording.shape == (4, 6)
    assert recording.extent_nm == pytest.approx(
        (4 * 110 * step, 6 * 165 * step), rel=1e-4
    )
    # the offset is that of the middle of the upper edge, left and up
    assert recording.placement.centre_nm == pytest.approx(
        (1000 * step, 2000 * step - 2 * 110 * step), rel=1e-4
    )
    assert recording.metadata["title"] == "Größe 5 Å"
    assert recording.metadata["set point"] == "1e-10 A"
    assert recording.metadata["comment"] == "no comment"
    assert recording.notes == ()


def test_rotation_turns_about_the_upper_edge(dat, opened):
    straight = opened(dat.dat_bytes(dat.counts())).placement
    turned = opened(dat.dat_bytes(dat.counts(), Rotation="90.0"))
    half = turned.extent_nm[0] / 2
    x, y = straight.centre_nm
    assert turned.placement.angle_deg == 90
    assert turned.placement.centre_nm == pytest.approx((x + half, y + half))


@pytest.mark.parametrize("name", ["packed", "unpacked", "integers", "lock_in"])
def test_all_kinds_read_alike(dat, opened, name):
    recording = opened(dat.tiny_files()[f"{name}.dat"])
    n_planes = {"integers": 2, "lock_in": 6}.get(name, 4)
    assert len(recording.channels) == n_planes
    topograph = only(recording, "Topography").load()[0]
    volt = 20 / 2**16 if name == "integers" else VOLT
    if name == "integers":  # the length tells the bits, as DAC-Type is gone
        volt = VOLT
    expected = dat.counts(n_planes)[0] * volt * 3 * 8.0 * 1e-10
    np.testing.assert_allclose(topograph, expected, rtol=1e-6)


def test_lock_in_by_its_bit_is_found_as_didv(dat, tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(dat.tiny_files()["lock_in.dat"])
    maps = read_maps(path)
    assert maps.channel == "Lock-in X"
    assert format_of(path).name == "Createc image"


def test_second_harmonic_is_not_taken_for_didv(dat, tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(dat.dat_bytes(dat.counts(), Channelselectval="65"))
    assert read_maps(path).channel == "Topography"


def test_bits_without_dac_type_or_length_are_sixteen(dat, opened):
    content = dat.dat_bytes(
        dat.counts(), **{"DAC-Type": None, "Length x": None, "Length y": None}
    )
    recording = opened(content)
    current = only(recording, "Current").load()[0]
    np.testing.assert_allclose(
        current, dat.counts()[1] * 20 / 2**16 * 1e-9, rtol=1e-6
    )
    assert recording.extent_nm == pytest.approx(
        [n * d * 20 / 2**16 * 50 for n, d in ((4, 110), (6, 165))]
    )


def test_german_decimals(dat, opened):
    recording = opened(dat.dat_bytes(dat.counts(), BiasVoltage="105,80"))
    assert recording.channels[0].bias_v == pytest.approx(0.1058)


def test_two_biases_are_told(dat, opened):
    content = dat.dat_bytes(dat.counts(), Biasvolt="-70")
    recording = opened(content)
    assert recording.channels[0].bias_v == pytest.approx(-0.05)
    assert any("two biases" in note for note in recording.notes)


def test_constant_height_mode_has_its_own_bias(dat, opened):
    recording = opened(dat.dat_bytes(dat.counts(), CHMode="1"))
    assert recording.channels[0].bias_v == pytest.approx(1.0)


def test_several_voltages_need_the_users_word(dat, tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(dat.dat_bytes(dat.counts(), Scantype="2"))
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert read_maps(path, bias_v=[0.1]).bias_v == pytest.approx([0.1])


def test_rows_not_scanned_are_nan(dat, opened):
    recording = opened(dat.tiny_files()["unfinished.dat"])
    for channel in recording.channels:
        rows = np.isnan(channel.load()[0]).all(axis=1)
        assert rows.tolist() == [False, False, True, True]
    assert any("unfinished: 2 of 4" in note for note in recording.notes)


def test_rows_of_the_image_before_are_nan(dat, opened):
    """Where the header says that the scan stopped, old rows do not count."""
    recording = opened(dat.dat_bytes(dat.counts(), ImageYPosMax="4"))
    image = recording.channels[0].load()[0]
    assert np.isnan(image).all(axis=1).tolist() == [False] * 3 + [True]


def test_direction_that_could_not_be_checked_is_told(dat, opened):
    recording = opened(dat.dat_bytes(dat.counts(), ScanYDirec="0"))
    assert any("ScanYDirec" in note for note in recording.notes)


def test_planes_of_unknown_kind_keep_counts(dat, opened):
    recording = opened(dat.dat_bytes(dat.counts(3), Channelselectval="3"))
    assert [c.name for c in recording.channels] == [
        "image 0",
        "image 1",
        "image 2",
    ]
    np.testing.assert_allclose(
        recording.channels[2].load()[0], dat.counts(3)[2]
    )


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    n_signals=st.integers(1, 3),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read(
    dat, tmp_path_factory, n_signals, rows, columns, seed
):
    counts = dat.counts(2 * n_signals, (rows, columns), seed)
    path = tmp_path_factory.mktemp("createc") / "a.dat"
    path.write_bytes(
        dat.dat_bytes(counts, Channelselectval=str(2**n_signals - 1))
    )
    recording = open_dat(path)
    for number, name in enumerate(["Topography", "Current", "ADC1"]):
        if number < n_signals:
            for place, direction in enumerate(["forward", "backward"]):
                image = only(recording, name, direction).load()[0]
                expected = counts[number + place * n_signals]
                ratio = image / expected
                np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Num_X": "1000000", "Num_Y": "1000000"}, "more than the file"),
        ({"Num_X": "9e300"}, "more than the file"),
        ({"Num_X": "0"}, "no size"),
        ({"Num_Y": "nan"}, "no size"),
        ({"Channels": "100000"}, "promises 100000"),
        ({"Channels": "-2"}, "promises -2"),
    ],
)
@pytest.mark.parametrize("magic", ["[Paramco32]", "[Paramet32]"])
def test_lying_headers_are_refused(dat, opened, magic, changes, message):
    content = dat.dat_bytes(dat.counts(), magic=magic, **changes)
    with pytest.raises(InputError, match=message):
        opened(content)


@pytest.mark.parametrize("kind", ["packed", "unpacked", "integers"])
def test_truncated_files_are_refused(dat, opened, kind):
    whole = dat.tiny_files()[f"{kind}.dat"]
    for size in (0, 5, 400, 16383, 16384, 16390, 16384 + 60):
        with pytest.raises(InputError):
            opened(whole[:size])


def test_a_bomb_is_not_unpacked(dat, opened):
    header = dat.dat_bytes(
        dat.counts(), Num_X="65536", Num_Y="65536", Channels="4"
    )[: dat.HEADER_BYTES]
    bomb = header + zlib.compress(bytes(1 << 26), 9)
    with pytest.raises(InputError, match="more than the file"):
        opened(bomb)


def test_nothing_scanned_is_refused(dat, opened):
    with pytest.raises(InputError, match="no scanned row"):
        opened(dat.dat_bytes(np.zeros((4, 4, 6))))


def test_damaged_images_give_an_error_or_an_answer(dat, tmp_path):
    path = tmp_path / "a.dat"
    content = bytearray(dat.tiny_files()["packed.dat"])
    for place in range(dat.HEADER_BYTES, len(content)):
        content[place] ^= 0x55
        path.write_bytes(content)
        content[place] ^= 0x55
        try:
            assert open_dat(path).shape == (4, 6)
        except InputError as error:
            assert "damaged" in str(error) or "early" in str(error)  # noqa: PT017


def test_mutated_files_give_an_error_or_an_answer(
    dat, mutated, refusals, tmp_path
):
    messages = []
    for content in dat.tiny_files().values():
        copies = mutated(content, 40, seed=7, damaged_part=1500)
        messages += refusals(tmp_path / "a.dat", copies)
    assert messages


class TestRealFile:
    """Ag(111) with adatoms, 40 nm, 105.8 mV, against its raw bytes."""

    @pytest.fixture
    def path(self, shared_file):
        return shared_file("readers/createc_ag111_100mV.dat")

    @pytest.fixture
    def raw(self, path):
        data = zlib.decompress(path.read_bytes()[16384:])
        numbers = np.array(struct.unpack(f"<{4 * 256 * 256}f", data[4:1048580]))
        return numbers.reshape(4, 256, 256)

    def test_header(self, path):
        recording = open_recording(path)
        text = path.read_bytes()[:16384].decode("cp1252")
        assert "BiasVoltage / BiasVolt.[mV]=105.80" in text
        assert "Length x[A]=399.0576" in text
        assert recording.extent_nm == pytest.approx((39.90576, 39.90576))
        assert recording.shape == (256, 256)
        assert recording.metadata["set point"] == "1.25e-10 A"
        # the length in counts and in angstrom agree on 20 bits
        assert (
            pytest.approx(399.0576, rel=1e-4)
            == 256 * 165 * 20 / 2**20 * 10 * 49.53
        )

    def test_images_equal_the_raw_counts(self, path, raw):
        recording = open_recording(path)
        scales = [20 / 2**20 * 10 * 8.76e-10, 20 / 2**20 * 1e-9]
        for plane, channel in zip(raw, recording.channels, strict=True):
            scale = scales[0] if channel.unit == "m" else scales[1]
            np.testing.assert_allclose(channel.load()[0], plane * scale, 1e-6)
            assert channel.bias_v == pytest.approx([0.1058])

    def test_the_mean_current_is_the_set_point(self, path):
        recording = open_recording(path)
        current = only(recording, "Current").load()
        assert current.mean() == pytest.approx(1.25e-10, rel=0.06)

    def test_the_tip_runs_to_the_right_and_back(self, path):
        """Climbing, the feedback lags and the current is too large."""
        recording = open_recording(path)
        for direction, sign in (("forward", 1), ("backward", -1)):
            height = only(recording, "Topography", direction).load()[0]
            current = only(recording, "Current", direction).load()[0]
            slope = np.gradient(height, axis=1)
            error = current - np.median(current, axis=1, keepdims=True)
            both = np.corrcoef(slope.ravel(), error.ravel())[0, 1]
            assert sign * both > 0.8

    def test_both_directions_show_the_same_place(self, path):
        recording = open_recording(path)
        both = [
            only(recording, "Topography", direction).load()[0]
            for direction in ("forward", "backward")
        ]
        level = [b - np.median(b, axis=1, keepdims=True) for b in both]
        assert np.corrcoef(level[0].ravel(), level[1].ravel())[0, 1] > 0.9

    def test_adatoms_stand_out(self, path):
        """An atom on a close-packed surface is about 0.1 nm high or more."""
        height = only(open_recording(path), "Topography").load()[0] * 1e9
        rows, columns = np.mgrid[:256, :256]
        plane = np.stack([rows, columns, np.ones_like(rows)], -1)
        plane = plane.reshape(-1, 3)
        fit = np.linalg.lstsq(plane, height.ravel(), rcond=None)[0]
        level = height - (plane @ fit).reshape(256, 256)
        assert 0.05 < level.max() < 0.3
        assert level.max() > 2 * -np.percentile(level, 0.5)


@pytest.mark.parametrize("magic", ["[Paramco32]", "[Paramet32]", "[Parameter]"])
def test_images_begin_behind_the_last_mark(dat, opened, magic):
    planes = np.arange(24.0).reshape(2, 3, 4) + 1
    content = dat.dat_bytes(
        planes, magic=magic, Titel="C:\\STMDATA\\Ag", Channelselectval="3"
    )
    start = content.rindex(b"\0DATA") + 5
    header = content[:start].rstrip(b"DATA").rstrip(b"\0")
    for short in (header + b"\nDATA", header + bytes(100) + b"DATA"):
        recording = opened(short + content[start:])
        image = recording.channels[1].load()
        np.testing.assert_allclose(image / image.max(), planes[1:] / 24)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"SetPoint": "1.00E-10"}, "1e-10 A"),
        ({"SetPoint": "700", "FBChannel": "3"}, "700 (feedback on channel 3"),
        ({"SetPoint": "700"}, None),  # no current is as large
    ],
)
def test_the_set_point_is_of_what_the_feedback_holds(
    dat, opened, changes, told
):
    recording = opened(dat.dat_bytes(np.ones((2, 3, 4)), **changes))
    text = recording.metadata.get("set point")
    assert text == told if told is None else text.startswith(told)


def test_a_real_file_by_its_mark(shared_file):
    recording = open_dat(
        shared_file("readers/createc_step_20nm_short_header.dat")
    )
    content = Path(recording.source).read_bytes()
    start = content.index(b"\nDATA") + 5
    counts = np.frombuffer(zlib.decompress(content[start:]), "<f4")[1:]
    first = counts[: 512 * 512].reshape(512, 512)
    image = recording.channels[0].load()[0]
    scanned = ~np.isnan(image)
    assert scanned.any(axis=1).sum() == 330
    ratio = image[scanned] / first[scanned]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    assert recording.metadata["set point"] == "4.4e-10 A"
