"""The ring finder, on waves, on noise, and on real scans."""

from pathlib import Path

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import level_lines, level_plane
from stm_keras.qpi.ring import MIN_CONTRAST, MIN_PROMINENCE, measure_ring

_SCANS = Path(__file__).resolve().parents[4] / "shared" / "data" / "cu111_co"


def _waves(n, q, rng, noise=0.5):
    """Standing waves [n, n] of q rad/px around random points, with noise."""
    rows, cols = np.indices((n, n))
    image = np.zeros((n, n))
    for row, col in rng.uniform(0, n, (n * n // 300, 2)):
        distance = np.hypot(rows - row, cols - col)
        phase = rng.uniform(0, 2 * np.pi)
        image += np.cos(q * distance + phase) / (distance + 2)
    return image / image.std() + noise * rng.normal(size=(n, n))


def _coloured(n, exponent, rng):
    """Noise [n, n] whose power falls as 1 / q^exponent."""
    spectrum = np.fft.rfft2(rng.normal(size=(2 * n, 2 * n)))
    q = np.hypot(np.fft.fftfreq(2 * n)[:, None], np.fft.rfftfreq(2 * n))
    q[0, 0] = np.inf if exponent else 1
    # Cut from a larger field, so that the frame's edges do not fit together.
    return np.fft.irfft2(spectrum * q ** (-exponent / 2))[:n, :n]


@pytest.mark.parametrize("n", [64, 96])
@pytest.mark.parametrize("q", [0.9, 1.3, 1.8, 2.3])
def test_waves_are_found_in_any_unit_of_length(n, q):
    rng = np.random.default_rng(int(100 * q) + n)
    step = 2 * np.pi / n  # of the transform [rad/px]
    for pixel_nm in (1.0, 0.37):
        ring = measure_ring(_waves(n, q, rng) * 1e-12, pixel_nm)
        assert ring is not None
        assert ring.q_per_nm * pixel_nm == pytest.approx(q, abs=step / 2)
        assert ring.prominence >= MIN_PROMINENCE
        assert ring.contrast >= MIN_CONTRAST


def test_pixels_and_frame_need_not_be_square():
    rng = np.random.default_rng(4)
    image = _waves(128, 1.2, rng)[:96:2]  # rows of twice the height
    ring = measure_ring(image, (2.0, 1.0))
    assert ring is not None
    assert ring.q_per_nm == pytest.approx(1.2, rel=0.03)


def test_the_radius_is_unbiased():
    rng = np.random.default_rng(8)
    rings = [measure_ring(_waves(64, 1.5, rng), 1.0) for _ in range(20)]
    found = np.array([ring.q_per_nm for ring in rings if ring is not None])
    assert found.size >= 18
    assert found.mean() == pytest.approx(1.5, rel=0.01)


def test_more_noise_is_less_certain():
    images = [
        _waves(80, 1.4, np.random.default_rng(0), noise) for noise in (0.2, 2.0)
    ]
    clear, faint = (measure_ring(image, 1.0) for image in images)
    assert clear is not None
    assert faint is None or faint.prominence < clear.prominence


def test_an_unmeasured_band_does_not_hide_or_move_the_ring():
    image = _waves(96, 1.5, np.random.default_rng(1))
    image[40:52] = np.nan
    ring = measure_ring(image, 1.0)
    assert ring is not None
    assert ring.q_per_nm == pytest.approx(1.5, rel=0.03)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_noise_has_no_ring(exponent):
    rng = np.random.default_rng(exponent)
    found = [measure_ring(_coloured(64, exponent, rng), 1.0) for _ in range(30)]
    assert sum(ring is not None for ring in found) <= 1


def test_line_offsets_and_tilt_are_no_ring():
    rng = np.random.default_rng(3)
    tilt = np.add.outer(np.arange(64), np.arange(64)) / 20
    found = [
        measure_ring(
            rng.normal(size=(64, 64)) + 2 * rng.normal(size=(64, 1)) + tilt, 1.0
        )
        for _ in range(20)
    ]
    assert sum(ring is not None for ring in found) <= 1


def test_a_lattice_is_no_ring():
    rng = np.random.default_rng(6)
    rows, cols = np.indices((96, 96))
    image = np.cos(1.3 * rows) + np.cos(1.3 * cols)
    image += 0.3 * rng.normal(size=image.shape)
    assert measure_ring(image, 1.0) is None


def test_what_is_too_small_or_flat_has_none():
    assert measure_ring(np.random.default_rng(0).normal(size=(8, 8)), 1) is None
    assert measure_ring(np.ones((64, 64)), 1.0) is None
    assert (
        measure_ring(np.random.default_rng(0).normal(size=(16, 16)), 1) is None
    )


@pytest.mark.parametrize(
    ("image", "pixel_nm", "message"),
    [
        (np.ones((2, 40, 40)), 1.0, r"one map \[H, W\]"),
        (np.full((40, 40), np.nan), 1.0, "measured pixels"),
        (np.eye(40), 0.0, "positive"),
        (np.eye(40), (1.0, np.nan), "positive"),
    ],
)
def test_bad_input(image, pixel_nm, message):
    with pytest.raises(InputError, match=message):
        measure_ring(image, pixel_nm)


@pytest.mark.parametrize("name", ["Topo015.sxm", "Topo102.sxm"])
@pytest.mark.parametrize("levelled", [True, False])
def test_real_ring(name, levelled):
    path = _SCANS / name
    if not path.exists():
        pytest.skip(f"the real file ../shared/data/cu111_co/{name} is not here")
    maps = read_maps(path, channel="Z")
    if levelled:
        maps = level_lines(level_plane(maps))
    ring = measure_ring(maps.data[0], maps.pixel_nm)
    assert ring is not None
    # 2 k(10 mV) of Cu(111).
    assert ring.q_per_nm == pytest.approx(4.29, rel=0.03)
