from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from stm_keras.detector import ContextDetector, context, load_detector
from stm_keras.detector.context import _doubts, half_wave_px, in_doubt
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps, Region
from stm_keras.models.card import ModelCard, ProbabilitySelection
from stm_keras.models.checks import check_options
from stm_keras.nn.decoding import find_detections
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import (
    PredictOptions,
    PreparedMaps,
    to_known_pixel,
)
from stm_keras.qpi.dispersion import given_q
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.simulation.surrogates import phase_surrogate

RAW = CleaningOptions.at_level("none")


def detector(unlikeness=0.5):
    """Is sure where the maps' mean is 4 or more, half a pixel below it."""
    card: dict[str, Any] = {
        "name": "fake",
        "network": {},
        "command": "",
        "data": {},
        "training": {},
        "tile_px": 48,
        "reach_px": 3,
        "ring_rad_px": (0.6, 2.2),
        "selection": ProbabilitySelection(0.5, 0.1),
        "scores": {},
        "made": {},
        "versions": {},
    }

    def score_tiles(maps, ring, measured):
        assert ring.shape[1] == maps.shape[1] == measured.shape[1]
        score = 2 * (tf.reduce_mean(maps, axis=1) - 4)
        place = tf.stack([0.5 * tf.ones_like(score), tf.zeros_like(score)], -1)
        return {
            "score": score,
            "probability": tf.sigmoid(score),
            "offset": place,
            "deviation": 0.1 * tf.ones_like(place),
        }

    signatures = {
        "standardize": lambda maps: {
            "maps": tf.where(tf.math.is_nan(maps), 0.0, maps)
        },
        "score_tiles": score_tiles,
        "describe": lambda maps, ring: {
            "unlikeness": tf.constant([unlikeness])
        },
    }
    return ContextDetector(ModelCard(**card), signatures)


def spots(heights=(9.0, 5.0, 3.0), shape=(60, 70), n_maps=2, pixel=0.35):
    data = np.zeros((n_maps, *shape), np.float32)
    data[:, 0, 0] = 0.1  # a flat map is refused
    for index, height in enumerate(heights):
        data[:, 10 + 15 * index, 20 + 10 * index] = height
    extent = shape[0] * pixel, shape[1] * pixel
    return ConductanceMaps(data, np.linspace(-0.1, 0.0, n_maps), extent)


def find(maps, fake=None, **options):
    q_per_nm = np.full(len(maps.data), 1.4 / maps.pixel_nm[0])
    prepared = PreparedMaps((0, 0), maps, maps, maps, q_per_nm)
    fake = fake or detector()
    chosen = PredictOptions(surface="au111", **options)
    check_options(fake.card, chosen)
    return fake.search(prepared, chosen)


def test_positions_probabilities_and_deviations():
    found = find(spots())
    np.testing.assert_allclose(found.positions_px, [[10.5, 20], [25.5, 30]])
    np.testing.assert_allclose(
        found.scores, 1 / (1 + np.exp([-10, -2])), rtol=1e-4
    )
    np.testing.assert_allclose(found.deviations_px, 0.1, rtol=1e-4)
    assert found.expected_false == pytest.approx((1 - found.scores).sum())


def test_candidates_that_are_not_sure_enough_are_still_known():
    found = find(spots())
    assert found.left_out is not None
    np.testing.assert_allclose(found.left_out.positions_px, [[40.5, 40]])
    np.testing.assert_allclose(
        found.left_out.scores, 1 / (1 + np.exp(2.0)), rtol=1e-4
    )
    np.testing.assert_allclose(found.left_out.deviations_px, 0.1, rtol=1e-4)
    lower = find(spots(), threshold=0.1)
    assert len(lower) == len(found) + len(found.left_out)
    assert lower.left_out is not None
    assert len(lower.left_out) == 0


def test_a_prediction_places_them_in_the_file_too():
    """A part of the file, at another pixel than the network's."""
    fake = detector()
    small = spots(shape=(60, 70), pixel=0.7)
    region = Region((0, 50), (10, 70))
    options = PredictOptions(
        "au111", RAW, region=region, surrogates=0, fit_rings=False
    )
    found = fake.predict(small, options)
    assert found.left_out is not None
    everything = np.concatenate([found.scores, found.left_out.scores])
    assert (np.diff(everything) <= 0).all()
    assert len(found.left_out) > 0
    assert found.left_out.maps is small
    assert found.left_out.search is found.search
    one = fake.predict(small, replace(options, threshold=0.021))
    places = np.concatenate([found.positions_px, found.left_out.positions_px])
    np.testing.assert_allclose(one.positions_px, places)
    np.testing.assert_allclose(
        one.deviations_px,
        np.concatenate([found.deviations_px, found.left_out.deviations_px]),
    )


def test_a_threshold_and_a_rate_of_the_users_own():
    assert len(find(spots(), threshold=0.1).scores) == 3
    assert len(find(spots(), threshold=0.95).scores) == 1
    # Chances to be false of 0.00005, 0.12 and 0.88.
    assert len(find(spots(), false_discovery_rate=0.01).scores) == 1
    assert len(find(spots(), false_discovery_rate=0.2).scores) == 2
    assert len(find(spots((3.0,)), false_discovery_rate=0.01).scores) == 0


def test_who_is_left_out_for_the_rate_is_told():
    # 0.88, 0.73 and 0.12: not even the first may be kept.
    found = find(spots((5.0, 4.5, 3.0)))
    assert len(found.scores) == 0
    note = next(note for note in found.notes if "left out" in note)
    assert "2 more" in note
    assert "0.88" in note
    assert not any("left out" in note for note in find(spots()).notes)
    kept = find(spots((5.0, 4.5, 3.0)), threshold=0.5)
    assert not any("left out" in note for note in kept.notes)


def test_surrogates_of_lonely_spots_hold_nothing():
    found = find(spots())
    assert found.surrogates is not None
    assert found.surrogates.tolist() == [0] * 5
    assert not any("do not trust" in note for note in found.notes)
    assert find(spots(), surrogates=0).surrogates is None


@pytest.mark.parametrize(
    ("side", "expected"), [(170, 5), (250, 3), (320, 2), (410, 1)]
)
def test_large_frames_need_fewer_surrogates(side, expected):
    found = find(spots(shape=(side, side)))
    assert found.surrogates is not None
    assert len(found.surrogates) == expected
    asked = find(spots(shape=(side, side)), surrogates=2)
    assert asked.surrogates is not None
    assert len(asked.surrogates) == 2


def test_it_warns_of_maps_in_which_it_sees_things():
    maps = spots(shape=(60, 70))
    noise = np.random.default_rng(0).normal(0, 3, maps.data.shape)
    noisy = maps.with_data(np.repeat(noise[:1], 2, axis=0), "noise")
    found = find(noisy)
    assert found.surrogates is not None
    assert found.surrogates.mean() > 5
    assert any("do not trust" in note for note in found.notes)


def test_it_does_not_cry_wolf_where_few_strong_objects_fill_a_frame():
    rng = np.random.default_rng(0)
    data = rng.normal(0, 1, (2, 48, 48)).astype(np.float32)
    row, col = np.indices((48, 48))
    for place in [(8, 8), (8, 36), (24, 22), (38, 8), (38, 38)]:
        data += 60 * np.exp(
            -((row - place[0]) ** 2 + (col - place[1]) ** 2) / 4
        )
    maps = ConductanceMaps(data, [-0.1, 0.0], (17.0, 17.0))
    found = find(maps)
    assert len(found) >= 5
    assert found.surrogates is not None
    # Of the whole spectrum each surrogate is full of what passes for one.
    whole = phase_surrogate(data, np.random.default_rng(0))
    assert (whole.mean(axis=0) > 4).sum() > 50
    assert found.surrogates.max() == 0
    assert not any("do not trust" in note for note in found.notes)


@pytest.mark.parametrize("q", [None, 1.5])
def test_it_cries_wolf_at_correlated_noise(q):
    """1/f noise, and noise of a narrow band as waves have."""
    white = np.random.default_rng(2).normal(size=(60, 70))
    k = (
        2
        * np.pi
        * np.hypot(np.fft.fftfreq(60)[:, None], np.fft.rfftfreq(70)[None])
    )
    size = 1 / np.maximum(k, 0.1)
    if q is not None:
        size = np.exp(-(((k - q) / 0.12) ** 2) / 2)
    noise = np.fft.irfft2(np.fft.rfft2(white) * size, (60, 70))
    noise *= 3 / noise.std()
    found = find(spots().with_data(np.stack([noise, noise]), "noise"))
    assert len(found) > 5
    assert any("do not trust" in note for note in found.notes)


def test_of_nothing_found_nothing_is_doubted():
    assert in_doubt(1, np.array([3.0]), 0.4)
    assert not in_doubt(0, np.array([3.0]), 0.4)


def test_as_many_as_in_a_surrogate_are_doubted():
    assert in_doubt(5, np.array([0.0, 1.0, 5.0, 0.0, 1.0]), 0.4)
    assert not in_doubt(6, np.array([0.0, 1.0, 5.0, 0.0, 1.0]), 0.4)


def test_half_a_wave_is_of_the_known_ones():
    assert half_wave_px(np.array([1.0, 0.0, 2.0])) == pytest.approx(np.pi / 1.5)
    assert half_wave_px(np.zeros(2)) == 0


def test_impurities_in_strange_places_are_flagged():
    """On a step; its score is a layer of the result, and a column."""
    rng = np.random.default_rng(0)
    data = rng.normal(0, 1, (2, 48, 48)).astype(np.float32)
    data[:, 30] += 12
    data[:, 10, 10] += 6.5
    found = find(ConductanceMaps(data, [-0.1, 0.0], (17.0, 17.0)), surrogates=0)
    local = found.search.layers["off_training"]
    assert local.shape == (48, 48)
    assert (local[30] > 1).all()
    flagged = found.columns()["local_ood"] > 1
    assert flagged.sum() >= 3
    near_step = np.abs(found.columns()["row"] - 30.5) < 2
    np.testing.assert_array_equal(flagged, near_step)
    (note,) = (note for note in found.notes if "local OOD" in note)
    assert f"{flagged.sum()} of {len(found)} impurities" in note
    assert found.left_out is not None
    assert len(found.left_out.columns()["local_ood"]) == len(found.left_out)


def test_it_warns_out_of_distribution():
    assert not any("warning" in note for note in find(spots()).notes)
    notes = find(spots(), detector(unlikeness=2.5)).notes
    assert any("out of distribution" in n and "2.50" in n for n in notes)


def test_large_frames_are_cut_without_a_trace():
    large = spots(heights=(9.0,), shape=(300, 280))
    found = find(large, surrogates=0)
    np.testing.assert_allclose(found.positions_px, [[10.5, 20]])


def test_nothing_is_found_where_no_map_was_measured():
    maps = spots()
    data = maps.data.copy()
    data[:, 24:27] = np.nan
    found = find(maps.with_data(data, "gap"), surrogates=0)
    np.testing.assert_allclose(found.positions_px, [[10.5, 20]])


def test_a_gap_in_one_of_the_maps_is_searched():
    maps = spots()
    data = maps.data.copy()
    data[0, 24:27] = np.nan
    gap = maps.with_data(data, "gap in one map")
    found = find(gap, surrogates=0, threshold=0.1)
    assert found.search.searched(gap).all()
    assert np.isfinite(found.search.score).all()
    data[1, 24] = np.nan
    beyond = found.search.searched(maps.with_data(data, "a line of both"))
    assert not beyond[24].any()
    assert beyond[25:].all()


def test_few_false_ones_asked_for_make_the_warning_sharper():
    assert _doubts(10, np.array([1.5, 2.5]), 0.2) == ()
    (note,) = _doubts(10, np.array([1.5, 2.5]), 0.05)
    assert "2 detections each" in note


def test_bad_input():
    with pytest.raises(InputError, match="--tiling paper"):
        find(spots(), tiling="paper")
    with pytest.raises(InputError, match="gives probabilities"):
        find(spots(), threshold=3.0)
    small = spots(heights=(), shape=(10, 12))
    with pytest.raises(InputError, match="only 10 x 12 px"):
        detector().predict(small, PredictOptions(surface="au111"))
    with pytest.raises(InputError, match="not both"):
        PredictOptions(threshold=0.5, false_discovery_rate=0.1)
    with pytest.raises(InputError, match="false_discovery_rate"):
        PredictOptions(false_discovery_rate=1.5)
    with pytest.raises(InputError, match="surrogates"):
        PredictOptions(surrogates=-1)


def test_known_pixels_are_left_alone():
    maps = spots()  # 2k is 1.0 to 1.4 rad/px at this pixel
    ready = to_known_pixel(maps, (0.6, 2.2), "au111")
    assert ready.data is maps.data


@pytest.mark.parametrize("pixel", [0.05, 0.12])
def test_fine_pixels_are_made_coarser(pixel):
    maps = spots(shape=(300, 300), pixel=pixel)
    ready = to_known_pixel(maps, (0.6, 2.2), "au111")
    rings = given_q(maps, "au111")[0] * ready.pixel_nm[0]
    assert rings.min() >= 0.6
    assert rings.max() <= 2.2
    assert rings.mean() == pytest.approx(1.1, rel=0.05)


def test_rings_that_disagree_are_not_given():
    row, col = np.indices((80, 80))
    data = np.stack(
        [np.cos(q * np.hypot(row - 40, col - 40)) for q in (1.0, 1.05, 2.2)]
    )
    maps = ConductanceMaps(data, [0.0, 0.1, 0.2], (80.0, 80.0))
    told, note = given_q(maps, None)
    assert told[0] == pytest.approx(1.0, rel=0.1)
    assert told[2] == 0
    assert "2 of 3 maps" in note


def test_waves_have_their_say_on_demand_alone():
    # Spots without waves: nothing to know them by, so all stays as it was.
    plain, judged = find(spots()), find(spots(), waves=True)
    np.testing.assert_array_equal(judged.positions_px, plain.positions_px)
    np.testing.assert_array_equal(judged.scores, plain.scores)
    assert "wave_evidence" not in plain.columns()
    assert len(judged.columns()["wave_evidence"]) == len(judged)
    assert any("waves" in note for note in judged.notes)


@pytest.mark.slow
def test_tiles_of_the_shipped_network_answer_as_the_whole_frame(monkeypatch):
    rng = np.random.default_rng(0)
    config = FriedelConfig(
        size_px=256, n_voltages=1, n_impurities=(100, 100), on_grid=False
    )
    field = simulate_friedel(config, rng, 1)
    maps, q = field.maps[0, :, :160], 2 * field.wave_numbers[0]
    maps = maps + 0.3 * rng.standard_normal(maps.shape)
    finder = load_detector("context")
    assert isinstance(finder, ContextDetector)

    def found(most_px):
        told = []
        extra = context._EXTRA_MAPS
        monkeypatch.setattr(context, "_MOST_PX", most_px * (1 + extra))
        output = finder.answer(maps, q, lambda *done: told.append(done))
        return find_detections(output, 0.05), told[-1]

    whole, one = found(160 * 256)
    cut, two = found(160 * 176)
    assert (one, two) == ((1, 1), (2, 2))
    assert len(whole.positions) > 20
    nearest = cdist(whole.positions, cut.positions).argmin(axis=1)
    np.testing.assert_allclose(
        cut.positions[nearest], whole.positions, atol=1e-3
    )
    np.testing.assert_allclose(
        cut.probabilities[nearest], whole.probabilities, atol=1e-4
    )
