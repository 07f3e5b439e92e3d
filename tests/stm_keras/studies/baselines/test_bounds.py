import numpy as np
import pytest
from scipy.optimize import least_squares

from stm_keras.errors import InputError
from stm_keras.ring_model import (
    EQ3,
    SCATTERING,
    RingTemplate,
    fit_amplitudes,
    pixel_grid,
    position_slopes,
    rays,
    ring_columns,
)
from stm_keras.simulation.friedel import friedel_sum, normalise
from stm_keras.studies.baselines.bounds import (
    pooled_rmse,
    position_bound,
)

K = np.linspace(0.66, 0.89, 4)
SHAPE = (16, 16)
TWO = np.array([[4.3, 5.6], [10.8, 9.1]])


def strengths(n, seed=0, n_maps=4):
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n_maps, n))
    return rng.uniform(0.5, 1.5, (n_maps, n)) * np.exp(1j * phase)


def bound(positions, amplitudes, k=K, **options):
    settings = {"shape": SHAPE, "sigma": 0.2} | options
    return position_bound(positions, amplitudes, k, **settings)


def summed(positions, amplitudes, k=K, size=SHAPE[0]):
    """Eq. 3 as the simulation computes it, float64 [V, H, W]."""
    maps = friedel_sum(
        np.asarray(positions)[None],
        np.abs(amplitudes)[None],
        np.angle(amplitudes)[None],
        np.asarray(k)[None],
        size_px=size,
        eps_px=1.0,
    )
    return maps[0].astype(np.float64)


def most_likely(maps, start):
    """Least squares over positions, written without the library."""
    row, col = np.indices(maps.shape[1:])

    def residuals(flat):
        r = np.hypot(
            row - flat[::2, None, None], col - flat[1::2, None, None]
        ).reshape(len(flat) // 2, -1)
        left = []
        for k, image in zip(K, maps.reshape(len(maps), -1), strict=True):
            wave = np.exp(2j * k * r) / (r + 1) ** 2
            design = np.vstack([wave.real, wave.imag, np.ones_like(r[:1])]).T
            left.append(image - design @ np.linalg.lstsq(design, image)[0])
        return np.concatenate(left)

    return least_squares(residuals, start.ravel(), xtol=1e-4).x.reshape(-1, 2)


def test_fits_of_fresh_noise_scatter_as_the_bound_says():
    amplitudes, rng = strengths(2), np.random.default_rng(1)
    clean = summed(TWO, amplitudes)
    errors = [
        most_likely(clean + 0.05 * rng.standard_normal(clean.shape), TWO) - TWO
        for _ in range(30)
    ]
    measured = np.sqrt(np.square(errors).sum(axis=-1).mean())
    limit = pooled_rmse([bound(TWO, amplitudes, sigma=0.05)])
    # 120 numbers: the error of their spread is 6.5 %.
    assert measured == pytest.approx(limit, rel=0.2)


def test_the_suite_of_eq_3_fields_has_the_known_bound():
    """Impurities clear of each other and of the border, eta 0.2: 0.07 px."""
    rng, found = np.random.default_rng(0), []
    for _ in range(12):
        grid = rng.permutation(16)[: rng.integers(3, 9)]
        positions = np.stack(np.divmod(grid, 4), axis=1) * 7.0 + 3.0
        positions += rng.uniform(0, 4, positions.shape)
        k = rng.uniform(0.66, 0.89, 8)
        amplitudes = strengths(len(positions), rng.integers(1000), 8)
        maps = normalise(summed(positions, amplitudes, k, 32))
        seen = fit_amplitudes(maps, positions, k)
        found.append(
            position_bound(positions, seen, k, shape=(32, 32), sigma=0.2)
        )
    assert pooled_rmse(found) == pytest.approx(0.07, abs=0.015)


def test_amplitudes_of_normalised_maps_are_those_of_eq_3_scaled():
    amplitudes = strengths(2)
    maps = summed(TWO, amplitudes)
    scale = np.abs(maps - maps.mean((1, 2), keepdims=True)).max((1, 2))
    np.testing.assert_allclose(
        fit_amplitudes(normalise(maps), TWO, K),
        amplitudes / scale[:, None],
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    "envelope", [EQ3, SCATTERING, RingTemplate(1.5, 0.3, 2.0)]
)
def test_slopes_are_the_derivatives(envelope):
    pixels, amplitudes = pixel_grid(SHAPE), strengths(2)
    parts = np.stack([amplitudes.real, amplitudes.imag], axis=-1)

    def maps(positions):
        way = rays(pixels, positions)
        columns = ring_columns(way.distance, K, envelope)
        return columns, way, np.einsum("vnqp,vnq->vp", columns, parts)

    columns, way, _ = maps(TWO)
    slopes = position_slopes(columns, parts, K, way, envelope)
    step = np.zeros_like(TWO)
    step[1, 0] = 1e-6
    numeric = (maps(TWO + step)[2] - maps(TWO - step)[2]) / 2e-6
    np.testing.assert_allclose(slopes[:, 1, 0], numeric, atol=1e-6)


def test_noise_scales_it_and_amplitude_too():
    amplitudes = strengths(2)
    once = bound(TWO, amplitudes)
    np.testing.assert_allclose(bound(TWO, amplitudes, sigma=0.4), 4 * once)
    np.testing.assert_allclose(bound(TWO, 2 * amplitudes), once / 4)


def test_information_of_maps_adds_up():
    amplitudes = strengths(2)
    twice = bound(TWO, np.vstack([amplitudes] * 2), np.tile(K, 2))
    np.testing.assert_allclose(twice, bound(TWO, amplitudes) / 2)
    noisy = np.where(np.arange(8) < 4, 0.2, 1e6)
    np.testing.assert_allclose(
        bound(TWO, np.vstack([amplitudes] * 2), np.tile(K, 2), sigma=noisy),
        bound(TWO, amplitudes),
        rtol=1e-6,
    )


def test_the_centre_of_the_frame_knows_no_direction():
    found = bound([[7.5, 7.5]], strengths(1))[0]
    np.testing.assert_allclose(found, found[0, 0] * np.eye(2), atol=1e-12)


def test_exchanging_rows_and_columns_exchanges_the_variances():
    amplitudes = strengths(2)
    np.testing.assert_allclose(
        bound(TWO[:, ::-1], amplitudes), bound(TWO, amplitudes)[:, ::-1, ::-1]
    )


def test_a_neighbour_costs_and_the_nearer_the_more():
    amplitudes = strengths(2)
    alone = np.trace(bound(TWO[:1], amplitudes[:, :1])[0])
    costs = [
        np.trace(bound(TWO[:1] + [[0, 0], [0, gap]], amplitudes)[0])
        for gap in (8.0, 2.0, 0.7)
    ]
    assert alone <= costs[0] < costs[1] < costs[2]


def test_an_impurity_without_waves_is_nowhere():
    assert np.isinf(bound(TWO[:1], np.zeros((4, 1)))).all()


def test_pooling_takes_the_distance_not_one_axis():
    half = np.array([np.eye(2), 3 * np.eye(2)])
    assert pooled_rmse([half, np.zeros((0, 2, 2))]) == pytest.approx(2.0)
    assert np.isnan(pooled_rmse([]))
    assert bound(np.zeros((0, 2)), np.zeros((4, 0))).shape == (0, 2, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"amplitudes": np.ones((4, 3))},
        {"amplitudes": np.full((4, 2), np.nan)},
        {"positions": [[1.0, 2.0, 3.0]]},
        {"k": K[:3]},
        {"k": -K},
        {"sigma": 0.0},
        {"sigma": [0.1, 0.2]},
    ],
)
def test_bad_input_is_refused(change):
    given = {"positions": TWO, "amplitudes": strengths(2), "k": K}
    with pytest.raises(InputError):
        bound(**(given | change))


@pytest.mark.parametrize(
    "values", [(-1.0, 1.0), (2.0, np.inf), (1.0, 0.0), (2.0, 1.0, np.nan)]
)
def test_a_template_without_sense_is_refused(values):
    with pytest.raises(InputError):
        RingTemplate(*values)
