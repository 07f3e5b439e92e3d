import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import Drift, TipBlur


def waves(n_maps, wave_number=1.2, size=48):
    row, col = np.mgrid[:size, :size]
    phase = np.linspace(0, 2, n_maps)[:, None, None]
    wave = np.cos(wave_number * col + phase) + np.sin(wave_number * row)
    return wave.astype(np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
def test_blur_damps_a_wave_by_the_gaussian_of_its_wave_number(sigma):
    maps = waves(2)
    blur = TipBlur(sigma_px=(sigma, sigma), anisotropy=(1, 1))
    inside = np.s_[:, 8:-8, 8:-8]
    damped = np.exp(-((1.2 * sigma) ** 2) / 2) * maps
    np.testing.assert_allclose(
        blur(maps, rng())[inside], damped[inside], atol=0.01
    )


def test_an_anisotropic_tip_blurs_a_point_into_an_ellipse():
    point = np.zeros((1, 61, 61), np.float32)
    point[0, 30, 30] = 1
    blur = TipBlur(sigma_px=(1.5, 1.5), anisotropy=(2, 2))
    spot = blur(point, rng(), scale=1.0)[0].astype(float)
    row, col = np.mgrid[:61, :61] - 30.0
    rc = (spot * row * col).sum()
    moments = [[(spot * row**2).sum(), rc], [rc, (spot * col**2).sum()]]
    widths = np.sqrt(np.linalg.eigvalsh(moments))
    np.testing.assert_allclose(widths, [1.5, 3.0], rtol=0.02)
    assert spot.sum() == pytest.approx(1, abs=1e-3)


def test_no_blur_changes_nothing():
    blur = TipBlur(sigma_px=(0, 0), anisotropy=(1, 1))
    np.testing.assert_allclose(blur(waves(2), rng()), waves(2), atol=1e-5)


@pytest.mark.parametrize("n_maps", [2, 5, 126])
def test_the_path_has_the_asked_extent_and_no_mean(n_maps):
    path = Drift(extent_px=(0.7, 0.7)).path(n_maps, rng())
    apart = np.linalg.norm(path[:, None] - path, axis=-1).max()
    assert apart == pytest.approx(0.7)
    np.testing.assert_allclose(path.mean(axis=0), 0, atol=1e-7)


def test_the_path_is_smooth():
    path = Drift(extent_px=(1, 1)).path(126, rng())
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 0.1


def test_a_single_map_does_not_drift():
    np.testing.assert_array_equal(Drift().path(1, rng()), np.zeros((1, 2)))


def correlation_peak(image, reference):
    """Shift of an image against another, by the phase of its spectrum."""
    cross = np.fft.fft2(image) * np.conj(np.fft.fft2(reference))
    n = len(image)
    frequency = np.fft.fftfreq(n) * 2 * np.pi
    strong = (np.abs(frequency) < 0.8) & (frequency != 0)
    row = cross[strong][:, strong]
    design = np.stack(np.meshgrid(frequency[strong], frequency[strong])[::-1])
    weight = np.sqrt(np.abs(row)).ravel()
    phase = -np.angle(row).ravel()
    lhs = design.reshape(2, -1).T * weight[:, None]
    return np.linalg.lstsq(lhs, phase * weight, rcond=None)[0]


def test_cross_correlation_recovers_the_path():
    size = 64
    row, col = np.mgrid[:size, :size]
    window = np.hanning(size)[:, None] * np.hanning(size)
    image = np.zeros((size, size))
    for y, x, k in rng(3).uniform((16, 16, 0.4), (48, 48, 1.0), (15, 3)):
        image += np.cos(k * np.hypot(row - y, col - x))
    maps = np.repeat((image * window)[None], 9, axis=0).astype(np.float32)
    path = Drift(extent_px=(1, 1)).path(9, rng())
    moved = Drift.displace(maps, path)
    measured = [correlation_peak(m, maps[0]) for m in moved]
    np.testing.assert_allclose(measured, path, atol=0.02)


def test_a_call_displaces_along_the_path_of_the_same_seed():
    drift, maps = Drift(extent_px=(0.5, 0.5)), waves(4)
    expected = drift.displace(maps, drift.path(4, rng(5)))
    np.testing.assert_array_equal(drift(maps, rng(5)), expected)


@pytest.mark.parametrize(
    "maps",
    [np.zeros((4, 4)), np.full((1, 4, 4), np.nan), np.zeros((0, 4, 4))],
)
def test_other_than_a_finite_stack_is_refused(maps):
    with pytest.raises(InputError, match=r"\[V, H, W\]"):
        Drift()(maps, rng())
