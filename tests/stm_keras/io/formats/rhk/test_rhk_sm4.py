import struct

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import format_of, read_maps


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
        copies = mutated(content, 300, seed=11)
        messages += refusals(tmp_path / "a.sm4", copies)
    assert messages
