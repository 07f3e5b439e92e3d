"""Tables and pictures from made-up runs; the real ones take an hour."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.studies.paper.experiments import Experiments
from stm_keras.studies.paper.fig4 import (
    PAIRS,
    compare_run,
    curve,
    draw_fig4,
    paired,
    summarise,
)
from stm_keras.studies.paper.scores import (
    LOG,
    RINGS,
    score_knowing_nothing,
    score_without_network,
)
from stm_keras.studies.paper.settings import ARMS, FULL, QUICK, Study, parse_run
from stm_keras.studies.tables import read_rows, where, write_rows

SCORES = [
    f"{name}_{of}"
    for name in ("hit_ratio", "jaccard")
    for of in ("em", "truth")
]
SCORES += ["jaccard_top_truth", "precision_truth", "recall_truth"]
SCORES += ["chance", "n_maxima", "n_found"]
GAIN = {"neither": 0.0, "noise": 0.2, "confidence": 0.1, "both": 0.3}


@pytest.fixture(scope="module")
def points():
    """Three runs of two epochs, the seeds far apart and the arms not."""
    rows = []
    for run in range(3):
        for arm, gain in GAIN.items():
            for epoch in (1, 2):
                value = 0.1 * run + gain + 0.01 * epoch
                row = {"arm": arm, "run": run, "epoch": epoch, "entropy": 2.0}
                row |= dict.fromkeys(SCORES, value)
                rows.append(row | {"set": "unseen"})
                rows.append(
                    row
                    | {
                        "set": "shown",
                        "entropy_surrogate": 3.0,
                        "val_l0": 3.0,
                        "stable_tiling": 0.5,
                        "stable_voltages": 0.5,
                        "false_share": 0.6 if arm == "confidence" else 0.2,
                    }
                )
    return rows


@pytest.fixture(scope="module")
def lines(draw):
    experiments = Experiments([draw], [draw], [draw])
    return [
        *score_without_network(experiments),
        *score_knowing_nothing(experiments.shown),
    ]


def test_the_full_study_has_forty_runs_of_ten_seeds():
    jobs = FULL.jobs()
    assert len(jobs) == 40
    assert {s.seed for s in jobs.values()} == set(range(10))
    for arm in ARMS.values():
        mine = [jobs[f"{arm.name}-{run}"] for run in range(10)]
        assert {(s.noise, s.alpha) for s in mine} == {(arm.noise, arm.alpha)}


def test_a_study_that_is_stopped_has_as_many_runs_of_every_arm():
    first = list(FULL.jobs())[:8]
    assert sorted(first) == sorted(f"{a}-{r}" for a in ARMS for r in range(2))


def test_a_quick_study_is_much_smaller():
    jobs = QUICK.jobs()
    assert len(jobs) == 8
    assert max(s.epochs for s in jobs.values()) < FULL.epochs


def test_one_run_is_named():
    assert parse_run("both:3", 10) == "both-3"


@pytest.mark.parametrize("text", ["both", "both:x", "both:10", "all:3", ":1"])
def test_a_run_that_is_not_there_is_refused(text):
    with pytest.raises(InputError):
        parse_run(text, 10)


def test_no_run_at_all_is_refused():
    with pytest.raises(InputError, match="--runs"):
        Study(runs=0)


def test_a_curve_has_a_row_a_run(points):
    values = curve(where(points, set="shown"), "both", "jaccard_truth")
    np.testing.assert_allclose(values[:, 1], [0.32, 0.42, 0.52])


@pytest.mark.parametrize(("more", "less"), PAIRS)
def test_pairing_takes_the_seeds_out_of_the_difference(points, more, less):
    """Runs differ by 0.1 a seed; the arms differ by the same in each."""
    estimate = paired(points, more, less, "jaccard_truth")
    gain = GAIN[more] - GAIN[less]
    np.testing.assert_allclose(estimate[:3], [gain] * 3)
    assert estimate.n == 3


def test_the_summary_says_which_runs_the_guard_warns_of(points, lines):
    text = summarise(points, lines, made="today")
    assert "| confidence | 3 of 3 |" in text
    assert "| both | 0 of 3 |" in text
    assert "+0.200 [+0.200, +0.200]" in text
    assert text.startswith("(today)")


def test_the_picture_is_written(points, lines, tmp_path):
    path = tmp_path / "fig4.png"
    draw_fig4(path, points, lines)
    draw_fig4(tmp_path / "again.png", points, lines)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert path.read_bytes() == (tmp_path / "again.png").read_bytes()


def test_a_single_run_can_be_drawn(points, lines, tmp_path):
    draw_fig4(tmp_path / "fig4.png", where(points, run=0), lines)
    text = summarise(where(points, run=0), lines, made="today")
    assert "| noise − neither | +0.200 |" in text


def test_classical_methods_find_clear_rings(lines):
    (rings,) = where(lines, set="shown", method=RINGS)
    assert rings["jaccard_top_truth"] == 1.0
    assert len(where(lines, method=LOG)) == 2


def test_a_layer_that_knows_nothing_hits_most_by_the_papers_score(draw):
    (grid,) = where(
        score_knowing_nothing([draw]), method="every second pixel of S"
    )
    assert grid["n_maxima"] == 1600
    assert grid["chance"] == pytest.approx(np.pi / 4)
    assert grid["jaccard_truth"] < 0.01


def test_settings_of_a_study_reach_its_runs():
    study = replace(FULL, runs=2, epochs=3)
    assert {s.epochs for s in study.jobs().values()} == {3}
    assert len(study.jobs()) == 8


STORED = Path(__file__).parents[4] / "docs/reproduction/fig4_points.csv"


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
