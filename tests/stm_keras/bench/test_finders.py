from types import SimpleNamespace

import numpy as np
import pytest

from stm_keras.bench.case import Case, Found, positions_of
from stm_keras.bench.classical import (
    LogFinder,
    PursuitFinder,
    RingFinder,
    TrackpyFinder,
)
from stm_keras.bench.eq3 import eq3_cells
from stm_keras.bench.networks import (
    ContextDefaultFinder,
    ContextFinder,
    Wang2020Finder,
)
from stm_keras.bench.roster import FINDERS, Roster, checked_finders
from stm_keras.bench.scoring import score_cell
from stm_keras.bench.tuning import tuned_threshold
from stm_keras.errors import InputError
from stm_keras.nn.decoding import least_kept


class FakeContext:
    """Finds what it is told to, with a false one of little probability."""

    card = SimpleNamespace(
        detection={"threshold": 0.5, "false_discovery_rate": 0.1},
        ring_rad_px=(0.6, 2.2),
    )

    def __init__(self, truth):
        self.truth = list(truth)
        self.rings = []

    def detect(self, maps, ring):
        self.rings.append(ring)
        positions = self.truth[(len(self.rings) - 1) % len(self.truth)]
        n = len(positions)
        return SimpleNamespace(
            positions=np.concatenate([positions, [[0.0, 0.0]]]),
            probabilities=np.append(np.full(n, 0.95), 0.04),
            deviations=np.full((n + 1, 2), 0.1),
        )

    def least_kept(self, probabilities):
        return least_kept(probabilities, 0.1, 0.5)

    def unlikeness(self, maps, ring):
        return 0.5


class FakeWang:
    card = SimpleNamespace(ring_rad_px=(1.3, 1.8))

    def score(self, maps):
        return np.sqrt(np.mean(np.nan_to_num(maps) ** 2, axis=1))


@pytest.fixture(scope="module")
def easy():
    return eq3_cells()[0]


@pytest.mark.parametrize("kind", [LogFinder, RingFinder])
def test_tuning_reaches_what_the_method_can(kind, easy):
    finder = kind()
    with pytest.raises(InputError, match="not tuned"):
        finder.find(easy.test(0, 1)[0])
    finder.tune(easy.tune(0, 6))
    result = score_cell(easy, finder, easy.test(0, 6))
    assert result.score.jaccard > 0.7
    assert result.settings["threshold"] == finder.threshold


def test_trackpy_sees_the_border_too():
    pytest.importorskip("trackpy")
    row, col = np.indices((40, 40))
    places = np.array([[20.3, 20.0], [1.0, 30.0]])
    maps = sum(
        np.exp(-(np.hypot(row - r, col - c) ** 2) / 2) for r, c in places
    )
    case = Case(np.stack([maps, -maps]).astype(np.float32), np.ones(2), places)
    found = TrackpyFinder().look(case, 5)
    gaps = np.linalg.norm(found.positions[:, None] - places, axis=-1)
    assert gaps.min(axis=0).max() < 0.7


def test_context_is_told_2k_and_judged_by_its_card(easy):
    cases = easy.test(0, 3)
    network = FakeContext(positions_of(cases))
    finder = ContextDefaultFinder(network)
    finder.tune([])
    found = finder.find(cases[0])
    assert len(found.positions) == len(cases[0].positions)
    np.testing.assert_allclose(
        network.rings[0], 2 * cases[0].wave_numbers, rtol=1e-6
    )
    assert finder.unlikeness(cases[0]) == 0.5
    assert finder.settings == FakeContext.card.detection
    everything = finder.everything(cases[1])
    assert len(everything.scores) == len(cases[1].positions) + 1


def test_context_is_tuned_like_the_others(easy):
    cases = easy.tune(0, 3)
    finder = ContextFinder(FakeContext(positions_of(cases)))
    finder.tune(cases)
    assert 0.04 <= (finder.threshold or 0) < 0.9


def test_wang2020_finds_nothing_where_nothing_is_measured(easy):
    case = easy.test(0, 1)[0]
    maps = case.maps.copy()
    maps[:, :10] = np.nan
    hidden = Case(maps, case.wave_numbers, case.positions)
    found = Wang2020Finder(FakeWang()).look(hidden, None)
    assert len(found.positions)
    assert found.positions[:, 0].min() >= 9.5


def test_what_cannot_be_had_is_said(tmp_path):
    roster = Roster((("context", tmp_path / "no"),))
    assert "no model" in (roster.missing("context") or "")
    assert "no model" in (roster.missing("wang2020") or "")
    assert roster.missing("log") is None
    with pytest.raises(InputError, match="no model"):
        roster.make("context")


def test_a_model_of_the_other_kind_is_not_taken(model):
    roster = Roster((("context", model), ("wang2020", model)))
    assert roster.missing("wang2020") is None
    assert "none of context" in (roster.missing("context") or "")
    assert roster.version("wang2020")
    assert roster.version("log") == ""


def test_unknown_finders_are_refused():
    assert checked_finders(()) == FINDERS
    assert checked_finders(("rings", "log")) == ("log", "rings")
    with pytest.raises(InputError, match="unknown finder"):
        checked_finders(("blob",))


def test_the_threshold_parts_what_can_be_parted(easy):
    cases = easy.test(0, 6)
    found = [
        Found(
            np.concatenate([c.positions, [[50.0, 50.0]] * 9]),
            np.concatenate([np.linspace(2, 3, len(c.positions)), np.ones(9)]),
        )
        for c in cases
    ]
    best = tuned_threshold(found, cases, tolerance_px=1.0)
    assert best is not None
    assert best.score.jaccard == 1
    assert 1 <= best.value < 2


def test_pursuit_joins_maps_of_scattering_and_none_of_equation_3(easy):
    case = easy.test(0, 1)[0]
    assert [s.max_maps for s in PursuitFinder().candidates(case)] == [None]
    waves = Case(case.maps, case.wave_numbers, case.positions)
    joined = {s.max_maps for s in PursuitFinder().candidates(waves)}
    assert joined == {16}


def test_pursuit_comes_near_the_bound(easy):
    finder = PursuitFinder()
    finder.tune(easy.tune(0, 4))
    result = score_cell(easy, finder, easy.test(0, 4))
    assert result.score.jaccard > 0.9
    assert 0.5 < result.over_bound < 2
