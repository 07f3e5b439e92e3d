from pathlib import Path

import pytest

from stm_keras.errors import InputError
from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.repeat import compare_run
from stm_keras.reproduction.tables import read_rows, write_rows

STORED = Path(__file__).parents[3] / "docs/reproduction/fig4_points.csv"


@pytest.fixture
def again(tmp_path):
    """The rows of one stored run, as the run itself writes them."""
    path = tmp_path / "points.csv"

    def write(**changes):
        rows = [
            {k: v for k, v in row.items() if k not in ("arm", "run", "seed")}
            for row in read_rows(STORED)
            if (row["arm"], row["run"]) == ("both", 3)
        ]
        rows[-1] |= changes
        write_rows(path, rows)
        return path

    return write


def test_the_stored_study_has_forty_runs_of_different_seeds():
    rows = read_rows(STORED)
    runs = {(row["arm"], row["seed"]) for row in rows}
    assert runs == {(arm, seed) for arm in ARMS for seed in range(10)}
    last = [r for r in rows if r["epoch"] == 12 and r["set"] == "shown"]
    assert len(last) == 40
    assert len({row["entropy"] for row in last}) == 40


def test_the_same_numbers_are_the_same(again):
    repeat = compare_run(again(), STORED, arm="both", run=3)
    assert repeat.equal == repeat.total > 500
    assert "bit for bit" in str(repeat)


def test_one_number_that_differs_in_its_last_bits_is_seen(again):
    (row,) = [
        r
        for r in read_rows(STORED)
        if (r["arm"], r["run"], r["epoch"], r["set"])
        == ("both", 3, 12, "unseen")
    ]
    changed = again(entropy=row["entropy"] * (1 + 4e-16))
    repeat = compare_run(changed, STORED, arm="both", run=3)
    assert repeat.equal == repeat.total - 1
    assert 0 < repeat.largest < 1e-12


def test_another_seed_has_other_numbers(again):
    repeat = compare_run(again(), STORED, arm="both", run=4)
    assert repeat.equal < 0.5 * repeat.total


def test_a_run_of_another_length_is_refused(again):
    path = again()
    rows = read_rows(path)
    write_rows(path, rows[:-2])
    with pytest.raises(InputError, match="not the same study"):
        compare_run(path, STORED, arm="both", run=3)
