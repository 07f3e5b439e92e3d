import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from stm_keras.analysis.peaks import find_peaks
from stm_keras.studies.baselines.matched_filter import ring_energy
from stm_keras.studies.paper.experiments import surrogate
from stm_keras.studies.paper.scores import (
    chance_hit_ratio,
    entropy,
    field_threshold,
    frame_counts,
    read_signs,
    score_in_paper_tiles,
    score_layers,
)


def test_a_perfect_layer_scores_one(draw, perfect):
    scores = score_layers([perfect], [draw], threshold=3.0)
    for name in ("hit_ratio", "jaccard", "jaccard_all", "jaccard_top"):
        assert scores[f"{name}_truth"] == 1.0, name
        assert scores[f"{name}_em"] == 1.0, name
    assert scores["n_found"] == scores["n_maxima"] == 5


def test_the_papers_score_does_not_see_false_maxima(draw, perfect):
    """A maximum on every second pixel: hits rise, the Jaccard index falls."""
    crowded = perfect.copy()
    crowded[::2, ::2] += 0.1
    scores = score_layers([crowded], [draw], threshold=-math.inf)
    assert scores["hit_ratio_truth"] == 1.0
    assert scores["jaccard_all_truth"] < 0.01
    assert scores["precision_truth"] < 0.01
    # The highest are still the right ones.
    assert scores["jaccard_top_truth"] == 1.0


def test_a_layer_that_is_flat_finds_nothing(draw):
    scores = score_layers([np.zeros((80, 80))], [draw], threshold=3.0)
    assert scores["hit_ratio_truth"] == scores["n_maxima"] == 0
    assert scores["chance"] == 0


def test_frames_are_pooled(draw, perfect):
    empty = np.zeros((80, 80))
    scores = score_layers([perfect, empty], [draw, draw], threshold=3.0)
    assert scores["hit_ratio_truth"] == scores["recall_truth"] == 0.5
    assert scores["precision_truth"] == 1.0


def test_counts_of_a_frame_give_the_same_ratio(draw, perfect):
    counts = frame_counts(perfect, draw, threshold=3.0)
    assert counts["hits_truth"] == counts["points_truth"] == 5
    assert counts["pairs_em"] == counts["found"] == 5
    assert counts["found_on_decoys"] == 0


def test_chance_of_every_second_pixel_is_pi_over_four():
    assert chance_hit_ratio(1600, (80, 80)) == pytest.approx(math.pi / 4)


@given(seed=st.integers(0, 2**31), width=st.floats(0.1, 2.0))
def test_chance_is_what_points_thrown_at_random_hit(seed, width):
    rng = np.random.default_rng(seed)
    layer = gaussian_filter(rng.standard_normal((60, 60)), width)
    maxima = find_peaks(layer, refine=False).positions
    # Away from the edge, which cuts discs.
    points = rng.uniform(4, 55, (4000, 2))
    gaps = KDTree(maxima).query(points)[0]
    inside = np.all((maxima > 3.5) & (maxima < 55.5), axis=1).sum()
    assert chance_hit_ratio(inside, (52, 52)) == pytest.approx(
        (gaps < 1).mean(), abs=0.06
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
