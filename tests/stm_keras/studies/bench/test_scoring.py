import json
import math

import numpy as np
import pytest

from stm_keras.studies.bench.cases import Case, Cell, Found
from stm_keras.studies.bench.scoring import (
    CellResult,
    first_come,
    paired_difference,
    position_variances,
    score_cell,
)


def scored(cell, finder, n=6):
    cases = cell.test(0, n)
    finder.tune(cases)
    return score_cell(cell, finder, cases)


def test_a_perfect_finder_scores_1(cells, fakes):
    result = scored(cells[0], fakes.Perfect())
    assert result.score.jaccard == 1
    assert result.score.rmse == 0
    assert result.calibration_error == pytest.approx(0.01)


def test_an_empty_finder_scores_0(cells, fakes):
    result = scored(cells[0], fakes.Empty())
    assert result.score.jaccard == 0
    assert math.isnan(result.score.rmse)
    assert math.isnan(result.calibration_error)
    assert math.isnan(result.z_deviation)


def test_z_scores_of_true_deviations_have_width_1(cells, fakes):
    near = fakes.Near(0.1)
    cases = cells[1].test(0, 40)
    result = score_cell(cells[1], near, cases)
    assert result.score.jaccard == 1
    assert result.z_deviation == pytest.approx(1.0, abs=0.2)
    assert result.score.rmse == pytest.approx(0.1 * math.sqrt(2), rel=0.2)


def test_the_best_possible_is_asked_for_and_not_below_the_tuned(fakes, cells):
    shown = Cell("real", "x", cells[0].make, shows_best=True)
    assert scored(shown, fakes.Perfect()).best_possible == 1
    assert scored(shown, fakes.Empty()).best_possible == 0
    assert math.isnan(scored(cells[0], fakes.Perfect()).best_possible)


def test_the_surest_detection_has_the_first_choice():
    case = Case(
        np.zeros((1, 9, 9), np.float32), np.ones(1), np.array([[4.0, 4.0]])
    )
    found = Found(
        np.array([[4.0, 4.0], [4.0, 4.8]]),
        np.array([0.2, 0.9]),
    )
    np.testing.assert_array_equal(first_come(found, case), [False, True])


def test_a_result_survives_its_file(cells, fakes):
    result = scored(cells[0], fakes.Near())
    again = CellResult.from_dict(json.loads(json.dumps(result.as_dict())))
    assert again.score == result.score
    assert again.z_deviation == result.z_deviation
    assert again.key == result.key


def test_paired_differences(cells, fakes):
    perfect = scored(cells[0], fakes.Perfect())
    empty = scored(cells[0], fakes.Empty())
    assert paired_difference(perfect, perfect, "jaccard") == (0, 0, 0)
    assert paired_difference(perfect, empty, "jaccard") == (1, 1, 1)
    assert all(map(math.isnan, paired_difference(perfect, empty, "rmse")))
    near = scored(cells[0], fakes.Near())
    difference, low, high = paired_difference(near, perfect, "rmse")
    assert low <= difference <= high
    assert difference > 0


def test_the_bound_is_left_out_where_it_does_not_apply(cells):
    assert position_variances(cells[0].test(0, 1)[0]) is None
