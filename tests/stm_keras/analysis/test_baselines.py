from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.analysis.baselines import (
    LOG_SIGMAS_PX,
    find_blobs_log,
    rms_map,
    tune_log,
)
from stm_keras.errors import InputError
from stm_keras.scoring import score_positions


def stack_of(positions, rng, *, sigma=1.4, noise=0.02, voltages=6, size=32):
    """Blobs whose sign and height change with the voltage."""
    row, col = np.indices((size, size))
    maps = noise * rng.standard_normal((voltages, size, size))
    for r, c in positions:
        blob = np.exp(-((row - r) ** 2 + (col - c) ** 2) / (2 * sigma**2))
        sign = rng.choice([-1.0, 1.0], voltages)
        maps += (sign * rng.uniform(0.7, 1.3, voltages))[:, None, None] * blob
    return maps


def scattered(rng, n=5, size=32, apart=7.0):
    positions = []
    while len(positions) < n:
        new = rng.uniform(2, size - 3, 2)
        if all(np.hypot(*(new - old)) > apart for old in positions):
            positions.append(new)
    return np.array(positions)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_rms_is_what_its_name_says(seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(4, 5, 6))
    level = maps - maps.mean(axis=(1, 2), keepdims=True)
    expected = np.sqrt((level**2).mean(axis=0))
    np.testing.assert_allclose(rms_map(maps), expected)
    offsets = rng.normal(size=(4, 1, 1))
    np.testing.assert_allclose(rms_map(maps + offsets), expected)
    order = rng.permutation(4)
    np.testing.assert_allclose(rms_map(maps[order]), expected)


def test_rms_leaves_out_what_was_not_measured():
    maps = np.random.default_rng(0).normal(size=(3, 4, 4))
    maps[1] = np.nan
    np.testing.assert_allclose(rms_map(maps), rms_map(maps[[0, 2]]))
    maps[:, 2, 3] = np.nan
    missing = np.isnan(rms_map(maps))
    assert missing[2, 3]
    assert missing.sum() == 1


def test_blobs_are_found_where_they_are():
    rng = np.random.default_rng(1)
    truth = scattered(rng)
    found = find_blobs_log(
        stack_of(truth, rng), sigma_px=1.4, threshold=5.0, max_peaks=5
    )
    score = score_positions(found.positions, truth, tolerance=1.0)
    assert score.jaccard == 1
    assert score.rmse < 0.2


def test_polarity():
    rng = np.random.default_rng(2)
    truth = np.array([[10.0, 12.0]])
    hole = 1 - np.abs(stack_of(truth, rng, noise=0, voltages=1)) / 2
    waves = hole * np.where(np.indices((32, 32)).sum(axis=0) % 2, 1.0, -1.0)
    dark = find_blobs_log(waves, sigma_px=1.4, polarity="dark", max_peaks=1)
    bright = find_blobs_log(waves, sigma_px=1.4, max_peaks=1)
    np.testing.assert_allclose(dark.positions, truth, atol=0.3)
    assert np.hypot(*(bright.positions[0] - truth[0])) > 1.5


def test_the_response_does_not_depend_on_the_unit():
    rng = np.random.default_rng(3)
    maps = stack_of(scattered(rng), rng)
    one = find_blobs_log(maps, sigma_px=1.4, threshold=4.0)
    two = find_blobs_log(1e-9 * maps, sigma_px=1.4, threshold=4.0)
    np.testing.assert_allclose(one.positions, two.positions, atol=1e-6)
    np.testing.assert_allclose(one.scores, two.scores)


def test_a_missing_band_neither_hides_nor_makes_blobs():
    rng = np.random.default_rng(4)
    truth = np.array([[6.0, 8.0], [24.0, 20.0]])
    maps = 3.0 + stack_of(truth, rng)
    maps[:, 12:16] = np.nan
    found = find_blobs_log(maps, sigma_px=1.4, max_peaks=2)
    score = score_positions(found.positions, truth, tolerance=1.0)
    assert score.jaccard == 1


def test_constant_maps_hold_no_blob():
    assert len(find_blobs_log(np.ones((2, 9, 9)), sigma_px=1.0).scores) == 0


def test_tuning_finds_good_settings_for_maps_it_has_not_seen():
    rng = np.random.default_rng(5)
    truth = [scattered(rng) for _ in range(6)]
    maps = [stack_of(t, rng, noise=0.3) for t in truth]
    settings = tune_log(maps[:3], truth[:3], sigmas_px=LOG_SIGMAS_PX[1:5])
    test = reduce(
        add,
        (
            score_positions(
                find_blobs_log(
                    m,
                    sigma_px=settings.sigma_px,
                    threshold=settings.threshold,
                ).positions,
                t,
                tolerance=1.0,
            )
            for m, t in zip(maps[3:], truth[3:], strict=True)
        ),
    )
    assert test.jaccard > 0.8
    assert settings.score.n_reference == 15


def test_the_tuned_score_is_that_of_the_settings():
    rng = np.random.default_rng(6)
    truth = scattered(rng)
    maps = stack_of(truth, rng, noise=0.6)
    settings = tune_log([maps], [truth], sigmas_px=[1.0, 1.4])
    found = find_blobs_log(
        maps, sigma_px=settings.sigma_px, threshold=settings.threshold
    )
    assert settings.score == score_positions(
        found.positions, truth, tolerance=1.0
    )


@pytest.mark.parametrize(
    "maps",
    [np.zeros((5, 5)), np.zeros((0, 5, 5)), np.full((2, 5, 5), np.nan)],
)
def test_bad_maps(maps):
    with pytest.raises(InputError, match="maps"):
        find_blobs_log(maps, sigma_px=1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma_px": 0.0}, "sigma_px"),
        ({"sigma_px": np.nan}, "sigma_px"),
        ({"sigma_px": 1.0, "polarity": "grey"}, "polarity"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError, match=words):
        find_blobs_log(np.zeros((1, 5, 5)), **options)


def test_bad_training_maps():
    maps = np.random.default_rng(0).normal(size=(2, 9, 9))
    with pytest.raises(InputError, match="lists of 1, 2"):
        tune_log([maps], [[[1, 1]], [[2, 2]]])
    with pytest.raises(InputError, match="no position"):
        tune_log([maps], [[]])
    with pytest.raises(InputError, match="No blob"):
        tune_log([np.ones((2, 9, 9))], [[[1, 1]]])
