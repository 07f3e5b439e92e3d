import numpy as np

from stm_keras.preprocessing.merged import MOST_MAPS, merged_biases

N = 4 * MOST_MAPS


def stack(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 5, 6)).astype(np.float32)


def test_few_stay_as_they_are():
    maps, ring = stack(MOST_MAPS), np.linspace(1, 2, MOST_MAPS)
    same, same_ring = merged_biases(maps, ring)
    assert same is maps
    assert same_ring is ring


def test_neighbours_are_averaged_whatever_their_unit_and_order():
    rng = np.random.default_rng(1)
    common = stack(MOST_MAPS)
    common -= common.mean(axis=(1, 2), keepdims=True)
    common /= common.std(axis=(1, 2), keepdims=True)
    ring = np.linspace(1.0, 2.0, N)
    gain, offset = rng.uniform(1e-12, 1e3, N), rng.normal(size=N)
    maps = np.repeat(common, 4, axis=0)
    maps = gain[:, None, None] * (maps + offset[:, None, None])
    order = rng.permutation(N)
    means, mean_ring = merged_biases(
        maps[order].astype(np.float32), ring[order]
    )
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, common, atol=1e-4)
    np.testing.assert_allclose(mean_ring, ring.reshape(-1, 4).mean(axis=1))


def test_unmeasured_pixels_and_constant_maps():
    maps = stack(N)
    maps[1:4] = 0.1
    maps[:, 0, 0] = np.nan  # in none
    maps[0, 2, 2] = np.nan  # in one
    means, _ = merged_biases(maps, np.linspace(1.0, 2.0, N))
    assert np.isnan(means[:, 0, 0]).all()
    assert np.isfinite(means[:, 1:]).all()
    level = maps[0] - np.nanmean(maps[0])
    np.testing.assert_allclose(
        means[0, 1], level[1] / np.nanstd(maps[0]) / 4, rtol=1e-4
    )


def test_unknown_rings_stay_unknown_and_by_themselves():
    ring = np.linspace(1.0, 2.0, N)
    ring[:6] = 0.0
    ring[6] = np.nan
    _, mean_ring = merged_biases(stack(N), ring)
    assert len(mean_ring) == MOST_MAPS
    assert (mean_ring == 0).sum() == 2
    assert mean_ring[mean_ring > 0].min() >= ring[7]
    assert (merged_biases(stack(N), np.zeros(N))[1] == 0).all()
