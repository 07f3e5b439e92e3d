import tempfile
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_keras.detections import (
    COLUMNS,
    about_file,
    read_positions,
    write_positions,
)
from stm_keras.errors import InputError

OURS = "# note\nrow,col,x_nm,y_nm,score,rank\n1,2,0.5,0.3,0.9,1\n"


def file_with(tmp_path, content):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@settings(deadline=None, max_examples=60)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 6), st.just(3)),
        elements=st.floats(-2, 500),
    ),
    st.tuples(st.floats(0.01, 2), st.floats(0.01, 2)),
)
def test_what_is_written_is_read(table, pixel_nm):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "positions.csv"
        write_positions(path, table[:, :2], table[:, 2], pixel_nm=pixel_nm)
        read = read_positions(path)
    table = table[np.argsort(-table[:, 2], kind="stable")]
    assert read.positions_nm is not None
    assert read.scores is not None
    np.testing.assert_allclose(read.positions_px, table[:, :2], atol=1e-5)
    np.testing.assert_allclose(read.scores, table[:, 2], rtol=1e-7)
    np.testing.assert_allclose(
        read.positions_nm, (table[:, :2] + 0.5) * pixel_nm, atol=1e-5
    )


def test_the_written_text(tmp_path):
    path = tmp_path / "new" / "positions.csv"
    write_positions(
        path,
        [[0, 1], [2, 3]],
        [0.25, 0.5],
        pixel_nm=(0.1, 0.2),
        notes=["model: m", "two\nlines"],
    )
    about = about_file(path).read_text()
    for word in ("top left", "y down", "px", "nm", "model: m"):
        assert word in about
    assert about.splitlines()[-2:] == ["two", "lines"]
    assert path.read_text().splitlines() == [
        ",".join(COLUMNS),
        "2.00000,3.00000,0.70000,0.25000,0.5,1",
        "0.00000,1.00000,0.30000,0.05000,0.25,2",
    ]
    assert set(path.parent.iterdir()) == {path, path.with_suffix(".txt")}


def test_pandas_opens_it_without_options(tmp_path):
    positions = [[0, 1], [2, 3]]
    path = tmp_path / "p.csv"
    write_positions(
        path, positions, [0.25, 0.5], pixel_nm=(0.1, 0.2), notes=["a, b"]
    )
    table = pandas.read_csv(path)
    assert tuple(table.columns) == COLUMNS
    assert set(map(str, table.dtypes)) == {"float64", "int64"}
    assert table["row"].tolist() == [2.0, 0.0]


def test_a_table_of_an_earlier_version_is_read(tmp_path):
    path = file_with(tmp_path, OURS)
    np.testing.assert_array_equal(read_positions(path).positions_px, [[1, 2]])


def test_what_is_said_of_a_table_takes_no_place_of_it():
    assert about_file("a/positions.csv") == Path("a/positions.txt")
    assert about_file("a/positions.txt") == Path("a/positions.txt.txt")


def test_places_on_the_sample_are_two_more_columns(tmp_path):
    path = tmp_path / "p.csv"
    write_positions(
        path,
        [[0, 1], [2, 3]],
        [0.25, 0.5],
        pixel_nm=(0.1, 0.2),
        scanner_nm=[[-7, 8], [5, -6.5]],
    )
    assert "y up" in about_file(path).read_text()
    assert path.read_text().splitlines() == [
        "row,col,x_nm,y_nm,scanner_x_nm,scanner_y_nm,score,rank",
        "2.00000,3.00000,0.70000,0.25000,5.00000,-6.50000,0.5,1",
        "0.00000,1.00000,0.30000,0.05000,-7.00000,8.00000,0.25,2",
    ]
    table = read_positions(path)
    np.testing.assert_array_equal(table.positions_px, [[2, 3], [0, 1]])
    np.testing.assert_array_equal(table.scores, [0.5, 0.25])
    with pytest.raises(InputError, match="`scanner_nm` must hold 2 places"):
        write_positions(
            path,
            [[0, 1], [2, 3]],
            [0.25, 0.5],
            pixel_nm=(1, 1),
            scanner_nm=[[1, 2]],
        )


def test_a_reference_table_from_elsewhere(tmp_path):
    content = (
        b"\xef\xbb\xbf# by hand\r\nname,COL_px, row_px ,y_nm,x_nm\r\n\r\n"
        b'"a, b",255.00,2.00,0.1953,19.9609\r\n# more\r\nb,8,16,1.3,0.7\r\n'
    )
    table = read_positions(file_with(tmp_path, content))
    np.testing.assert_array_equal(table.positions_px, [[2, 255], [16, 8]])
    np.testing.assert_array_equal(
        table.positions_nm, [[0.1953, 19.9609], [1.3, 0.7]]
    )
    assert table.scores is None


def test_pixels_alone_will_do(tmp_path):
    table = read_positions(file_with(tmp_path, "col,row\n5,4\n"))
    np.testing.assert_array_equal(table.positions_px, [[4, 5]])
    assert table.positions_nm is None


def test_an_empty_table_is_valid(tmp_path):
    table = read_positions(file_with(tmp_path, OURS[: OURS.index("1,2")]))
    assert table.positions_px.shape == (0, 2)
    assert table.positions_nm is not None
    assert table.positions_nm.shape == (0, 2)
    assert table.scores is not None
    assert table.scores.shape == (0,)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_line_numbers(tmp_path, end):
    text = OURS.replace("\n", end)
    assert len(read_positions(file_with(tmp_path, text)).positions_px) == 1
    bad = text + end + "x,2,0.5,0.3,0.9,1" + end
    with pytest.raises(InputError, match=r"line 5: 'x' in the column 'row'"):
        read_positions(file_with(tmp_path, bad))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no table"),
        ("# only comments\n\n", "no table"),
        ("a,b\n1,2\n", "line 1: no column col, row"),
        ("row;col\n1;2\n", "line 1: no column col, row"),
        ("1,2\n3,4\n", "line 1: no column col, row"),
        ("row,col,x_nm\n1,2,3\n", "no column y_nm"),
        ("row,row_px,col\n1,1,2\n", "two columns for 'row'"),
        ("row,col\n1,nan\n", "line 2: 'nan' in the column 'col'"),
        ("row,col\n1,inf\n", "line 2: 'inf'"),
        ("row,col\n1,\n", "line 2: ''"),
        ("row,col\n1,1_0\n", "line 2: '1_0'"),
        ("# c\nrow,col,score\n1,2,high\n", "line 3: 'high'"),
        ("row,col\n1,2\n1\n", "line 3: 1 cells under 2"),
        ("row,col\n1,2,3\n", "line 2: 3 cells under 2"),
        ('row,col\n"1,2\n', "line 2: not a line of a CSV table"),
        (b"row,col\n1,\xff\xfe\n", "UTF-8"),
        ("row,col\n1,2\n".encode("utf-16"), "UTF-8"),
    ],
)
def test_bad_tables(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as caught:
        read_positions(file_with(tmp_path, content))
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_paths(tmp_path):
    with pytest.raises(InputError, match="Cannot read"):
        read_positions(tmp_path / "none.csv")
    with pytest.raises(InputError, match="Cannot read"):
        read_positions(tmp_path)
    with pytest.raises(InputError, match="Cannot write"):
        write_positions(tmp_path, [[0, 0]], [1], pixel_nm=(1, 1))
    file = file_with(tmp_path, OURS)
    with pytest.raises(InputError, match="Cannot write"):
        write_positions(file / "p.csv", [[0, 0]], [1], pixel_nm=(1, 1))
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == OURS


@pytest.mark.parametrize(
    ("positions", "scores", "pixel_nm", "words"),
    [
        ([[0, 0]], [1, 2], (1, 1), "scores"),
        ([[0, 0]], [np.nan], (1, 1), "scores"),
        ([[0, np.nan]], [1], (1, 1), "positions"),
        ([[0, 0]], [1], (1, 0), "pixel_nm"),
        ([[0, 0]], [1], (1,), "pixel_nm"),
    ],
)
def test_bad_values(tmp_path, positions, scores, pixel_nm, words):
    path = tmp_path / "p.csv"
    with pytest.raises(InputError, match=words):
        write_positions(path, positions, scores, pixel_nm=pixel_nm)
    assert not path.exists()
