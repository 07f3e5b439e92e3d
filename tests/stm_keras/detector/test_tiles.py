import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stm_keras.detector.tiles import (
    Tiling,
    cut_tiles,
    largest_tiles,
    score_in_tiles,
)
from stm_keras.errors import InputError


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 20),
    st.integers(0, 19),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_tiles_cover_everything(size, overlap, height, width):
    tiling = Tiling(size, min(overlap, size - 1))
    covered = np.zeros((height, width), int)
    corners = list(tiling.corners(height, width))
    assert len(set(corners)) == len(corners)
    for row, col in corners:
        assert 0 <= row <= max(height - size, 0)
        assert 0 <= col <= max(width - size, 0)
        covered[row : row + size, col : col + size] += 1
    assert covered.min() >= 1


def test_the_papers_tiling():
    maps = np.arange(2 * 80 * 80, dtype=np.float32).reshape(2, 80, 80)
    tiles = cut_tiles(maps, Tiling(20))
    assert tiles.shape == (16, 2, 20, 20)
    np.testing.assert_array_equal(tiles[5], maps[:, 20:40, 20:40])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(5, 40), st.integers(5, 40))
def test_a_pointwise_network_knows_no_tiles(seed, height, width):
    maps = np.random.default_rng(seed).normal(size=(2, height, width))
    for tiling in (Tiling(9, 4), Tiling(9)):
        score = score_in_tiles(
            maps, lambda t: t.sum(axis=1) ** 2, tiling, batch_size=3
        )
        np.testing.assert_allclose(score, maps.sum(0) ** 2, rtol=1e-5)


@settings(deadline=None, max_examples=100)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 40),
    st.integers(60 * 60, 120 * 120),
)
def test_largest_tiles_keep_to_the_memory_and_cost_no_more(
    shape, overlap, most_px
):
    tiling = largest_tiles(shape, overlap, most_px)
    assert tiling.overlap_px == overlap
    tiles = cut_tiles(np.zeros((1, *shape)), tiling)
    assert tiles[0, 0].size <= most_px
    assert tiling.work(*shape) == tiles[:, 0].size
    square = Tiling(math.isqrt(most_px), overlap)
    assert tiling.work(*shape) <= square.work(*shape)
    if shape[0] * shape[1] <= most_px:
        assert tiles.shape == (1, 1, *shape)


def test_a_square_of_four_tiles_shares_no_more_than_it_must():
    tiling = largest_tiles((512, 512), 96, 310**2)
    assert tiling == Tiling(304, 96)
    assert tiling.starts(512) == [0, 208]


def test_no_seam_where_tiles_share_three_times_the_networks_reach():
    """A filter of reach 2 sees zeros beyond a tile, as convolutions do."""
    maps = np.random.default_rng(0).normal(size=(1, 70, 50)) + 3

    def network(tiles):
        return np.stack(
            [
                ndimage.uniform_filter(tile[0], 5, mode="constant")
                for tile in tiles
            ]
        )

    whole = network(maps[None])[0]
    score = score_in_tiles(maps, network, Tiling(24, 6), batch_size=4)
    np.testing.assert_allclose(score, whole, atol=1e-4)
    # The same without a shared border shows the seams.
    seams = score_in_tiles(maps, network, Tiling(24), batch_size=4)
    assert np.abs(seams - whole).max() > 0.5


def test_progress_is_told():
    told = []
    score_in_tiles(
        np.zeros((1, 30, 30)),
        lambda t: t[:, 0],
        Tiling(10),
        batch_size=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(4, 9), (8, 9), (9, 9)]


def test_bad_overlap():
    with pytest.raises(InputError, match="overlap_px=10"):
        Tiling(10, 10)
