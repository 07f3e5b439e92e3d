from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.detector import ContextDetector, Wang2020Detector
from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.models.card import (
    ModelCard,
    ProbabilitySelection,
    ScoreSelection,
)
from stm_keras.nn.decoding import least_kept
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.studies.bench.cases import Case, CaseId, Found, Role
from stm_keras.studies.bench.finders import (
    FINDERS,
    ContextDefaultFinder,
    ContextFinder,
    LogFinder,
    PursuitFinder,
    RingFinder,
    Roster,
    TrackpyFinder,
    Wang2020Finder,
    checked_finders,
    network_input,
    tuned_threshold,
)
from stm_keras.studies.bench.real import (
    RING_RAD_PX,
    SURFACE,
    View,
    real_case,
)
from stm_keras.studies.bench.scoring import score_cell
from stm_keras.studies.bench.simulated import eq3_cells


class FakeContext:
    """Finds what it is made to, with a false one of little probability."""

    selection = ProbabilitySelection(0.5, 0.1)
    card = SimpleNamespace(
        network={"class": "Context"},
        selection=selection,
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

    def ood_score(self, maps, ring):
        return 0.5


class FakeWang:
    card = SimpleNamespace(
        network={"class": "Wang2020"}, ring_rad_px=(1.3, 1.8)
    )

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
    found = TrackpyFinder().detect(case, 5)
    gaps = np.linalg.norm(found.positions[:, None] - places, axis=-1)
    assert gaps.min(axis=0).max() < 0.7


def test_context_is_given_q_and_judged_by_its_card(easy):
    cases = easy.test(0, 3)
    network = FakeContext([c.positions for c in cases])
    finder = ContextDefaultFinder(network)
    finder.tune([])
    found = finder.find(cases[0])
    assert len(found.positions) == len(cases[0].positions)
    np.testing.assert_allclose(
        network.rings[0], 2 * cases[0].wave_numbers, rtol=1e-6
    )
    assert finder.ood_score(cases[0]) == 0.5
    assert finder.settings == {
        "threshold": 0.5,
        "false_discovery_rate": 0.1,
        "false_beforehand": 0.0,
    }
    everything = finder.everything(cases[1])
    assert len(everything.scores) == len(cases[1].positions) + 1


def test_context_is_tuned_like_the_others(easy):
    cases = easy.tune(0, 3)
    finder = ContextFinder(FakeContext([c.positions for c in cases]))
    finder.tune(cases)
    assert 0.04 <= (finder.threshold or 0) < 0.9


def test_wang2020_finds_nothing_where_nothing_is_measured(easy):
    case = easy.test(0, 1)[0]
    maps = case.maps.copy()
    maps[:, :10] = np.nan
    hidden = Case(maps, case.wave_numbers, case.positions)
    found = Wang2020Finder(FakeWang()).detect(hidden, None)
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


PLACES_NM = np.array([[4.0, 5.0], [9.5, 3.25], [11.0, 12.75]])
KNOWN = (0.6, 2.2)
DETECTION = ProbabilitySelection(0.5, 0.1)


def topograph(folder, pixel_nm=0.06, size_px=250):
    """Bright spots in 15 nm, with the table of their places beside them."""
    centres = (np.arange(size_px) + 0.5) * pixel_nm
    y, x = np.transpose(PLACES_NM)[..., None]
    near = [np.exp(-((centres - place) ** 2) / 0.18) for place in (y, x)]
    image = near[0].T @ near[1]
    path = folder / "spots.npz"
    extent = [size_px * pixel_nm] * 2
    np.savez(path, maps=image[None], bias_v=[0.01], extent_nm=extent)
    table = [f"{y / pixel_nm - 0.5},{x / pixel_nm - 0.5}" for y, x in PLACES_NM]
    (folder / "spots_core_positions.csv").write_text(
        "\n".join(["row_px,col_px", *table])
    )
    return path


@pytest.fixture(params=[0.06, 0.3], ids=["fine", "of a known pixel"])
def case(request, tmp_path):
    path = topograph(tmp_path, request.param, round(15 / request.param))
    return real_case(path, View(0.3), CaseId(Role.TEST, 0, 0))


def nm(case, positions):
    """From pixels of the case to nm."""
    return (positions + 0.5) * 15.0 / np.array(case.maps.shape[1:])


def card(ring_rad_px, kind="Wang2020", selection=None):
    empty = {name: {} for name in ("data", "training", "scores")}
    return ModelCard(
        name="mean",
        command="",
        tile_px=20,
        reach_px=3,
        ring_rad_px=ring_rad_px,
        network={"class": kind},
        selection=selection or ScoreSelection({1: 1.0}, {1: 0.0}),
        made={},
        versions={},
        **empty,
    )


class Context:
    """Finds the brightest pixel, and keeps its input."""

    card = card(KNOWN, "Context", DETECTION)

    def detect(self, maps, ring):
        self.maps, self.ring = maps, ring
        place = np.unravel_index(np.nanargmax(maps[0]), maps.shape[1:])
        return SimpleNamespace(
            positions=np.array([place], float),
            probabilities=np.array([0.9]),
            deviations=np.array([[0.5, 0.25]]),
        )


def test_a_case_that_is_no_file_is_taken_as_it_is():
    maps = np.zeros((2, 9, 9), np.float32)
    case = Case(maps, np.array([0.7, 0.8]), np.empty((0, 2)))
    view = network_input(case, card(KNOWN))
    assert view.maps is maps
    np.testing.assert_allclose(view.q_rad_px, [1.4, 1.6])
    np.testing.assert_array_equal(view.scale, 1)


def test_a_network_that_is_given_q_gets_a_pixel_that_it_knows(case):
    view = network_input(case, card(KNOWN, "Context", DETECTION))
    pixel = 15.0 / view.maps.shape[1]
    assert KNOWN[0] <= view.q_rad_px[0] <= KNOWN[1]
    # 2k of Cu(111) at 10 mV is 4.29 rad/nm.
    assert view.q_rad_px[0] / pixel == pytest.approx(4.29, rel=0.02)
    assert view.maps.shape != case.maps.shape


def test_places_come_back_in_the_pixels_of_the_case(case):
    for view in (
        network_input(case, card(KNOWN, "Context", DETECTION)),
        network_input(case, card((1.0, 1.0))),
    ):
        there = PLACES_NM * view.maps.shape[1] / 15.0 - 0.5
        sizes = np.full((3, 2), view.maps.shape[1] / 15.0)
        found = view.in_case(Found(there, np.ones(3), sizes))
        np.testing.assert_allclose(nm(case, found.positions), PLACES_NM)
        np.testing.assert_allclose(
            found.deviations, case.maps.shape[1] / 15.0, rtol=1e-6
        )
        np.testing.assert_allclose(found.positions, case.positions, atol=1e-6)


def test_context_is_compared_in_the_pixels_of_the_case(case):
    network = Context()
    found = ContextFinder(network).detect(case, None)
    view = network_input(case, network.card)
    np.testing.assert_array_equal(network.maps, view.maps)
    np.testing.assert_array_equal(network.ring, view.q_rad_px)
    gaps = np.linalg.norm(nm(case, found.positions) - PLACES_NM, axis=1)
    assert gaps.min() < 0.71 * 15.0 / view.maps.shape[1]
    assert found.deviations is not None
    np.testing.assert_allclose(found.deviations, [[0.5, 0.25]] * view.scale)


@pytest.mark.parametrize("bounds", [RING_RAD_PX, (2.0, 2.4)], ids=str)
def test_wang2020_sees_and_finds_what_predict_does(bounds, tmp_path):
    def mean(maps):
        return {"score": tf.reduce_mean(maps, axis=1)}

    signatures = {
        "serving_default": mean,
        "score_tiles": mean,
        "standardize": lambda maps: {"maps": maps},
    }
    finder = Wang2020Detector(card(bounds), signatures)
    path = topograph(tmp_path)
    case = real_case(path, View(0.3), CaseId(Role.TEST, 0, 0))
    predicted = finder.predict(
        read_maps(path), PredictOptions(SURFACE, threshold=1.0)
    )
    view = network_input(case, finder.card)
    np.testing.assert_array_equal(view.maps, predicted.search.maps.data)
    found = Wang2020Finder(finder).detect(case, None)
    found = found.where(found.scores > 1.0)
    assert len(found.positions) == len(PLACES_NM)
    np.testing.assert_allclose(
        nm(case, found.positions), predicted.positions_nm, atol=1e-6
    )


@pytest.mark.parametrize("bounds", [KNOWN, (0.2, 0.3)], ids=str)
def test_context_sees_and_finds_what_predict_does(bounds, tmp_path):
    given = []

    def score_tiles(maps, ring, measured):
        given.append(ring.numpy()[0])
        score = 40 * (tf.reduce_mean(maps, axis=1) - 0.8)
        place = tf.stack([0.25 * tf.ones_like(score)] * 2, -1)
        return {"score": score, "offset": place, "deviation": place}

    finder = ContextDetector(
        card(bounds, "Context", DETECTION),
        {
            "standardize": lambda maps: {"maps": maps},
            "score_tiles": score_tiles,
        },
    )
    path = topograph(tmp_path)
    case = real_case(path, View(0.3), CaseId(Role.TEST, 0, 0))
    predicted = finder.predict(
        read_maps(path), PredictOptions(SURFACE, surrogates=0)
    )
    found = ContextDefaultFinder(finder).find(case)
    np.testing.assert_array_equal(*given)
    np.testing.assert_array_equal(
        network_input(case, finder.card).maps, predicted.search.maps.data
    )
    assert len(found.positions)
    np.testing.assert_allclose(
        nm(case, found.positions), predicted.positions_nm, atol=1e-6
    )
    np.testing.assert_allclose(found.scores, predicted.scores)
