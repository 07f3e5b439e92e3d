import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.training.augmentation import (
    AugmentationRanges,
    augmented,
    cropped,
    turned,
)

NONE = AugmentationRanges(
    white=(0, 0),
    smooth=(0, 0),
    correlated=(0, 0),
    lines=(0, 0),
    tilt=(0, 0),
    jump_share=0,
    blur_px=(0, 0),
    drift_px=(0, 0),
    gain=(1, 1),
    missing_share=0,
    holes_share=0,
    surrogate_share=0,
    unknown_share=0,
    wrong_share=0,
    double_share=0,
    hum=(0, 0),
    inverted_share=0,
    uneven_share=0,
    clipped_share=0,
    covered_share=0,
)
SEED = tf.constant([3, 4], tf.int64)


def only(**changes):
    return AugmentationRanges(**{**vars(NONE), **changes})


def clean(batch=3, voltages=4, size=24):
    rows, cols = np.indices((size, size))
    waves = np.cos(0.9 * rows + 0.4 * cols) + np.cos(0.3 * rows - 0.7 * cols)
    stack = np.broadcast_to(waves, (batch, voltages, size, size))
    return stack.astype(np.float32)


def nowhere(batch):
    return tf.fill((batch, 1, 2), np.float32(np.nan))


def run(ranges, maps=None, seed=SEED):
    maps = clean() if maps is None else maps
    ring = np.full(maps.shape[:2], 1.5, np.float32)
    measured, told, _ = augmented(
        tf.constant(maps), ring, nowhere(len(maps)), ranges, seed
    )
    return np.asarray(measured), np.asarray(told)


def test_without_effects_maps_stay():
    measured, told = run(NONE)
    np.testing.assert_allclose(measured, clean(), atol=1e-4)
    assert (told == 1.5).all()


def test_a_seed_gives_the_same_and_another_something_else():
    ranges = AugmentationRanges(missing_share=0)
    first, second = run(ranges), run(ranges)
    np.testing.assert_array_equal(first[0], second[0])
    other = run(ranges, seed=tf.constant([3, 5], tf.int64))
    assert np.abs(first[0] - other[0]).max() > 0.1


@pytest.mark.parametrize("name", ["white", "smooth", "correlated"])
def test_noise_has_the_deviation_asked_for(name):
    maps = np.zeros((8, 6, 48, 48), np.float32)
    noise, _ = run(only(**{name: (0.5, 0.5)}), maps)
    np.testing.assert_allclose(noise.std(axis=(2, 3)), 0.5, rtol=0.1)
    assert (
        abs(np.corrcoef(noise[0, 0].ravel(), noise[1, 0].ravel())[0, 1]) < 0.2
    )


def test_smooth_noise_is_smooth_along_the_line_alone():
    maps = np.zeros((4, 4, 48, 48), np.float32)
    noise, _ = run(only(smooth=(1, 1), smooth_px=(3, 3)), maps)
    along = (noise[..., 1:] * noise[..., :-1]).mean()
    across = (noise[..., 1:, :] * noise[..., :-1, :]).mean()
    assert along > 0.9
    assert abs(across) < 0.1


def test_correlated_noise_falls_with_wave_number_as_asked():
    maps = np.zeros((8, 8, 64, 64), np.float32)
    noise, _ = run(only(correlated=(1, 1), slope=(2, 2)), maps)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=(0, 1))
    ratio = power[0, 4] / power[0, 16]
    np.testing.assert_allclose(ratio, 16, rtol=0.6)


def test_line_offsets_belong_to_lines():
    lines, _ = run(only(lines=(0.3, 0.3)))
    offsets = lines - clean()
    np.testing.assert_allclose(offsets.std(axis=3), 0, atol=1e-4)
    np.testing.assert_allclose(offsets[..., 0].std(), 0.3, rtol=0.2)


def test_drift_moves_maps_and_keeps_its_extent():
    size = 32
    rows, cols = np.indices((size, size))
    step = 2 * np.pi / size  # whole periods: nothing enters at the edge
    wave = np.cos(3 * step * rows) + np.sin(2 * step * cols)
    stack = np.broadcast_to(wave, (6, 8, size, size)).astype(np.float32)
    moved, _ = run(only(drift_px=(0.8, 0.8)), stack)
    spectrum = np.fft.fft2(moved)
    shift = np.stack(
        [
            -np.angle(spectrum[..., 3, 0]) / (3 * step),
            (-np.angle(spectrum[..., 0, 2]) - np.pi / 2) / (2 * step),
        ],
        axis=-1,
    )
    pairs = np.linalg.norm(shift[:, :, None] - shift[:, None], axis=-1)
    assert (pairs.max(axis=(1, 2)) <= 0.8 + 1e-3).all()
    assert (pairs.max(axis=(1, 2)) > 0.3).all()


def test_what_moves_and_blurs_maps_leaves_no_ringing():
    size = 32
    ramp = np.broadcast_to(np.linspace(-4.0, 4.0, size), (6, 8, size, size))
    moved, _ = run(
        only(drift_px=(0.7, 0.7), blur_px=(0.1, 0.1)), ramp.astype(np.float32)
    )
    step = 8 / (size - 1)
    # No pixel moves by more than the drift, the edges' included.
    assert np.abs(moved - ramp).max() < 0.75 * step


def test_blur_damps_short_waves_more():
    sharp = clean()
    soft, _ = run(only(blur_px=(1, 1)), sharp)
    power = np.abs(np.fft.fft2(soft[0, 0])) / np.abs(np.fft.fft2(sharp[0, 0]))
    assert power[12, 12] < power[0, 3] < 1


def test_jumps_move_all_that_follows():
    maps = np.zeros((20, 10, 24, 24), np.float32)
    jumped, _ = run(only(jump_share=1.0, jump=(0.5, 1.0)), maps)
    np.testing.assert_allclose(np.ptp(jumped, axis=3), 0, atol=1e-5)
    steps = np.abs(np.diff(jumped[..., 0], axis=-1))
    jumps = steps[steps > 1e-4]
    assert len(jumps) == pytest.approx(200, rel=0.2)
    alone = steps.max(axis=-1)[(steps > 1e-4).sum(axis=-1) == 1]
    # Two may fall on one row.
    assert np.mean((alone > 0.49) & (alone < 1.01)) > 0.9


def test_gaps_are_bands_in_all_maps_of_a_sample():
    gaps, _ = run(only(missing_share=1.0))
    missing = np.isnan(gaps)
    assert missing.any(axis=(1, 2, 3)).all()
    assert (missing.all(axis=3) == missing.any(axis=3)).all()
    assert (missing == missing[:, :1]).all()


def test_what_the_network_is_told():
    maps = clean(batch=400, voltages=2, size=4)
    _, told = run(only(unknown_share=0.25, wrong_share=0.5, wrong=0.1), maps)
    unknown, right = (told == 0).mean(), (told == 1.5).mean()
    assert abs(unknown - 0.25) < 0.1
    assert abs(right - 0.25) < 0.1
    wrong = told[(told != 0) & (told != 1.5)]
    assert (np.abs(wrong / 1.5 - 1) <= 0.1 + 1e-6).all()


@pytest.mark.parametrize("number", range(8))
def test_turns_take_positions_along(number):
    maps = np.zeros((1, 1, 9, 9), np.float32)
    maps[0, 0, 2, 7] = 1
    true = np.array([[[2.0, 7.0], [np.nan, np.nan]]], np.float32)
    turned_maps, place = turned(
        tf.constant(maps), tf.constant(true), tf.constant([number, 9], tf.int64)
    )
    row, col = np.argwhere(np.asarray(turned_maps)[0, 0] == 1)[0]
    np.testing.assert_array_equal(place[0, 0], [row, col])
    assert np.isnan(place[0, 1]).all()


def test_all_eight_turns_occur():
    maps = tf.constant(np.arange(9.0, dtype=np.float32).reshape(1, 1, 3, 3))
    true = tf.zeros((1, 1, 2))
    seen = {
        np.asarray(
            turned(maps, true, tf.constant([i, 0], tf.int64))[0]
        ).tobytes()
        for i in range(64)
    }
    assert len(seen) == 8


@pytest.mark.parametrize("size", [3, 6, 9])
@pytest.mark.parametrize("seed", range(5))
def test_crops_take_positions_along(size, seed):
    # Every pixel of the field is its own number, and has an impurity.
    side = 11
    maps = np.arange(side**2, dtype=np.float32).reshape(1, 1, side, side)
    true = np.indices((side, side)).reshape(2, -1).T.astype(np.float32)
    part, place = cropped(
        tf.constant(maps),
        tf.constant(true[None]),
        size,
        tf.constant([1, seed], tf.int64),
    )
    part, place = np.asarray(part)[0, 0], np.asarray(place)[0]
    assert part.shape == (size, size)
    start = np.array(divmod(part[0, 0], side))
    assert (start >= 1).all()
    assert (start + size <= side - 1).all()
    # Those in the crop and those one pixel beside it, and no other.
    near = ((true >= start - 1) & (true <= start + size)).all(axis=1)
    assert near.sum() == (size + 2) ** 2
    np.testing.assert_array_equal(place[near], true[near] - start)
    assert np.isnan(place[~near]).all()


def test_holes_are_flat_and_leave_the_rest():
    ranges = only(
        holes_share=1, holes_per_px2=(0.01, 0.01), holes_px=(2.0, 2.0)
    )
    measured, _ = run(ranges)
    changed = np.abs(measured - clean()) > 1e-3
    assert 0.03 < changed.mean() < 0.3
    # The same places in every map of a sample, others in the next.
    assert (changed[0, 0] == changed[0, 1]).mean() > 0.98
    assert (changed[0, 0] != changed[1, 0]).any()
    # A waves' mean over a ring is near zero, and a single value in a disc.
    assert np.abs(measured[changed]).mean() < np.abs(clean()).mean()


def test_in_a_hole_there_is_no_noise():
    ranges = only(
        white=(1, 1), holes_share=1, holes_per_px2=(0, 0), holes_px=(2.0, 2.0)
    )
    ranges = dataclasses.replace(ranges, blanked_share=1)
    places = np.full((3, 1, 2), (12.0, 12.0), np.float32)
    flat, ring = np.zeros((3, 4, 24, 24)), np.full((3, 4), 1.5, np.float32)
    measured = np.asarray(
        augmented(flat.astype(np.float32), ring, places, ranges, SEED)[0]
    )
    assert measured[..., 11:14, 11:14].std() < 0.4
    assert measured[..., :9, :].std() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("share", [0, 1])
def test_impurities_are_blanked_where_asked(share):
    ranges = only(holes_share=1, holes_per_px2=(0, 0), holes_px=(2.0, 2.0))
    ranges = dataclasses.replace(ranges, blanked_share=share)
    places = np.full((3, 4, 2), np.nan, np.float32)
    places[1, :2] = (10.3, 5.8), (17.0, 12.4)
    maps, ring = clean(), np.full((3, 4), 1.5, np.float32)
    measured, _, kept = augmented(maps, ring, places, ranges, SEED)
    np.testing.assert_array_equal(kept, places)
    changed = np.abs(np.asarray(measured) - maps) > 1e-3
    assert not changed[[0, 2]].any()
    inside = np.zeros((24, 24), bool)
    rows, cols = np.indices((24, 24))
    for row, col in ((10, 6), (17, 12)):
        inside |= np.hypot(rows - row, cols - col) <= 2
    assert not changed[1][:, ~inside].any()
    if share:
        assert changed[1][:, inside].mean() > 0.9
    else:
        assert not changed.any()


def test_a_surrogate_keeps_the_spectrum_and_loses_the_impurities():
    maps = clean(batch=2)
    places = np.full((2, 1, 2), 7, np.float32)
    ring = np.full(maps.shape[:2], 1.5, np.float32)
    measured, _, positions = augmented(
        tf.constant(maps), ring, places, only(surrogate_share=1), SEED
    )
    assert np.isnan(positions).all()
    measured = np.asarray(measured)
    assert np.abs(measured - maps).mean() > 0.3
    for before, after in zip(maps[0], measured[0], strict=True):
        np.testing.assert_allclose(
            np.abs(np.fft.rfft2(after)), np.abs(np.fft.rfft2(before)), atol=0.1
        )
    # All maps of a stack were turned alike: equal ones stay equal.
    np.testing.assert_allclose(measured[0, 0], measured[0, 3], atol=1e-3)


def test_uneven_noise_makes_some_maps_bad():
    flat = np.zeros((40, 8, 24, 24), np.float32)
    measured, _ = run(only(uneven_share=1, uneven=(3.0, 3.0)), flat)
    spread = measured.std(axis=(2, 3))
    assert spread.max() == pytest.approx(3, rel=0.15)
    # Most maps of a stack are good, few are as bad as the worst.
    assert np.median(spread) == pytest.approx(3 / 8, rel=0.25)
    none, _ = run(only(uneven_share=0), flat)
    assert not none.any()


def test_what_is_covered_is_not_measured_in_some_samples():
    maps, ring = clean(batch=60), np.full((60, 4), 1.5, np.float32)
    covered = np.zeros((60, 24, 24), bool)
    covered[:, 5:9] = True
    measured = np.asarray(
        augmented(
            maps, ring, nowhere(60), only(covered_share=0.5), SEED, covered
        )[0]
    )
    missing = np.isnan(measured)
    masked = missing[:, 0].any(axis=(1, 2))
    assert 0.3 < masked.mean() < 0.7
    for sample in np.flatnonzero(masked):
        np.testing.assert_array_equal(
            missing[sample], np.broadcast_to(covered[0], (4, 24, 24))
        )
