"""The evidence in TensorFlow operations is that of NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from stm_keras.waves.evidence import along
from stm_keras.waves.evidence_ops import (
    candidate_amplitudes,
    evidence_along,
    hankel_wave,
)
from stm_keras.waves.fit import WaveOptions, started
from stm_keras.waves.iteration import WEAK
from stm_keras.waves.model import distances
from stm_keras.waves.normal import marginalise, normal
from stm_keras.waves.prepared import prepare
from tests.stm_keras.waves.conftest import make_field

_PADDING = 3


@pytest.fixture(scope="module", params=[1, 3])
def both(request):
    """Amplitudes of NumPy, and what TensorFlow needs for the same."""
    field = make_field(8, n_maps=request.param, n=5, size=40)
    deviations = np.full((5, 2), 0.1)
    ready = prepare(
        field.maps, field.positions, deviations, field.q_per_nm, 0.8
    )
    fit = started(ready, WaveOptions())
    r = distances(fit.positions, ready.scene.pixels)
    c, covariance, columns, priors = [], [], [], []
    for state in fit.states:
        nuisance = marginalise(ready.scene, state, fit.positions, r)
        made = normal(
            ready.scene,
            state,
            nuisance,
            fit.positions,
            r,
            with_positions=False,
            with_medium=False,
        )
        inverse = np.linalg.inv(made.H + np.eye(10) / WEAK**2)
        value = inverse @ made.b
        c.append(value[:5] + 1j * value[5:])
        at = np.arange(5)
        covariance.append(
            [
                [inverse[a * 5 + at, b * 5 + at] for b in range(2)]
                for a in range(2)
            ]
        )
        columns.append(nuisance.columns)
        priors.append(nuisance.prior)
    expected = np.array(c).T, np.array(covariance).transpose(3, 0, 1, 2)
    padded = np.concatenate([r, np.full((_PADDING, r.shape[1]), 9.0)])
    inputs = [
        np.array([state.y for state in fit.states]),
        padded,
        np.arange(5 + _PADDING) < 5,
        np.array([state.medium.k for state in fit.states]),
        fit.states[0].medium.gamma,
        np.array([state.noise for state in fit.states]),
        np.array(columns),
        np.array(priors),
    ]
    tensors = [
        tf.constant(x, tf.bool if np.asarray(x).dtype == bool else tf.float32)
        for x in inputs
    ]
    u = np.linspace(-1, 1, request.param) if request.param > 1 else np.zeros(1)
    return expected, tensors, u


def test_waves_are_hankel_functions():
    x = np.linspace(0.5, 300, 5000).astype(np.float32)
    real, imag = hankel_wave(tf.constant(x))
    made = real.numpy() + 1j * imag.numpy()
    assert np.abs(made - special.hankel1(0, x)).max() < 1e-4


def test_amplitudes_and_evidence_are_those_of_numpy(both):
    (c, covariance), tensors, u = both
    found = tf.function(candidate_amplitudes)(*tensors)
    parts = found.parts.numpy()
    made = (parts[..., 0] + 1j * parts[..., 1]).T
    width = np.sqrt(covariance[..., 0, 0])
    assert (np.abs(made[:5] - c) < 2e-3 * width).all()
    np.testing.assert_allclose(
        found.covariance.numpy().transpose(1, 0, 2, 3)[:5],
        covariance,
        rtol=2e-3,
        atol=2e-3 * covariance.max(),
    )
    best = evidence_along(found, tf.constant(u)).numpy()
    np.testing.assert_allclose(best[:5], along(c, covariance, u), rtol=2e-3)


def test_padding_has_no_amplitude(both):
    _, tensors, _ = both
    found = candidate_amplitudes(*tensors)
    np.testing.assert_array_equal(found.parts.numpy()[:, 5:], 0)


def test_evidence_can_be_differentiated(both):
    """By wave numbers: as a difference has it."""
    _, tensors, u = both

    def strength(k):
        given = [*tensors]
        given[3] = k
        found = candidate_amplitudes(*given)
        return tf.reduce_sum(evidence_along(found, tf.constant(u))[:5])

    k = tensors[3]
    with tf.GradientTape() as tape:
        tape.watch(k)
        value = strength(k)
    slope = tf.reduce_sum(tape.gradient(value, k)).numpy()
    step = 2e-3
    apart = (strength(k + step) - strength(k - step)).numpy() / (2 * step)
    assert slope == pytest.approx(apart, rel=0.1)
