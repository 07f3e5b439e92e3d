from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.bench.case import Case, Found, Role
from stm_keras.bench.networks import (
    ContextDefaultFinder,
    ContextFinder,
    Wang2020Finder,
)
from stm_keras.bench.real import RING_RAD_PX, SURFACE, View, real_case
from stm_keras.bench.shown import shown
from stm_keras.detector import ContextDetector, Wang2020Detector
from stm_keras.io.reader import read_maps
from stm_keras.models.card import ModelCard
from stm_keras.preprocessing.preparation import PredictOptions

PLACES_NM = np.array([[4.0, 5.0], [9.5, 3.25], [11.0, 12.75]])
KNOWN = (0.6, 2.2)
DETECTION = {"threshold": 0.5, "false_discovery_rate": 0.1}


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
    return real_case(path, View(0.3), Role.TEST, 0, 0)


def nm(case, positions):
    """From pixels of the case to nm."""
    return (positions + 0.5) * 15.0 / np.array(case.maps.shape[1:])


def card(ring_rad_px, **changes):
    empty = {name: {} for name in ("network", "data", "training", "scores")}
    return ModelCard(
        name="mean",
        command="",
        tile_px=20,
        reach_px=3,
        ring_rad_px=ring_rad_px,
        thresholds={1: 1.0},
        floors={1: 0.0},
        made={},
        versions={},
        **empty,
        **changes,
    )


class Context:
    """Finds the brightest pixel, and tells what it was shown."""

    card = card(KNOWN, detection=DETECTION)

    def detect(self, maps, ring):
        self.maps, self.ring = maps, ring
        place = np.unravel_index(np.nanargmax(maps[0]), maps.shape[1:])
        return SimpleNamespace(
            positions=np.array([place], float),
            probabilities=np.array([0.9]),
            deviations=np.array([[0.5, 0.25]]),
        )


def test_a_case_that_is_no_file_is_shown_as_it_is():
    maps = np.zeros((2, 9, 9), np.float32)
    case = Case(maps, np.array([0.7, 0.8]), np.empty((0, 2)))
    view = shown(case, card(KNOWN))
    assert view.maps is maps
    np.testing.assert_allclose(view.ring_rad_px, [1.4, 1.6])
    np.testing.assert_array_equal(view.scale, 1)


def test_a_network_that_is_told_the_rings_sees_a_pixel_that_it_knows(case):
    view = shown(case, card(KNOWN, detection=DETECTION))
    pixel = 15.0 / view.maps.shape[1]
    assert KNOWN[0] <= view.ring_rad_px[0] <= KNOWN[1]
    # 2k of Cu(111) at 10 mV is 4.29 rad/nm.
    assert view.ring_rad_px[0] / pixel == pytest.approx(4.29, rel=0.02)
    assert view.maps.shape != case.maps.shape


def test_places_come_back_in_the_pixels_of_the_case(case):
    for view in (
        shown(case, card(KNOWN, detection=DETECTION)),
        shown(case, card((1.0, 1.0))),
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
    found = ContextFinder(network).look(case, None)
    view = shown(case, network.card)
    np.testing.assert_array_equal(network.maps, view.maps)
    np.testing.assert_array_equal(network.ring, view.ring_rad_px)
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
    case = real_case(path, View(0.3), Role.TEST, 0, 0)
    predicted = finder.predict(
        read_maps(path), PredictOptions(SURFACE, threshold=1.0)
    )
    view = shown(case, finder.card)
    np.testing.assert_array_equal(view.maps, predicted.maps.data)
    found = Wang2020Finder(finder).look(case, None).above(1.0)
    assert len(found.positions) == len(PLACES_NM)
    np.testing.assert_allclose(
        nm(case, found.positions), predicted.positions_nm, atol=1e-6
    )


@pytest.mark.parametrize("bounds", [KNOWN, (0.2, 0.3)], ids=str)
def test_context_sees_and_finds_what_predict_does(bounds, tmp_path):
    told = []

    def score_tiles(maps, ring, measured):
        told.append(ring.numpy()[0])
        score = 40 * (tf.reduce_mean(maps, axis=1) - 0.8)
        place = tf.stack([0.25 * tf.ones_like(score)] * 2, -1)
        return {"score": score, "offset": place, "deviation": place}

    finder = ContextDetector(
        card(bounds, detection=DETECTION),
        {
            "standardize": lambda maps: {"maps": maps},
            "score_tiles": score_tiles,
        },
    )
    path = topograph(tmp_path)
    case = real_case(path, View(0.3), Role.TEST, 0, 0)
    predicted = finder.predict(
        read_maps(path), PredictOptions(SURFACE, surrogates=0)
    )
    found = ContextDefaultFinder(finder).find(case)
    np.testing.assert_array_equal(*told)
    np.testing.assert_array_equal(
        shown(case, finder.card).maps, predicted.maps.data
    )
    assert len(found.positions)
    np.testing.assert_allclose(
        nm(case, found.positions), predicted.positions_nm, atol=1e-6
    )
    np.testing.assert_allclose(found.scores, predicted.scores)
