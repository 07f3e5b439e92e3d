import numpy as np
import pytest
import tensorflow as tf

from stm_keras.simulation.draws import GeneratorDraws
from stm_keras.simulation.instrument import (
    BackgroundTilt,
    OneOverFNoise,
    ScanLineOffsets,
    TipJumps,
    WhiteNoise,
    power_law_noise,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def power_law_fields(shape, exponent, rng):
    exponents = tf.fill((1, 1, 1, 1), exponent)
    noise = power_law_noise(
        tf.constant([1, *shape]), exponents, GeneratorDraws(rng)
    )
    return np.asarray(noise)[0]


def maps_of(n_maps=6, size=64):
    return rng(9).normal(2, 0.3, (n_maps, size, size)).astype(np.float32)


@pytest.mark.parametrize(
    "part",
    [
        WhiteNoise(amplitude=(0.5, 0.5)),
        OneOverFNoise(amplitude=(0.5, 0.5)),
        BackgroundTilt(amplitude=(0.5, 0.5)),
        ScanLineOffsets(amplitude=(0.5, 0.5)),
    ],
)
def test_the_amplitude_is_a_multiple_of_the_maps_deviation(part):
    maps = maps_of()
    added = part(maps, rng()) - maps
    assert added.std() == pytest.approx(0.5 * 0.3, rel=0.08)
    given = part(maps, rng(), scale=2.0) - maps
    assert given.std() == pytest.approx(0.5 * 2.0, rel=0.08)


def test_white_noise_is_independent_in_every_pixel():
    maps = np.zeros((4, 64, 64), np.float32)
    noise = WhiteNoise(amplitude=(1, 1))(maps, rng(), scale=1.0)
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 0.03
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.03


@pytest.mark.parametrize("exponent", [0.0, 1.0, 1.6])
def test_the_power_falls_with_the_exponent(exponent):
    fields = power_law_fields((60, 64, 64), exponent, rng())
    window = np.hanning(64)[:, None] * np.hanning(64)
    power = (np.abs(np.fft.fft2(fields * window)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    band = (frequency > 0.06) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_opposite_edges_of_a_field_are_no_neighbours():
    fields = power_law_fields((200, 32, 32), 1.6, rng())
    neighbours = (fields[:, 0] * fields[:, 1]).mean()
    assert neighbours > 3 * abs((fields[:, 0] * fields[:, -1]).mean())


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 31)])
def test_any_size_of_field_can_be_drawn(size):
    fields = power_law_fields((2, *size), 1.0, rng())
    assert fields.shape == (2, *size)
    assert np.isfinite(fields).all()


def test_line_offsets_are_constant_along_a_row_and_differ_between_maps():
    maps = np.zeros((3, 40, 20), np.float32)
    lines = ScanLineOffsets(amplitude=(1, 1))(maps, rng(), scale=1.0)
    assert not np.ptp(lines, axis=2).any()
    assert abs(np.corrcoef(lines[0, :, 0], lines[1, :, 0])[0, 1]) < 0.5
    assert lines[:, :, 0].std(axis=1).min() > 0.7


def test_a_jump_changes_all_rows_from_one_on_and_none_before():
    maps = np.zeros((200, 30, 4), np.float32)
    jumps = TipJumps(jumps_per_map=(1, 1), offset=(0.4, 0.4), contrast=(0, 0))
    steps = np.diff(jumps(maps, rng(), scale=2.0)[:, :, 0], axis=1)
    where = np.abs(steps) > 1e-6
    assert np.count_nonzero(where) == pytest.approx(200, rel=0.25)
    single = where.sum(axis=1) == 1
    # Two jumps may fall on one row; most maps have one.
    right = np.isclose(np.abs(steps[single][where[single]]), 0.8)
    assert right.mean() > 0.9


def test_a_jump_of_contrast_scales_the_rows_about_the_mean():
    maps = maps_of(40)
    jumps = TipJumps(jumps_per_map=(1, 1), offset=(0, 0), contrast=(0.2, 0.2))
    mean = maps.mean(axis=(1, 2), keepdims=True)
    ratio = np.median((jumps(maps, rng()) - mean) / (maps - mean), axis=2)
    np.testing.assert_allclose(ratio[:, 0], 1, atol=1e-3)
    once = np.count_nonzero(np.abs(np.diff(ratio, axis=1)) > 0.01, axis=1) == 1
    assert once.sum() > 5
    # Two jumps may fall on one row; most maps have one.
    right = np.isclose(np.abs(ratio[once, -1] - 1), 0.2, atol=1e-3)
    assert right.mean() > 0.8


def test_a_tilt_is_a_plane_alike_in_all_maps():
    maps = np.zeros((3, 20, 30), np.float32)
    plane = BackgroundTilt(amplitude=(1, 1))(maps, rng(), scale=1.0)
    assert np.abs(np.diff(plane, 2, axis=1)).max() < 1e-5
    assert np.abs(np.diff(plane, 2, axis=2)).max() < 1e-5
    np.testing.assert_array_equal(plane[0], plane[2])
    assert plane.mean() == pytest.approx(0, abs=1e-6)
