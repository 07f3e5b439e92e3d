import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

from stm_keras.analysis.peaks import find_peaks
from stm_keras.reproduction.epoch_scores import (
    chance_hit_ratio,
    frame_counts,
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
