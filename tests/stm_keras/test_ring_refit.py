import numpy as np
import pytest

from stm_keras import ring_fit
from stm_keras.detections import match
from stm_keras.nn.decoding import Candidates
from stm_keras.ring_fit import LEAST_PROBABILITY, refit_rings
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
    return Candidates(
        np.asarray(positions, np.float64),
        np.full(n, probability),
        np.full((n, 2), OFF_PX),
        np.round(positions).astype(int),
    )


NOTHING = detections(np.zeros((0, 2)))


def sure(found):
    """Positions that are likelier true than not."""
    return found.positions[found.probabilities > 0.5]


def rms(positions, truth):
    """Of the pairs, and nothing may be left over."""
    pairs, gaps = match(positions, truth, 1.0)
    assert len(pairs) == len(positions) == len(truth)
    return np.sqrt((gaps**2).mean())


@pytest.mark.parametrize("seed", range(4))
def test_in_white_noise_the_fit_places_better_and_says_so(seed):
    maps, ring, found, truth = field(seed=seed)
    fit = refit_rings(maps, ring, found)
    assert fit.believed
    assert fit.correlation < 0.08
    assert "count for positions and probabilities" in fit.verdict
    better = fit.detections
    assert (np.diff(better.probabilities) <= 0).all()
    assert better.probabilities.min() >= LEAST_PROBABILITY
    assert rms(sure(better), truth) < 0.5 * rms(found.positions, truth)
    pairs, _ = match(better.positions, truth, 1.0)
    first, second = pairs.T
    assert (better.deviations[first] < 0.6 * OFF_PX).all()
    error = better.positions[first] - truth[second]
    assert np.abs(error / better.deviations[first]).max() < 5
    np.testing.assert_array_equal(
        better.pixels, np.round(better.positions).astype(int)
    )


@pytest.mark.parametrize("missed", [2, 4])
def test_what_the_network_missed_is_found(missed):
    maps, ring, found, truth = field(eta=0.3)
    few = Candidates(*(part[missed:] for part in found))
    after = refit_rings(maps, ring, few)
    assert after.believed
    assert rms(after.detections.positions[:4], truth) < 0.3
    assert (after.detections.probabilities[:4] > 0.3).all()


def test_what_no_ring_supports_is_doubted():
    maps, ring, found, _ = field()
    wrong = np.concatenate([found.positions, [[5.0, 33.0]]])
    after = refit_rings(maps, ring, detections(wrong, 0.6)).detections
    gaps = np.linalg.norm(after.positions - (5, 33), axis=1)
    assert (after.probabilities[gaps < 1] < 0.4).all()


def test_noise_alone_has_no_impurity():
    rng = np.random.default_rng(7)
    for _ in range(5):
        maps = rng.standard_normal((6, 40, 40))
        after = refit_rings(maps, np.full(6, 1.5), NOTHING)
        assert after.believed
        assert not len(sure(after.detections))


def test_impurities_beyond_the_border_are_not_taken_for_others():
    maps, ring, _, truth = field(eta=0.05, seed=2)
    inner = np.flatnonzero(((truth > 6) & (truth < 33)).all(axis=1))
    assert len(inner)
    row = int(truth[inner[0], 0]) + 3  # the first lies 2 px above the frame
    cut = maps[:, row:]
    inside = truth[truth[:, 0] > row - 0.5] - (row, 0)
    after = refit_rings(cut, ring, detections(inside)).detections
    assert (after.positions[:, 0] > -0.5).all()
    pairs, _ = match(sure(after), inside, 1.0)
    assert len(pairs) == len(inside) == len(sure(after))


def test_unmeasured_pixels_and_maps_of_unknown_rings_are_left_out():
    maps, ring, found, truth = field()
    maps[:, 10:14] = np.nan
    maps[0] = np.nan
    ring[1] = 0
    maps[1] += 100 * np.eye(40)
    fit = refit_rings(maps, ring, found)
    assert fit.believed
    gaps = match(fit.detections.positions, truth, 1.0).distances
    assert np.sqrt((gaps**2).mean()) < rms(found.positions, truth)


def test_where_nothing_was_measured_nothing_is_found():
    maps, ring, found, truth = field()
    hidden = np.abs(truth[:, 0] - truth[0, 0]) < 3
    row = int(truth[0, 0])
    maps[:, max(row - 2, 0) : row + 4] = np.nan
    seen = Candidates(*(part[~hidden] for part in found))
    fit = refit_rings(maps, ring, seen)
    assert fit.believed
    assert np.isfinite(maps[0][tuple(fit.detections.pixels.T)]).all()
    pairs, _ = match(sure(fit.detections), truth[~hidden], 1.0)
    assert len(pairs) == (~hidden).sum()


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


def test_cores_under_noise_are_seen_where_there_are_many_pixels():
    rng = np.random.default_rng(3)
    ring = np.full(12, 1.5)
    row, col = np.indices((60, 60))
    maps = rng.standard_normal((12, 60, 60))
    for y, x in ((30, 20), (50, 50), (10, 45)):
        maps += 1.5 * np.exp(-((row - y) ** 2 + (col - x) ** 2) / 18)
    whole = refit_rings(maps, ring, NOTHING)
    assert whole.correlation < 0.08
    assert not whole.believed
    part = refit_rings(maps[:1, 10:50, :36], ring[:1], NOTHING)
    assert part.believed


def test_what_is_hopeless_is_not_refined(monkeypatch):
    maps, ring, found, _ = field()
    refined = []
    monkeypatch.setattr(
        ring_fit.RingFit, "refine", lambda *given: refined.append(given)
    )
    refit_rings(maps, ring, found)
    assert refined
    refined.clear()
    wave = 3 * np.sin(np.arange(40) / 3)
    fit = refit_rings(maps + wave, ring, found)
    assert not fit.believed
    assert fit.correlation > ring_fit.HOPELESS
    assert not refined


@pytest.mark.parametrize("seen", ["all", "none"])
def test_a_slow_background_makes_it_unbelievable(seen):
    maps, ring, found, _ = field()
    wave = np.sin(np.arange(40) / 8)
    given = found if seen == "all" else NOTHING
    assert not refit_rings(maps + wave, ring, given).believed


@pytest.mark.parametrize("why", ["no ring", "large", "constant"])
def test_nothing_to_fit(why, monkeypatch):
    maps, ring, found, _ = field()
    if why == "no ring":
        ring = np.array([0, np.nan] * 3)
    elif why == "constant":
        maps = np.ones_like(maps)
    else:
        monkeypatch.setattr(ring_fit, "MOST_NUMBERS", 1000)
    fit = refit_rings(maps, ring, found)
    assert fit.detections is found
    assert not fit.believed
    assert np.isnan(fit.correlation)
    assert fit.verdict == "no rings were fitted to the maps"


def test_no_two_lie_on_each_other():
    maps, ring, found, truth = field(eta=0.02)
    twice = np.concatenate([found.positions, truth[:1] + (0.8, 0.8)])
    kept = refit_rings(maps, ring, detections(twice)).detections.positions
    apart = np.linalg.norm(kept[:, None] - kept, axis=-1)
    assert apart[~np.eye(len(kept), dtype=bool)].min() >= 1
