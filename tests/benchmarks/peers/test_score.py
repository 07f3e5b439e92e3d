import numpy as np
import pytest

from stm_keras.studies.bench.finders import LogFinder
from stm_keras.studies.bench.run import BenchOptions, run_bench
from stm_keras.studies.bench.scoring import score_cell

SIGMA_PX = 1.0


class OneLog(LogFinder):
    """The bench's own finder at one width."""

    def candidates(self, case):
        return (SIGMA_PX,)


def moved(shift_px):
    """Finds every impurity, off by some rows [px]."""

    def find(case):
        scores = np.linspace(0.3, 0.9, len(case.positions))
        return case.positions + np.array([shift_px, 0.0]), scores

    return find


@pytest.fixture
def scored(peers, export_folder, write_found):
    """Results of a peer that finds what a function says."""

    def score(find):
        write_found("peer", find)
        made = peers("export").read_made(export_folder)
        return peers("score").score_peer(export_folder, made, "peer")[0]

    return score


def test_the_truth_scores_one(scored):
    results = scored(moved(0.0))
    assert len(results) == 5
    for result in results:
        assert result.score.jaccard == 1.0
        assert result.score.rmse == 0.0
        assert len(result.counts) == 3
        assert result.seconds == 0.25


def test_an_error_within_the_tolerance_is_the_rmse(scored):
    for result in scored(moved(0.4)):
        if "isolated" in result.cell:
            assert result.score.jaccard == 1.0
            assert result.score.rmse == pytest.approx(0.4)


def test_three_pixels_off_scores_nothing(scored):
    # Where there is one impurity: among several, another may lie there.
    isolated = [r for r in scored(moved(3.0)) if "isolated" in r.cell]
    assert len(isolated) == 2
    assert [result.score.jaccard for result in isolated] == [0.0, 0.0]


def test_the_tuned_threshold_keeps_what_is_improbable_out(scored):
    def find(case):
        positions, scores = moved(0.0)(case)
        corners = np.array([[-0.4, -0.4], [31.4, 31.4]]) + 40.0
        return np.concatenate([corners, positions]), np.append(
            [0.1, 0.2], scores
        )

    for result in scored(find):
        assert 0.2 <= result.settings["threshold"] < 0.3
        assert result.score.jaccard == 1.0


def test_a_finder_of_the_bench_scores_as_it_does_there(scored, peers):
    def find(case):
        found = OneLog().detect(case, SIGMA_PX)
        order = np.random.default_rng(0).permutation(len(found.scores))
        return found.positions[order], found.scores[order]

    results = scored(find)
    cells = peers("export").PEER_SUITES["eq3"].cells()
    for result, cell in zip(results, cells, strict=True):
        finder = OneLog()
        finder.tune(cell.tune(5, 2))
        there = score_cell(cell, finder, cell.test(5, 3))
        assert result.counts == there.counts
        assert result.bound == there.bound
        assert result.settings["threshold"] == there.settings["threshold"]


def test_a_peer_that_finds_nothing_is_refused(scored):
    with pytest.raises(Exception, match="finds nothing in the tuning maps"):
        scored(lambda case: (np.empty((0, 2)), np.empty(0)))


def test_the_table_has_the_finders_of_the_bench_beside(
    peers, export_folder, write_found, tmp_path_factory, capsys
):
    write_found("peer", moved(0.0))
    bench = tmp_path_factory.mktemp("bench")
    cells = peers("export").PEER_SUITES["eq3"].cells()[:1]
    run_bench(cells, bench, BenchOptions(("log",), n_test=3, n_tune=2, seed=5))
    peers("score").main([str(export_folder), "peer", "--bench", str(bench)])
    text = capsys.readouterr().out
    assert "- seed 5; 3 test and 2 tuning stacks a cell" in text
    assert "- `peer`: a test's peer" in text
    assert "|  | peer | log |" in text
    assert "| eta 0.2 | 1.000 [1.000, 1.000] | " in text
    assert "| eta 0.5 | 1.000 [1.000, 1.000] |  |" in text
    assert "| eta 0.2 | 0.25 | " in text


def test_results_on_other_stacks_are_not_put_beside(
    peers, export_folder, write_found, tmp_path_factory, capsys
):
    write_found("peer", moved(0.0))
    bench = tmp_path_factory.mktemp("bench")
    cells = peers("export").PEER_SUITES["eq3"].cells()[:1]
    run_bench(cells, bench, BenchOptions(("log",), n_test=3, n_tune=2, seed=6))
    with pytest.raises(SystemExit) as stopped:
        peers("score").main([str(export_folder), "peer", "--bench", str(bench)])
    assert stopped.value.code == 2
    assert "no result of suite eq3 with seed 5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "holds no detections"),
        (lambda path: path.write_bytes(b"PK"), "holds no detections"),
        (
            lambda path: path.write_bytes(
                path.with_name("eta-0.5-test.npz").read_bytes()
            ),
            "was not given a stack",
        ),
    ],
)
def test_detections_that_do_not_fit_are_refused(
    spoil, said, peers, export_folder, write_found, capsys
):
    write_found("peer", moved(0.0))
    spoil(export_folder / "peer" / "eta-0.2-test.npz")
    with pytest.raises(SystemExit) as stopped:
        peers("score").main([str(export_folder), "peer"])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_an_export_is_refused(peers, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        peers("score").main([str(tmp_path), "peer"])
    assert stopped.value.code == 2
    assert "run export.py first" in capsys.readouterr().err
