import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.simulation.surrogates import phase_surrogate


def rings(shape=(40, 50)):
    row, col = np.indices(shape)
    r = np.hypot(row - 14, col - 22)
    return np.stack([5 + np.cos(k * r) / (r + 1) for k in (1.2, 1.5)])


def test_spectra_stay_and_the_centre_goes():
    maps = rings()
    surrogate = phase_surrogate(maps, np.random.default_rng(0))
    assert surrogate.dtype == np.float32
    for before, after in zip(maps, surrogate, strict=True):
        power = [np.abs(np.fft.rfft2(m))[1:, 1:24] for m in (before, after)]
        np.testing.assert_allclose(power[1], power[0], rtol=0.02, atol=0.05)
    assert np.abs(surrogate[:, 14, 22] - 5).max() < 0.5
    np.testing.assert_allclose(surrogate.mean((1, 2)), maps.mean((1, 2)), 1e-4)


def test_maps_keep_what_they_share():
    maps = rings()
    maps[1] = 2 * maps[0]
    surrogate = phase_surrogate(maps, np.random.default_rng(0))
    np.testing.assert_allclose(surrogate[1], 2 * surrogate[0], rtol=1e-3)


def test_what_was_not_measured_stays_so():
    maps = rings()
    maps[:, 5:8] = np.nan
    surrogate = phase_surrogate(maps, np.random.default_rng(0))
    np.testing.assert_array_equal(np.isnan(surrogate), np.isnan(maps))


def test_what_is_left_out_is_not_in_the_spectrum():
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(2, 40, 50))
    strong = np.zeros((40, 50), bool)
    strong[10:13, 20:23] = True
    maps[:, strong] += 100
    surrogate = phase_surrogate(maps, np.random.default_rng(0), strong)
    assert surrogate.std() == pytest.approx(1, abs=0.1)
    assert phase_surrogate(maps, np.random.default_rng(0)).std() > 5
    # Of a map that has nothing else, it is all there is.
    maps[1, ~strong] = np.nan
    both = phase_surrogate(maps, np.random.default_rng(0), strong)
    assert np.isfinite(both[1, strong]).all()


@pytest.mark.parametrize("maps", [np.zeros((4, 4)), np.full((1, 4, 4), np.nan)])
def test_bad_input(maps):
    with pytest.raises(InputError, match="Surrogates need"):
        phase_surrogate(maps, np.random.default_rng(0))
