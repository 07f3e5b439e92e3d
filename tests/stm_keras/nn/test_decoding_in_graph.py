import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from stm_keras.analysis.peaks import find_peaks
from stm_keras.nn.decoding import (
    MOST,
    find_detections,
    least_kept,
    locate_detections,
    locate_peaks,
)

RATE = 0.3
CERTAIN = 1e-6


def answer(seed, spread=3.0, shape=(40, 30)):
    """An output as the network's: smooth logits, any offsets."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    logit = -4 + 3 * spread * ndimage.gaussian_filter(noise, 1)
    offset = rng.uniform(-1.5, 1.5, (*shape, 2))
    deviation = rng.uniform(0.05, 0.5, (*shape, 2))
    whole = np.concatenate([logit[..., None], offset, deviation], axis=-1)
    return whole.astype(np.float32)


@given(
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([1.0, 3.0, 9.0]),
    threshold=st.sampled_from([0.02, 0.3, 0.7]),
    rate=st.sampled_from([0.05, 0.3, 0.99]),
    beforehand=st.sampled_from([0.0, 0.31, 0.93]),
)
@example(seed=4653, spread=9.0, threshold=0.02, rate=0.05, beforehand=0.0)
@settings(max_examples=15)
def test_detections_are_those_of_the_package(
    seed, spread, threshold, rate, beforehand
):
    output = answer(seed, spread)
    expected = find_detections(output, threshold)
    least = least_kept(expected.probabilities, rate, threshold, beforehand)
    n = int((expected.probabilities >= least).sum())
    expected = type(expected)(*(values[:n] for values in expected))
    found = locate_detections(
        tf.constant(output[None]), threshold, rate, beforehand
    )
    count = int(found.count[0])
    assert count == len(expected.positions)
    assert found.left_out[0] == 0
    mine = [
        np.asarray(values)[0, :count]
        for values in (found.positions, found.certainty, found.deviations)
    ]
    its = [expected.positions, expected.probabilities, expected.deviations]
    for these, others in ((mine, its), (its, mine)):
        # In 32 bits those that are all but certain are equally so, and of
        # two that speak of one place either may stay.
        unsure = these[1] < 1 - CERTAIN
        if not unsure.any():
            continue
        nearest = cdist(these[0][unsure], others[0]).argmin(axis=1)
        for values, same in zip(these, others, strict=True):
            np.testing.assert_allclose(values[unsure], same[nearest], atol=1e-4)


def test_stacks_are_located_by_themselves_and_padded():
    outputs = np.stack([answer(0), answer(1, spread=0.1), answer(2)])
    found = locate_detections(tf.constant(outputs), 0.5, RATE)
    assert found.count[1] == 0
    for index in (0, 2):
        alone = locate_detections(
            tf.constant(outputs[index : index + 1]), 0.5, RATE
        )
        for values, others in zip(found, alone, strict=True):
            np.testing.assert_array_equal(values[index], others[0])
        count = int(found.count[index])
        assert np.isfinite(found.positions[index, :count]).all()
        assert np.isnan(found.positions[index, count:]).all()
        assert not np.asarray(found.certainty[index, count:]).any()
        ranked = np.asarray(found.certainty[index, :count])
        assert (np.diff(ranked) <= 0).all()


def test_nothing_measured_is_nothing_found():
    output = answer(0)
    output[..., 0] = -np.inf
    assert locate_detections(tf.constant(output[None]), 0.1, RATE).count[0] == 0


def test_an_empty_batch():
    found = locate_detections(tf.zeros((0, 20, 20, 5)), 0.5, RATE)
    assert found.positions.shape == (0, MOST, 2)
    assert found.count.shape == (0,)


def test_more_than_fit_is_told():
    logit = np.full((80, 80), -9.0)
    logit[::2, ::2] = 5.0
    output = np.zeros((1, 80, 80, 5), np.float32)
    output[0, ..., 0], output[..., 3:] = logit, 0.1
    found = locate_detections(tf.constant(output), 0.5, RATE)
    assert found.count[0] == MOST
    assert found.left_out[0] == 40 * 40 - MOST


@given(seed=st.integers(0, 10_000), gap=st.booleans())
@settings(max_examples=15)
def test_peaks_are_those_of_the_package(seed, gap):
    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.standard_normal((25, 31)), 1)
    score = score.astype(np.float32)
    measured = np.ones(score.shape, bool)
    if gap:
        measured[9:12, 5:20] = False
    threshold = 0.1
    with_gap = np.where(measured, score, np.nan)
    expected = find_peaks(with_gap, threshold=threshold)
    found = locate_peaks(
        tf.constant(score[None]),
        tf.constant((measured & (score > threshold))[None]),
        tf.constant(measured[None]),
    )
    count = int(found.count[0])
    assert count == len(expected.positions)
    np.testing.assert_allclose(
        found.positions[0, :count], expected.positions, atol=2e-3
    )
    np.testing.assert_allclose(
        found.certainty[0, :count], expected.scores, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(3, 3), (1, 7)])
def test_a_frame_with_fewer_pixels_than_places(shape):
    output = answer(0, shape=shape)
    output[0, 0, 0] = 20.0
    found = locate_detections(tf.constant(output[None]), 0.9, RATE)
    assert found.positions.shape == (1, MOST, 2)
    assert found.count[0] >= 1
