import numpy as np
import pytest

from stm_keras.analysis.matched_filter import ring_energy
from stm_keras.reproduction.experiments import surrogate
from stm_keras.reproduction.signs import (
    entropy,
    field_threshold,
    read_signs,
    score_in_paper_tiles,
)

K = {v: np.linspace(0.66, 0.89, 4)[s] for v, s in (
    (4, slice(None)), (2, slice(0, None, 2)),
)}  # fmt: skip


def rings(tiles):
    """A finder of rings in place of a network, [n, V, L, L] to [n, L, L]."""
    k = K[tiles.shape[1]]
    return np.stack([ring_energy(t, k, radius_px=8.0) for t in tiles]) / 50


def noise(tiles):
    """One that pays no attention to what it is given."""
    seed = int(np.abs(tiles).sum() * 1e3) % 2**32
    shape = (len(tiles), *tiles.shape[2:])
    return np.random.default_rng(seed).standard_normal(shape)


def signs_of(draw, score):
    fake = surrogate(draw.maps, np.random.default_rng(0))
    layer = score_in_paper_tiles(draw.maps, score)
    return read_signs([layer], [draw.maps], [fake], score, threshold=3.0)


def test_a_finder_that_sees_rings_is_stable_and_finds_few_in_surrogates(draw):
    seeing, blind = signs_of(draw, rings), signs_of(draw, noise)
    assert seeing.stable_voltages > 0.5 > blind.stable_voltages
    assert seeing.stable_tiling > blind.stable_tiling
    assert seeing.false_share < 0.5 < blind.false_share


def test_entropy_of_a_flat_layer_is_that_of_all_pixels():
    assert entropy([np.zeros((80, 80))]) == pytest.approx(np.log(400))


def test_entropy_of_one_sharp_pixel_a_tile_is_nothing():
    layer = np.zeros((80, 80))
    layer[10::20, 10::20] = 1e4
    assert entropy([layer]) == pytest.approx(0.0, abs=1e-9)


def test_the_threshold_parts_signal_from_background():
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 0.1, (30, 20, 20))
    truth = [rng.integers(2, 18, (2, 2)).astype(float) for _ in range(30)]
    for layer, points in zip(scores, truth, strict=True):
        layer[tuple(points.astype(int).T)] = 3.0
    # Noise reaches 0.4 of 3: between them, in the spread of S (0.24).
    assert 1.0 < field_threshold(scores, truth) < 12.5


def test_without_a_maximum_nothing_is_a_detection():
    flat = np.zeros((2, 20, 20))
    assert field_threshold(flat, [np.zeros((1, 2))] * 2) == np.inf
