import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import format_of, open_recording, read_maps
from stm_keras.io.rhk import open_sm4
from stm_keras.io.rhk_pages import si_unit


@pytest.fixture(name="rhk")
def _rhk(tiny):
    return tiny("rhk_sm4")


@pytest.fixture(name="opened")
def _opened(tmp_path):
    def write(content, name="a.sm4"):
        path = tmp_path / name
        path.write_bytes(content)
        return open_sm4(path)

    return write


def only(recording, name, direction="forward"):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


def test_both_directions_in_si_units_and_the_right_way_round(rhk, opened):
    recording = opened(rhk.sm4_bytes(rhk.both_directions()))
    for name, unit, scale in (
        ("LIA Current", "A", 5e-18),
        ("Topography", "m", -7e-17),
    ):
        for direction, seed in (("backward", 1), ("forward", 2)):
            channel = only(recording, name, direction)
            assert channel.unit == unit
            assert channel.bias_v == pytest.approx([0.075])
            # a negative x scale: the first column is the right edge
            stored = rhk.counts(seed=seed) * scale
            np.testing.assert_allclose(
                channel.load()[0], stored[:, ::-1], rtol=1e-6
            )


@pytest.mark.parametrize("x_scale", [-1e-9, 1e-9])
@pytest.mark.parametrize("y_scale", [-2e-9, 2e-9])
def test_signs_of_the_scales_tell_the_edges(rhk, opened, x_scale, y_scale):
    page = rhk.page(rhk.counts(), scale=(x_scale, y_scale, 1.0))
    image = opened(rhk.sm4_bytes([page])).channels[0].load()[0]
    expected = rhk.counts().astype(np.float32)
    expected = expected[:, ::-1] if x_scale < 0 else expected
    expected = expected[::-1] if y_scale > 0 else expected
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_frame_placement_and_text(rhk, opened):
    pages = rhk.both_directions(angle=30.0)
    recording = opened(rhk.sm4_bytes(pages))
    assert recording.shape == (4, 6)
    assert recording.extent_nm == pytest.approx((8.0, 6.0))
    assert recording.placement.centre_nm == pytest.approx((-400, 800))
    assert recording.placement.angle_deg == 30
    assert recording.metadata["comment"] == "Größe, µm"
    assert recording.metadata["date"] == "08/23/21 15:18:44"
    assert recording.metadata["set point"] == "7e-11 A"
    assert recording.notes == ()


def test_lock_in_is_found_as_didv(rhk, tmp_path):
    path = tmp_path / "a.sm4"
    path.write_bytes(rhk.sm4_bytes(rhk.both_directions(offset=(0, 0, 1e-9))))
    maps = read_maps(path)
    assert (maps.channel, maps.unit) == ("LIA Current", "A")
    assert format_of(path).name == "RHK SM4"


def test_offset_of_the_values(rhk, opened):
    page = rhk.page(
        rhk.counts(), scale=(1.0, -1.0, 2.0), offset=(0.0, 0.0, 3e5)
    )
    image = opened(rhk.sm4_bytes([page])).channels[0].load()[0]
    np.testing.assert_allclose(image, rhk.counts() * 2.0 + 3e5, rtol=1e-5)


def test_lines_not_scanned_are_nan(rhk, opened):
    for y_scale, missing in ((-2e-9, [2, 3]), (2e-9, [0, 1])):
        page = rhk.page(rhk.counts(), scale=(-1e-9, y_scale, 1.0), lines="2")
        recording = opened(rhk.sm4_bytes([page]))
        rows = np.isnan(recording.channels[0].load()[0]).all(axis=1)
        assert np.flatnonzero(rows).tolist() == missing
        assert recording.notes == (
            "warning: unfinished: 2 of 4 lines were scanned",
        )


def test_images_at_several_biases_are_a_stack_by_bias(rhk, opened):
    recording = opened(rhk.tiny_files()["biases.sm4"])
    channel = only(recording, "Topography")
    assert channel.bias_v == pytest.approx([0.1, 0.3])
    first = rhk.counts(seed=1)[:, ::-1] * -7e-17
    np.testing.assert_allclose(channel.load()[0], first, rtol=1e-6)


def test_images_of_one_name_and_bias_stay_apart(rhk, opened):
    pages = [rhk.page(rhk.counts(seed=seed)) for seed in (1, 2)]
    recording = opened(rhk.sm4_bytes(pages))
    assert [c.name for c in recording.channels] == [
        "Topography",
        "Topography #2",
    ]


def test_a_slice_has_its_own_voltage(rhk, opened):
    pages = [rhk.page(rhk.counts(), sliced="-250 mV")]
    channel = opened(rhk.sm4_bytes(pages)).channels[0]
    assert channel.bias_v == pytest.approx([-0.25])


def test_another_frame_is_left_out_and_told(rhk, opened):
    pages = [
        *rhk.both_directions(),
        rhk.page(rhk.counts((9, 9)), label="Other"),
        rhk.page(rhk.counts(), page_type=6, label="FFT"),
    ]
    recording = opened(rhk.sm4_bytes(pages))
    assert recording.shape == (4, 6)
    assert len(recording.channels) == 4
    assert recording.notes == ("images of another frame left out: Other",)


def test_older_versions_are_refused(rhk, opened):
    content = rhk.sm4_bytes(
        [rhk.page(rhk.counts())], signature="STiMage 004.002 1"
    )
    with pytest.raises(InputError, match="version"):
        opened(content)


def test_sizes_beyond_the_file_are_refused(rhk, opened):
    content = rhk.sm4_bytes([rhk.page(rhk.counts())])
    place = content.index(struct.pack("<2I", 6, 4))
    for columns, rows in ((2**31, 2**31), (6, 2**30), (0, 4), (7, 4)):
        lying = bytearray(content)
        lying[place : place + 8] = struct.pack("<2I", columns, rows)
        with pytest.raises(InputError, match="points with 96 bytes"):
            opened(bytes(lying))


def test_truncated_files_are_refused(rhk, opened):
    for name in ("images.sm4", "turned.sm4"):
        content = rhk.tiny_files()[name]
        for size in range(0, len(content), 7):
            with pytest.raises(InputError):
                opened(content[:size])


def test_mutated_files_give_an_error_or_an_answer(
    rhk, mutated, refusals, tmp_path
):
    messages = []
    for content in rhk.tiny_files().values():
        copies = mutated(content, 80, seed=11)
        messages += refusals(tmp_path / "a.sm4", copies)
    assert messages


@pytest.mark.parametrize("angle", [0.0, 30.0, -90.0])
@pytest.mark.parametrize("repeats", [1, 2, 3, 4])
def test_spectra_on_a_grid_are_maps_over_the_bias(rhk, opened, angle, repeats):
    page = rhk.spectra((3, 4), repeats=repeats, angle_deg=angle)
    recording = opened(rhk.sm4_bytes([page]))
    assert recording.shape == (3, 4)
    assert recording.extent_nm == pytest.approx((6.0, 4.0), rel=1e-3)
    assert recording.placement.centre_nm == pytest.approx((-400, 800), abs=0.1)
    assert recording.placement.angle_deg == pytest.approx(angle)
    stored = rhk.counts((12 * repeats, 5), seed=4) * 1e-15
    # taken row by row from the top, in each row from the right
    stored = stored.reshape(3, 4, repeats, 5)[:, ::-1]
    both = repeats % 2 == 0
    for start, direction in enumerate(["forward", "backward"][: 1 + both]):
        channel = only(recording, "Current", direction)
        assert channel.sweep
        assert channel.bias_v == pytest.approx([0.2, 0.1, 0.0, -0.1, -0.2])
        mean = stored[:, :, start :: 1 + both].mean(axis=2)
        np.testing.assert_allclose(
            channel.load(), mean.transpose(2, 0, 1), rtol=1e-5
        )
    assert len(recording.channels) == 1 + both


def test_derivative_of_the_spectra(rhk, tmp_path):
    path = tmp_path / "a.sm4"
    path.write_bytes(rhk.tiny_files()["grid.sm4"])
    maps = read_maps(path)
    assert maps.channel == "d(Current)/dV"
    assert maps.shape == (5, 3, 4)


def test_images_of_the_grids_size_stay(rhk, opened):
    image = rhk.page(rhk.counts((3, 4)))
    recording = opened(rhk.sm4_bytes([image, rhk.spectra((3, 4))]))
    assert [c.name for c in recording.channels] == [
        "Current",
        "Current",
        "Topography",
    ]
    recording = opened(rhk.tiny_files()["grid.sm4"])
    assert {c.name for c in recording.channels} == {"Current"}
    assert recording.notes == (
        "images of another size than the grid's left out",
    )


def test_unfinished_grid_is_nan_where_nothing_was_taken(rhk, opened):
    # 8 of 12 places, and the first sweep of the ninth
    page = rhk.spectra((3, 4), n_taken=17)
    recording = opened(rhk.sm4_bytes([page]))
    assert recording.shape == (2, 4)
    page = rhk.spectra((3, 4), n_taken=20)
    recording = opened(rhk.sm4_bytes([page]))
    maps = recording.channels[0].load()
    assert np.isnan(maps).any(axis=0).sum() == 2
    assert any("2 spectra were not taken" in n for n in recording.notes)


def test_spectra_along_a_line_are_no_maps(rhk, opened):
    line = rhk.spectra((1, 12))
    with pytest.raises(InputError, match="no grid of spectra"):
        opened(rhk.sm4_bytes([line]))
    recording = opened(rhk.sm4_bytes([rhk.page(rhk.counts()), line]))
    assert recording.shape == (4, 6)
    assert recording.notes == (
        "1 sets of spectra left out: not taken on a grid",
    )


def test_other_kinds_of_spectra_are_passed_over(rhk, opened):
    other = rhk.page(rhk.counts((1, 7)), kind=1, line_type=22)
    other["data"] += bytes(28)  # a line more than the header says
    recording = opened(rhk.sm4_bytes([other, rhk.page(rhk.counts())]))
    assert len(recording.channels) == 1


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.integers(2, 6),
    columns=st.integers(2, 6),
    repeats=st.integers(1, 3),
    angle=st.floats(-180, 180),
)
def test_any_grid_is_found(
    rhk, tmp_path_factory, rows, columns, repeats, angle
):
    path = tmp_path_factory.mktemp("rhk") / "a.sm4"
    page = rhk.spectra((rows, columns), repeats=repeats, angle_deg=angle)
    path.write_bytes(rhk.sm4_bytes([page]))
    recording = open_sm4(path)
    assert recording.shape == (rows, columns)
    assert not any(np.isnan(c.load()).any() for c in recording.channels)


@pytest.mark.parametrize(
    ("text", "unit", "factor"),
    [
        ("m", "m", 1.0),
        ("nm", "m", 1e-9),
        ("pA", "A", 1e-12),
        ("mV", "V", 1e-3),
        ("Vrms", "V", 1.0),
        ("Å", "m", 1e-10),
        ("counts", "counts", 1.0),
        ("", "", 1.0),
    ],
)
def test_units(text, unit, factor):
    assert si_unit(text) == (unit, factor)


class TestRealFile:
    """An image of graphite with lock-in, 175 nm, against its raw bytes."""

    # where the data of its six pages begin, read off the page index by hand
    PAGES = (
        (6058, "LIA Current", "backward", 4.656613e-18, "A"),
        (74014, "LIA Current", "forward", 4.656613e-18, "A"),
        (141954, "Current", "backward", 4.656613e-18, "A"),
        (209894, "Current", "forward", 4.656613e-18, "A"),
        (277846, "Topography", "backward", -6.9849196e-17, "m"),
        (345798, "Topography", "forward", -6.9849196e-17, "m"),
    )

    @pytest.fixture
    def path(self, shared_file):
        return shared_file("readers/spym_lia_graphite.sm4")

    def test_images_equal_the_raw_counts(self, path):
        content = path.read_bytes()
        recording = open_recording(path)
        for offset, name, direction, scale, unit in self.PAGES:
            raw = struct.unpack_from("<16384i", content, offset)
            raw = np.array(raw).reshape(128, 128)
            channel = only(recording, name, direction)
            assert channel.unit == unit
            np.testing.assert_allclose(
                channel.load()[0], raw[:, ::-1] * scale, rtol=1e-6
            )

    def test_header(self, path):
        content = path.read_bytes()
        # page header of the first page: sizes at 28, scales at 56
        assert struct.unpack_from("<2I", content, 5242 + 24) == (128, 128)
        scales = struct.unpack_from("<3f", content, 5242 + 56)
        offsets = struct.unpack_from("<3f", content, 5242 + 72)
        bias, current, angle = struct.unpack_from("<3f", content, 5242 + 88)
        recording = open_recording(path)
        assert recording.shape == (128, 128)
        assert recording.extent_nm == pytest.approx((175, 175))
        assert recording.extent_nm == pytest.approx(
            (-128e9 * scales[1], -128e9 * scales[0])
        )
        assert recording.placement.centre_nm == pytest.approx(
            (offsets[0] * 1e9, offsets[1] * 1e9)
        )
        assert recording.placement.angle_deg == angle == 0
        for channel in recording.channels:
            assert channel.bias_v == pytest.approx([bias])
        assert bias == pytest.approx(0.075)
        assert recording.metadata["set point"] == f"{current:g} A"

    def test_the_mean_current_is_the_set_point(self, path):
        current = only(open_recording(path), "Current").load()
        assert current.mean() == pytest.approx(7e-11, rel=0.05)

    def test_the_tip_runs_to_the_right_and_back(self, path):
        """Climbing, the feedback lags and the current is too large."""
        recording = open_recording(path)
        for direction, sign in (("forward", 1), ("backward", -1)):
            height = only(recording, "Topography", direction).load()[0]
            current = only(recording, "Current", direction).load()[0]
            parts = []
            for image in (np.gradient(height, axis=1), current):
                image = image - np.median(image, axis=1, keepdims=True)
                parts.append(np.clip(image, *np.percentile(image, [1, 99])))
            both = np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1]
            assert sign * both > 0.15

    def test_both_directions_show_the_same_place(self, path):
        recording = open_recording(path)
        both = [
            only(recording, "Topography", direction).load()[0]
            for direction in ("forward", "backward")
        ]
        level = [b - np.median(b, axis=1, keepdims=True) for b in both]
        assert np.corrcoef(level[0].ravel(), level[1].ravel())[0, 1] > 0.8

    def test_lock_in_ran_backward_only(self, path):
        """A fact of this file: its forward lock-in image holds noise."""
        recording = open_recording(path)
        ratio = {}
        for direction in ("forward", "backward"):
            image = only(recording, "LIA Current", direction).load()
            ratio[direction] = abs(image.mean()) / image.std()
        assert ratio["forward"] < 0.1 < ratio["backward"]
