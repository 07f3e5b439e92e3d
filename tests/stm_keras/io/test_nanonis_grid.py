import contextlib
import tracemalloc

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps


@pytest.mark.parametrize(
    ("encoding", "comment"),
    [
        ("cp1252", "Strom 5 µA, 3 Å – gut"),
        ("utf-8", "電流 5 µA"),
        ("iso-8859-1", "\x81\x8d"),
        ("ascii", "two\r\nlines = fine"),
    ],
)
def test_header_text_of_any_kind(write_grid, encoding, comment):
    lines = [f'Comment="{comment}"', "Note=:HEADER_END: =;"]
    path, sweeps = write_grid(encoding=encoding, lines=lines)
    maps = read_maps(path, channel="Current")
    np.testing.assert_array_equal(maps.data, sweeps["Current (A)"])
    told = open_recording(path).metadata["comment"]
    assert told.isprintable()
    if comment.isprintable():
        assert told == comment


def test_header_saved_again_with_unix_newlines(write_grid):
    path, sweeps = write_grid(newline="\n", lines=['Comment="a\nb"'])
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
def test_lying_headers(write_grid, key, text, message):
    path, _ = write_grid(replaced={key: text})
    with pytest.raises(InputError, match=message) as error:
        read_maps(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_too_much_is_refused_too(write_grid):
    path, _ = write_grid()
    path.write_bytes(path.read_bytes() + b"1")
    with pytest.raises(InputError, match=r"promises .* holds"):
        read_maps(path)


def channel(path, name, direction="forward"):
    (found,) = (
        channel
        for channel in open_recording(path).channels
        if (channel.name, channel.direction) == (name, direction)
    )
    return found


@pytest.mark.parametrize("how", ["cut", "cut within a point", "zeros"])
def test_missing_points_are_nan(write_grid, how):
    zeros = 5 if how == "zeros" else 0
    path, sweeps = write_grid(n_written=7, n_zeros=zeros)
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


def test_too_few_points(write_grid):
    path, _ = write_grid(shape=(9000, 8, 8), n_written=1)
    with pytest.raises(InputError, match="1 of 64 are measured"):
        read_maps(path)


def test_hardly_begun_grid_is_cut_to_its_rows(write_grid):
    path, sweeps = write_grid(
        ("Current (A)",), (50, 40, 10), n_written=25, angle_deg=20.0
    )
    recording = open_recording(path)
    (note,) = recording.notes
    assert "25 of 400 points measured; frame cut to the lowest 3 of 40" in note
    maps = read_maps(path, channel="Current")
    assert maps.shape == (50, 3, 10)
    np.testing.assert_allclose(maps.extent_nm, (4.0 * 3 / 40, 6.0))
    expected = sweeps["Current (A)"][:, -3:].copy()
    expected[:, 0, 5:] = np.nan
    np.testing.assert_array_equal(maps.data, expected)
    x, y = (channel(path, name).load()[0, 1:] * 1e9 for name in "XY")
    pixels = np.argwhere(np.ones((3, 10)))[10:]
    np.testing.assert_allclose(
        maps.scanner_nm(pixels),
        np.stack([x.ravel(), y.ravel()], axis=1),
        atol=1e-4,
    )


def test_nothing_but_zeros(write_grid):
    path, _ = write_grid(n_written=0, n_zeros=12)
    with pytest.raises(InputError, match="0 of 12 are measured"):
        read_maps(path)


def test_no_points(write_grid):
    path, _ = write_grid(n_written=0)
    with pytest.raises(InputError, match=r"none of its 12.*being written"):
        read_maps(path)


def test_cut_short_in_the_meantime(write_grid):
    path, _ = write_grid()
    recording = open_recording(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="cut short while it was read"):
        recording.channels[0].load()


@pytest.mark.parametrize("points", [3, 900, 5000])
def test_records_short_and_long(write_grid, points):
    path, sweeps = write_grid(shape=(points, 7, 9))
    for found in open_recording(path).channels[:3]:
        back = " [bwd]" * (found.direction == "backward")
        expected = sweeps[f"{found.name}{back} (A)"]
        np.testing.assert_array_equal(found.load(), expected)


@pytest.mark.parametrize("dim", ["4 x 3000", "300 x 100", "99999 x 99999"])
def test_a_header_cannot_ask_for_memory(write_grid, dim):
    open_recording(write_grid()[0])  # has the reader imported
    path, _ = write_grid(shape=(50, 3, 4), replaced={"Grid dim": f'"{dim}"'})
    tracemalloc.start()
    with contextlib.suppress(InputError):
        open_recording(path).channels[0].load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size + (1 << 20)
