"""Virtual experiments: rings where they belong, truth kept, seeds settle."""

import dataclasses
import math

import numpy as np
import pytest

from stm_keras.analysis.reference import find_bound_states
from stm_keras.errors import InputError
from stm_keras.scoring import score_positions
from stm_keras.simulation.instrument import PRESETS, EnergyResolution
from stm_keras.simulation.scattering import ldos
from stm_keras.simulation.scene import ScattererRanges
from stm_keras.simulation.virtual_experiment import (
    DENSITIES,
    DIFFICULTIES,
    ShortRange,
    VirtualConfig,
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import SURFACES, paper_wave_numbers

FIVE_BIASES = (-0.23, -0.168, -0.104, -0.042, 0.02)
SMALL = VirtualConfig(
    size_px=24,
    extent_nm=11.25,
    bias_v=(-0.2, -0.1, 0.0),
    n_impurities=6,
    margin_px=8.0,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def changed(**options):
    return dataclasses.replace(SMALL, **options)


def ring(maps, padded=320):
    """Wave number [rad/px] at which mean power over circles is greatest."""
    height, width = maps[0].shape
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in (height, width)))
    power = sum(
        np.abs(np.fft.fft2((m - m.mean()) * window, (padded, padded))) ** 2
        for m in maps
    )
    step = 2 * math.pi / padded
    q = 2 * math.pi * np.fft.fftfreq(padded)
    circle = np.rint(np.hypot(q[:, None], q) / step).astype(int).ravel()
    mean = np.bincount(circle, power.ravel()) / np.bincount(circle)
    low, high = round(1.0 / step), round(2.2 / step)
    return step * (low + mean[low:high].argmax())


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_rings_lie_at_twice_k_within_a_pixel_of_the_transform(difficulty):
    config = VirtualConfig(difficulty=difficulty, bias_v=FIVE_BIASES)
    stacks = [simulate_virtual(config, rng(seed)).maps for seed in range(4)]
    pixel = 2 * math.pi / config.size_px
    k = SURFACES["au111"].wave_number(FIVE_BIASES) * 37.5 / 80
    for v, wave_number in enumerate(k):
        found = ring([maps[v] for maps in stacks])
        assert found == pytest.approx(2 * wave_number, abs=pixel)


def test_the_default_is_the_geometry_of_the_paper():
    config = VirtualConfig()
    np.testing.assert_allclose(config.wave_numbers, paper_wave_numbers())
    assert (config.size_px, len(config.bias_v)) == (80, 126)
    assert config.bound_state_bias_v == -0.52
    (resolution,) = [
        part
        for part in config.acquisition.parts
        if isinstance(part, EnergyResolution)
    ]
    assert resolution.temperature_k == (5.0, 5.0)
    assert resolution.bias_v == config.bias_v


def test_the_same_seed_gives_the_same_experiment():
    first, again = (simulate_virtual(SMALL, rng(3)) for _ in range(2))
    for name in ("maps", "waves", "q", "positions", "decoys", "bound_state"):
        np.testing.assert_array_equal(
            getattr(first, name), getattr(again, name)
        )
    other = simulate_virtual(SMALL, rng(4))
    assert not np.array_equal(first.maps, other.maps)


def test_difficulties_share_impurities_and_waves():
    easy, typical, hard = (
        simulate_virtual(changed(difficulty=name), rng(1))
        for name in ("clean", "typical", "hard")
    )
    for other in (typical, hard):
        np.testing.assert_array_equal(easy.positions, other.positions)
        np.testing.assert_array_equal(easy.waves, other.waves)
        np.testing.assert_array_equal(easy.bound_state, other.bound_state)
    errors = [
        np.std(e.maps - e.waves) / np.std(e.waves) for e in (typical, hard)
    ]
    assert 0.2 < errors[0] < errors[1]


def test_clean_is_the_waves_alone():
    clean = simulate_virtual(changed(difficulty="clean"), rng())
    np.testing.assert_array_equal(clean.maps, clean.waves)
    assert clean.decoys.shape == (0, 2)
    assert not clean.drift_px.any()


def test_hard_has_eight_decoys_in_the_frame():
    config = dataclasses.replace(
        named_virtual("sparse", "hard"), bias_v=(-0.1, 0.0)
    )
    decoys = simulate_virtual(config, rng()).decoys
    assert decoys.shape == (8, 2)
    assert ((decoys >= -0.5) & (decoys <= 79.5)).all()


@pytest.mark.parametrize("density", DENSITIES)
def test_densities_hold_and_positions_lie_inside(density):
    config = dataclasses.replace(
        named_virtual(density, "clean"), bias_v=(0.0,), margin_px=4.0
    )
    found = [simulate_virtual(config, rng(s)).positions for s in range(5)]
    mean = np.mean([len(positions) for positions in found])
    assert mean == pytest.approx(DENSITIES[density], rel=0.2)
    everywhere = np.concatenate(found)
    assert ((everywhere >= -0.5) & (everywhere < 79.5)).all()


def test_impurities_outside_scatter_into_the_frame():
    # None in the frame, many around it.
    config = changed(n_impurities=2, difficulty="clean", margin_px=12.0)
    outside = next(
        experiment
        for experiment in (simulate_virtual(config, rng(s)) for s in range(99))
        if not len(experiment.positions)
    )
    assert np.abs(outside.maps).max() > 0.01


def test_without_impurities_the_noise_stays():
    config = changed(n_impurities=0, short_range=ShortRange())
    empty = simulate_virtual(config, rng())
    assert not empty.waves.any()
    assert empty.positions.shape == (0, 2)
    assert empty.maps.std() > 0.03


def test_the_bound_states_tell_the_positions():
    config = dataclasses.replace(named_virtual("sparse", "hard"), bias_v=(0.0,))
    experiment = simulate_virtual(config, rng(2))
    found = find_bound_states(experiment.bound_state).positions
    score = score_positions(found, experiment.positions, tolerance=1.0)
    assert score.recall > 0.85
    assert score.precision > 0.85


def test_presets_and_difficulties_go_by_the_same_names():
    assert set(PRESETS) == set(DIFFICULTIES)


def test_strengths_are_of_all_kinds():
    drawn = ScattererRanges().draw(np.zeros((2000, 2)), [0.0, 1.0, 2.0], rng())
    assert np.isinf(drawn.absorption).mean() == pytest.approx(0.15, abs=0.03)
    assert (drawn.absorption == 0).mean() == pytest.approx(0.3, abs=0.04)
    assert (drawn.delta[1] > 0).mean() == pytest.approx(0.5, abs=0.04)
    middle = np.abs(drawn.delta[1])
    assert 0.15 <= middle.min() < 0.2
    assert 1.5 < middle.max() <= math.pi / 2


def test_impurities_without_a_phase_shift_leave_the_map_flat():
    still = ScattererRanges(
        delta_rad=(0.0, 0.0),
        slope_rad=(0.0, 0.0),
        curvature_rad=(0.0, 0.0),
        elastic_share=1.0,
        black_share=0.0,
    )
    positions = np.array([[3.0, 4.0], [9.0, 5.0]])
    maps = ldos(
        still.draw(positions, [0.0], rng()), wave_number=[0.8], shape=(12, 12)
    )
    np.testing.assert_array_equal(maps, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bias_v": (-0.6, 0.0)}, "below the band edge of Au"),
        ({"surface": "ag111"}, "below the band edge of Ag"),
        ({"surface": "pt111"}, "Unknown surface"),
        ({"extent_nm": 40.0}, r"too coarse.* pixels 0\.8\d* nm wide"),
        ({"n_impurities": 2000}, "cannot be placed 2 px apart. Take 73 at"),
        ({"min_distance_px": 0.1}, "closer than their cores"),
        ({"difficulty": "easy"}, "clean, typical, hard"),
        ({"bias_v": ()}, "bias_v"),
        ({"bias_v": (0.0, 0.0)}, "distinct"),
        ({"size_px": 4}, "size_px"),
        ({"temperature_k": -1.0}, "temperature_k"),
        ({"n_impurities": math.nan}, "n_impurities"),
        ({"mean_free_path_px": (0.0, 1.0)}, "mean_free_path_px"),
    ],
)
def test_refuses_what_cannot_be_measured(options, message):
    with pytest.raises(InputError, match=message) as caught:
        changed(**options)
    assert "\n" not in str(caught.value)


def test_refuses_unknown_densities_and_shares_beyond_one():
    with pytest.raises(InputError, match="sparse, medium, dense"):
        named_virtual("crowded", "hard")
    with pytest.raises(InputError, match="add up to 1"):
        ScattererRanges(elastic_share=0.7, black_share=0.5)
