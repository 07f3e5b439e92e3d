import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from stm_keras.nn.losses import count_loss, position_loss

RNG = np.random.default_rng(0)
NAN = np.nan


def outputs(batch=2, height=5, width=6):
    values = RNG.normal(size=(batch, height, width, 5))
    values[..., 3:] = np.exp(values[..., 3:])
    return values.astype(np.float32)


def positions():
    return np.array(
        [[[1.2, 3.4], [4.0, 0.1]], [[2.5, 2.5], [NAN, NAN]]], np.float32
    )


def test_count_against_the_normal_distribution():
    p = 1 / (1 + np.exp(-outputs()[..., 0].astype(np.float64)))
    mean, variance = p.sum((1, 2)), (p * (1 - p)).sum((1, 2))
    expected = -stats.norm.logpdf([2, 1], mean, np.sqrt(variance))
    loss = count_loss(p.astype(np.float32), positions())
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_a_stack_mistaken_for_empty_counts_for_no_more_than_it_must():
    true = np.full((2, 21, 2), NAN, np.float32)
    true[0] = 1.0
    nothing = np.full((2, 32, 32), 1e-9, np.float32)
    mistaken, right = np.asarray(count_loss(nothing, true))
    assert 100 < mistaken < 5000
    surer = np.asarray(count_loss(nothing / 1e3, true))
    np.testing.assert_allclose(surer, (mistaken, right), rtol=1e-5)


def test_places_against_the_mixture_written_out():
    output, true = outputs(), positions()
    expected = np.zeros(2)
    for b in range(2):
        p = 1 / (1 + np.exp(-output[b, ..., 0].astype(np.float64)))
        for place in true[b]:
            if np.isnan(place).any():
                continue
            density = 0.0
            for row in range(5):
                for col in range(6):
                    _, d_row, d_col, s_row, s_col = output[b, row, col]
                    density += (
                        p[row, col]
                        / p.sum()
                        * stats.norm.pdf(place[0], row + d_row, s_row)
                        * stats.norm.pdf(place[1], col + d_col, s_col)
                    )
            expected[b] -= np.log(density)
    np.testing.assert_allclose(position_loss(output, true), expected, rtol=1e-4)


def test_the_truth_is_the_best_answer():
    true = np.array([[[2.3, 3.1]]], np.float32)
    right = np.zeros((1, 6, 6, 5), np.float32)
    right[..., 0], right[..., 3:] = -9.0, 0.1
    right[0, 2, 3, :3] = 9.0, 0.3, 0.1
    losses = {}
    for name, change in {
        "right": {},
        "offset": {1: -0.3},
        "unsure": {0: 0.0},
        "too sure of a wrong place": {1: 0.6, 3: 0.02},
    }.items():
        output = right.copy()
        for channel, value in change.items():
            output[0, 2, 3, channel] = value
        p = tf.sigmoid(output[..., 0])
        losses[name] = float(
            (count_loss(p, true) + position_loss(output, true))[0]
        )
    assert min(losses, key=lambda name: losses[name]) == "right"


def test_an_empty_field_counts_and_has_no_places():
    nothing = np.full((2, 2, 2), NAN, np.float32)
    output = outputs()
    assert (np.asarray(position_loss(output, nothing)) == 0).all()
    assert np.isfinite(count_loss(tf.sigmoid(output[..., 0]), nothing)).all()


@pytest.mark.parametrize("extreme", [-80.0, 80.0])
def test_gradients_stay_numbers(extreme):
    output = tf.Variable(outputs())
    output[..., 0].assign(tf.fill(output.shape[:-1], extreme))
    with tf.GradientTape() as tape:
        p = tf.sigmoid(output[..., 0])
        loss = count_loss(p, positions()) + position_loss(output, positions())
    gradient = tape.gradient(loss, output)
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
