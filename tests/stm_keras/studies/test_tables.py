import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.studies.tables import read_rows, where, write_rows


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "rows.csv"


@given(value=st.floats(allow_nan=False), count=st.integers())
def test_numbers_come_back_to_the_last_bit(path, value, count):
    rows = [{"arm": "both", "value": value, "count": count}]
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_a_name_that_a_row_lacks_stays_out(path):
    rows = [{"a": 1, "b": 2.5}, {"a": 2}]
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_where_takes_all_that_is_asked_for():
    rows = [{"arm": "both", "epoch": i} for i in range(3)]
    assert where(rows, arm="both", epoch=2) == rows[2:]
    assert where(rows, arm="noise") == []


@pytest.mark.parametrize("content", ["", "a,b\n1\n", "a,b\n1,2,3\n"])
def test_a_damaged_table_is_refused(tmp_path, content):
    damaged = tmp_path / "damaged.csv"
    damaged.write_text(content)
    with pytest.raises(InputError, match=r"damaged\.csv"):
        read_rows(damaged)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="Cannot read the table"):
        read_rows(tmp_path / "none.csv")
