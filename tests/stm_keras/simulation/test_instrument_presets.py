import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import (
    PRESETS,
    Acquisition,
    BackgroundTilt,
    Drift,
    EnergyResolution,
    OneOverFNoise,
    ScanLineOffsets,
    TipBlur,
    TipJumps,
    WhiteNoise,
    preset,
)

BIAS_V = np.linspace(-0.23, 0.02, 8)
KINDS = (
    EnergyResolution,
    TipBlur,
    Drift,
    WhiteNoise,
    OneOverFNoise,
    ScanLineOffsets,
    TipJumps,
    BackgroundTilt,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def waves():
    row, col = np.mgrid[:40, :40]
    k = np.linspace(1.3, 1.8, 8)[:, None, None]
    wave = np.cos(k * np.hypot(row - 12.0, col - 25.0))
    return wave.astype(np.float32)


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_seed_gives_the_same_maps(name):
    take = preset(name, BIAS_V)
    first, second = take(waves(), rng(4)), take(waves(), rng(4))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)


def test_another_seed_gives_other_maps():
    take = preset("typical", BIAS_V)
    assert np.abs(take(waves(), rng(1)) - take(waves(), rng(2))).max() > 0.1


def test_maps_that_go_in_are_not_changed():
    maps = waves()
    preset("hard", BIAS_V)(maps, rng())
    np.testing.assert_array_equal(maps, waves())


def test_clean_changes_nothing():
    np.testing.assert_array_equal(
        preset("clean", BIAS_V)(waves(), rng()), waves()
    )


def test_all_parts_switched_off_change_nothing():
    off = preset("hard", BIAS_V).without(*KINDS)
    np.testing.assert_array_equal(off(waves(), rng()), waves())


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_switched_off_returns_what_it_got(kind):
    maps = waves()
    assert kind(enabled=False)(maps, rng()) is maps


@pytest.mark.parametrize("kind", [WhiteNoise, ScanLineOffsets, OneOverFNoise])
def test_switching_one_part_off_leaves_the_others_as_they_were(kind):
    whole = preset("hard", BIAS_V)
    only = Acquisition(tuple(p for p in whole.without(kind).parts if p.enabled))
    assert len(only.parts) == len(whole.parts) - 1
    difference = whole(waves(), rng(3)) - whole.without(kind)(waves(), rng(3))
    # Noise that is added after all else: the difference is that noise alone.
    assert abs(np.corrcoef(difference.ravel(), waves().ravel())[0, 1]) < 0.1
    assert difference.std() < 0.6 * waves().std()


def test_the_noise_of_hard_is_that_of_the_design():
    noise = preset("hard", BIAS_V).without(
        EnergyResolution, TipBlur, Drift, TipJumps, BackgroundTilt
    )
    maps = np.repeat(waves(), 8, axis=0)[:64]
    added = noise(maps, rng()) - maps
    scale = np.sqrt(np.var(maps, axis=(1, 2)).mean())
    expected = np.sqrt(0.5**2 + 0.5**2 + 0.2**2)
    assert added.std() / scale == pytest.approx(expected, rel=0.05)


def test_the_drift_is_recorded():
    only_drift = preset("hard", BIAS_V).without(
        *(k for k in KINDS if k is not Drift)
    )
    record = only_drift.record(waves(), rng(6))
    assert np.ptp(record.drift_px, axis=0).max() > 0.1
    expected = Drift.displace(waves(), record.drift_px)
    np.testing.assert_array_equal(record.maps, expected)


def test_without_drift_the_record_is_zero():
    record = preset("hard", BIAS_V).without(Drift).record(waves(), rng())
    assert not record.drift_px.any()


def test_maps_without_impurities_get_noise_by_a_given_scale():
    flat = np.zeros((8, 16, 16), np.float32)
    take = preset("typical", BIAS_V)
    assert not take(flat, rng()).any()
    assert take(flat, rng(), scale=0.1).std() > 0.02


def test_each_difficulty_is_harder_than_the_one_before():
    error = [
        np.abs(preset(name, BIAS_V)(waves(), rng()) - waves()).mean()
        for name in ("clean", "typical", "hard")
    ]
    assert error[0] < error[1] < error[2]


def test_an_unknown_difficulty_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="clean, typical, hard"):
        preset("easy", BIAS_V)


def test_a_preset_without_its_biases_says_so():
    with pytest.raises(InputError, match="0 biases for 8 maps"):
        PRESETS["hard"](waves(), rng())
