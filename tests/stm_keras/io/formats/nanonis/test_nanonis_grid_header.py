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
