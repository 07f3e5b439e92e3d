import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.formats.rhk.rhk_sm4 import open_sm4
from stm_keras.io.reader import read_maps


def only(recording, name, direction="forward"):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


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
