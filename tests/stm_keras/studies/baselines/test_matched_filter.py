import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.studies.baselines.matched_filter import (
    find_rings,
    ring_energy,
)

K = np.linspace(0.66, 0.89, 5)
SHAPE = (48, 48)


def rings(positions, rng, noise=0.0):
    """Waves of random phase around positions, [V, H, W]."""
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    maps = noise * rng.standard_normal((len(K), *SHAPE))
    for y, x in positions:
        r = np.hypot(row - y, col - x)
        phase = rng.uniform(0, 2 * np.pi, len(K))[:, None, None]
        maps += np.cos(2 * K[:, None, None] * r + phase) / (r + 1)
    return maps


@pytest.mark.parametrize("seed", range(5))
def test_a_ring_is_found_whatever_its_phase(seed):
    rng = np.random.default_rng(seed)
    where = rng.uniform(8, 40, 2)
    maps = rings([where], rng)
    found = find_rings(maps, K, radius_px=9.0, max_peaks=1)
    np.testing.assert_allclose(found.positions, [where], atol=0.2)
    whole = find_rings(maps, K, radius_px=9.0, max_peaks=1, refine=False)
    np.testing.assert_array_equal(whole.positions, [where.round()])


def test_the_energy_does_not_depend_on_the_phase():
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r = np.hypot(row - 24, col - 24)
    energies = [
        ring_energy(
            [np.cos(2 * K[0] * r + phase) / np.maximum(r, 1.0)],
            K[:1],
            radius_px=12.0,
        )[24, 24]
        for phase in (0.0, 0.7, np.pi / 2, 3.0)
    ]
    # One quadrature alone would fall to nothing at some phase.
    assert max(energies) < 1.6 * min(energies)


def test_energies_of_the_voltages_add_up():
    maps = rings([(20, 24)], np.random.default_rng(0), noise=0.1)
    whole = ring_energy(maps, K, radius_px=6.0)
    parts = [
        ring_energy(maps[i : i + 1], K[i : i + 1], radius_px=6.0)
        for i in range(len(K))
    ]
    np.testing.assert_allclose(whole, np.sum(parts, axis=0), rtol=1e-9)


def test_unit_and_offset_do_not_count():
    maps = rings([(20, 24)], np.random.default_rng(0), noise=0.1)
    np.testing.assert_allclose(
        ring_energy(1e-12 * maps + 5e-12, K, radius_px=6.0),
        ring_energy(maps, K, radius_px=6.0),
        rtol=1e-4,
    )


def test_a_wrong_wave_number_answers_less():
    maps = rings([(24, 24)], np.random.default_rng(1))
    right = ring_energy(maps, K, radius_px=12.0)[24, 24]
    assert ring_energy(maps, 0.6 * K, radius_px=12.0)[24, 24] < 0.5 * right


def test_a_blob_without_waves_answers_less_than_a_ring_of_its_height():
    rng = np.random.default_rng(2)
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    blob = np.exp(-((row - 12) ** 2 + (col - 12) ** 2) / 2)
    maps = rings([(36, 36)], rng, noise=0.02) + blob
    energy = ring_energy(maps, K, radius_px=9.0)
    assert energy[36, 36] > 2 * energy[12, 12]


def test_missing_pixels_count_as_the_mean():
    maps = rings([(20, 24)], np.random.default_rng(0))
    maps[:, :6] = np.nan
    found = find_rings(maps, K, radius_px=6.0, max_peaks=1)
    np.testing.assert_allclose(found.positions, [[20, 24]], atol=1.0)


@pytest.mark.parametrize(
    ("maps", "k", "radius"),
    [
        (np.zeros((5, 8)), K, 6.0),
        (np.zeros((0, 8, 8)), K[:0], 6.0),
        (np.zeros((5, 8, 8)), K[:4], 6.0),
        (np.zeros((5, 8, 8)), -K, 6.0),
        (np.zeros((5, 8, 8)), K, 0.0),
        (np.zeros((5, 8, 8)), K, np.nan),
    ],
)
def test_bad_input_is_refused(maps, k, radius):
    with pytest.raises(InputError):
        ring_energy(maps, k, radius_px=radius)
