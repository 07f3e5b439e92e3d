import numpy as np
import pytest

from stm_keras.analysis import ring_refit
from stm_keras.analysis.detections import Detections
from stm_keras.analysis.ring_refit import refit_rings
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

CONFIG = FriedelConfig(
    size_px=40, n_voltages=6, n_impurities=(4, 4), on_grid=False
)
OFF_PX = 0.2
"""How far off the network of these tests is, and says that it is."""


def field(eta=0.1, seed=1):
    rng = np.random.default_rng(seed)
    fields = simulate_friedel(CONFIG, rng, 1)
    maps = fields.maps[0]
    noise = eta * rng.standard_normal(maps.shape)
    found = detections(
        fields.positions[0] + OFF_PX * rng.standard_normal((4, 2))
    )
    return maps + noise, 2 * fields.wave_numbers[0], found, fields.positions[0]


def detections(positions, probability=0.9):
    n = len(positions)
    return Detections(
        np.asarray(positions, np.float64),
        np.full(n, probability),
        np.full((n, 2), OFF_PX),
        np.round(positions).astype(int),
    )


def rms(positions, truth):
    return np.sqrt(((positions - truth) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(4))
def test_in_white_noise_the_fit_places_better_and_says_so(seed):
    maps, ring, found, truth = field(seed=seed)
    fit = refit_rings(maps, ring, found)
    assert fit.believed
    assert fit.correlation < 0.08
    assert "move positions" in fit.verdict
    better = fit.detections
    np.testing.assert_array_equal(better.probabilities, found.probabilities)
    assert rms(better.positions, truth) < 0.5 * rms(found.positions, truth)
    assert (better.deviations < 0.6 * OFF_PX).all()
    z = (better.positions - truth) / better.deviations
    assert np.abs(z).max() < 5


def test_unmeasured_pixels_and_maps_of_unknown_rings_are_left_out():
    maps, ring, found, truth = field()
    maps[:, 10:14] = np.nan
    maps[0] = np.nan
    ring[1] = 0
    maps[1] += 100 * np.eye(40)
    fit = refit_rings(maps, ring, found)
    assert fit.believed
    assert rms(fit.detections.positions, truth) < rms(found.positions, truth)


def test_cores_that_no_ring_explains_make_it_unbelievable():
    maps, ring, found, truth = field()
    row, col = np.indices((40, 40))
    for y, x in truth:
        maps += 2 * np.exp(-((row - y) ** 2 + (col - x) ** 2) / 6)
    fit = refit_rings(maps, ring, found)
    assert not fit.believed
    assert fit.correlation > 0.08
    assert "count for nothing" in fit.verdict
    assert fit.detections is found


def test_what_is_hopeless_is_not_refined(monkeypatch):
    maps, ring, found, _ = field()
    refined = []
    monkeypatch.setattr(
        ring_refit.RingFit, "refine", lambda *given: refined.append(given)
    )
    refit_rings(maps, ring, found)
    assert refined
    refined.clear()
    wave = 3 * np.sin(np.arange(40) / 3)
    fit = refit_rings(maps + wave, ring, found)
    assert not fit.believed
    assert fit.correlation > ring_refit.HOPELESS
    assert not refined


def test_a_slow_background_makes_it_unbelievable():
    maps, ring, found, _ = field()
    wave = np.sin(np.arange(40) / 8)
    assert not refit_rings(maps + wave, ring, found).believed


@pytest.mark.parametrize("why", ["no ring", "nothing found", "unsure", "large"])
def test_nothing_to_fit(why, monkeypatch):
    maps, ring, found, _ = field()
    if why == "no ring":
        ring = np.array([0, np.nan] * 3)
    elif why == "nothing found":
        found = detections(np.zeros((0, 2)))
    elif why == "unsure":
        found = detections(found.positions, 0.01)
    else:
        monkeypatch.setattr(ring_refit, "MOST_NUMBERS", 1000)
    fit = refit_rings(maps, ring, found)
    assert fit.detections is found
    assert not fit.believed
    assert np.isnan(fit.correlation)
    assert fit.verdict == "no rings were fitted to the maps"


def test_two_that_the_fit_moves_onto_each_other_become_one():
    maps, ring, found, truth = field(eta=0.02)
    twice = np.concatenate([found.positions, truth[:1] + (0.8, 0.8)])
    fit = refit_rings(maps, ring, detections(twice))
    kept = fit.detections.positions
    apart = np.linalg.norm(kept[:, None] - kept, axis=-1)
    assert apart[~np.eye(len(kept), dtype=bool)].min() >= 1


def test_unsure_detections_stay_as_they_are():
    maps, ring, found, _ = field()
    unsure = np.array([[5.0, 33.0]])
    both = Detections(
        np.concatenate([found.positions, unsure]),
        np.append(found.probabilities, 0.03),
        np.concatenate([found.deviations, [[OFF_PX, OFF_PX]]]),
        np.concatenate([found.pixels, unsure.astype(int)]),
    )
    after = refit_rings(maps, ring, both).detections
    np.testing.assert_array_equal(after.positions[-1], unsure[0])
    assert after.probabilities[-1] == 0.03
