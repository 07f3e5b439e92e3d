import json

import numpy as np
import pytest

from stm_keras.detections import write_positions
from stm_keras.errors import InputError
from stm_keras.scoring import (
    METRICS,
    TABLE_COLUMNS,
    Score,
    evaluate_files,
    format_table,
    write_json,
)

TRUTH = np.array([[10.0, 10.0], [20.0, 30.0], [40.0, 5.0]])


@pytest.fixture
def files(tmp_path):
    """Found and true positions: off by 0.5 px, 3 px and 0 px, one too many."""
    found = TRUTH + np.array([[0.0, 0.5], [3.0, 0.0], [0.0, 0.0]])
    found = np.concatenate([found, [[60.0, 60.0]]])
    paths = tmp_path / "found.csv", tmp_path / "truth.csv"
    for path, positions in zip(paths, (found, TRUTH), strict=True):
        scores = np.ones(len(positions))
        write_positions(path, positions, scores, pixel_nm=(0.1, 0.2))
    return paths


def test_one_pixel_by_default(files):
    score = evaluate_files(*files)
    assert (score.unit, score.tolerance) == ("px", 1.0)
    assert score.true_positives == 2
    assert score.recall == pytest.approx(2 / 3)
    assert score.precision == pytest.approx(2 / 4)
    assert score.rmse == pytest.approx(np.sqrt(0.25 / 2))


def test_another_tolerance(files):
    assert evaluate_files(*files, tolerance_px=3.5).recall == 1
    assert evaluate_files(*files, tolerance_px=0.4).true_positives == 1


def test_nm_uses_height_and_width_of_the_pixel(files):
    score = evaluate_files(*files, tolerance_nm=0.31)
    assert (score.unit, score.tolerance) == ("nm", 0.31)
    # 0.5 columns are 0.1 nm, 3 rows are 0.3 nm.
    assert score.true_positives == 3
    assert score.rmse == pytest.approx(np.sqrt((0.01 + 0.09) / 3), rel=1e-3)


def test_nothing_found_is_a_score(files, tmp_path):
    empty = tmp_path / "empty.csv"
    write_positions(empty, [], [], pixel_nm=(0.1, 0.1))
    score = evaluate_files(empty, files[1])
    assert (score.n_predicted, score.n_reference, score.jaccard) == (0, 3, 0)


def test_bad_input(files, tmp_path):
    with pytest.raises(InputError, match="not both"):
        evaluate_files(*files, tolerance_px=1.0, tolerance_nm=1.0)
    with pytest.raises(InputError, match="tolerance"):
        evaluate_files(*files, tolerance_px=0.0)
    with pytest.raises(InputError, match="Cannot read"):
        evaluate_files(files[0], tmp_path / "none.csv")
    pixels = tmp_path / "pixels.csv"
    pixels.write_text("row,col\n1,2\n")
    with pytest.raises(InputError, match=r"pixels\.csv has no columns x_nm"):
        evaluate_files(files[0], pixels, tolerance_nm=1.0)


def test_the_table_is_aligned_and_complete():
    good = Score(100, 90, 80, 85, squared_error=0.8)
    rows = {
        "network": good,
        "LoG": Score(100, 0),
        "in nm": Score(1, 1, 1, 1, 0.01, 0.5, "nm"),
    }
    lines = format_table(rows).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    ends = [lines[0].index(name) + len(name) for name in TABLE_COLUMNS]
    for line in lines:
        assert all((line + " ")[end] == " " for end in ends)
    shown = lines[1].split()
    expected = "network 100 90 0.850 0.800 0.889 0.727 0.100 px"
    assert " ".join(shown[:-1]) == expected
    assert float(shown[-1]) == pytest.approx(good.efficiency, abs=1e-3)
    assert lines[2].split()[7] == "-"
    assert "0.100 nm" in lines[3]


def test_a_table_without_scores_is_its_heading():
    assert format_table({}).split("  ")[-1] == "efficiency"


def test_json_round_trip(tmp_path):
    path = tmp_path / "new" / "scores.json"
    score = Score(4, 4, 2, 2, 0.5)
    write_json(path, {"network": score, "nothing": Score(4, 0)})

    def refuse(text):
        raise AssertionError(f"{text} is not JSON")

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read["network"] == pytest.approx(score.as_dict())
    assert set(METRICS) < set(read["nothing"])
    assert read["nothing"]["rmse"] is None
    assert list(path.parent.iterdir()) == [path]


def test_json_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="Cannot write"):
        write_json(tmp_path, {})
