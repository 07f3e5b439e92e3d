from dataclasses import replace

import keras
import numpy as np
import pytest

from stm_keras.detector import ContextDetector
from stm_keras.io.reader import read_maps
from stm_keras.models.card import verify_checksums
from stm_keras.nn.decoding import least_kept
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.training import adaptation as adaptation_module
from stm_keras.training import fit
from stm_keras.training.adaptation import (
    Guard,
    detector_of,
    mean_entropy,
    read_start,
    uncalibrated,
)
from stm_keras.training.experiment import read_experiment
from stm_keras.training.publication import report

RING_RAD_PX = (0.6, 2.2)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A file of four maps of a part of a virtual experiment."""
    whole = simulate_virtual(
        named_virtual("medium", "typical"), np.random.default_rng(5)
    )
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    np.savez(
        path,
        maps=whole.maps[::32, :48, :48],
        bias_v=whole.bias_v[::32],
        extent_nm=[22.5, 22.5],
    )
    return path


@pytest.fixture(scope="module")
def experiment(scan):
    return read_experiment(
        [scan],
        size_px=20,
        n_voltages=4,
        q_range_rad_px=RING_RAD_PX,
        surface="au111",
    )


@pytest.fixture
def start(little_context):
    return read_start(little_context)


def with_surer_pixels(start, by):
    """The same network with the logit of every pixel raised."""
    model = uncalibrated(start.ready.model)
    model.network.calibration = start.ready.model.network.calibration
    model.network.rotations = start.ready.model.network.rotations
    bias = model.network.decoder.head.bias
    bias.assign(bias.numpy() + np.eye(len(bias.numpy()))[0] * by)
    return start.ready._replace(model=model)


def test_an_experiment_is_shown_as_predict_shows_it(start, scan, experiment):
    (stack,) = experiment.stacks
    prepared = ContextDetector.prepare(
        start.card, read_maps(scan), PredictOptions("au111")
    )
    np.testing.assert_array_equal(stack.maps, prepared.ready.data)
    assert prepared.q_per_nm is not None
    ring = prepared.q_per_nm * np.mean(prepared.ready.pixel_nm)
    np.testing.assert_allclose(stack.q_rad_px, ring, rtol=1e-6)
    assert {tile.shape for tile in experiment.tiles} == {(4, 20, 20)}


def test_a_calibration_does_not_change_the_losses(start, experiment):
    """A network is compared as the training compares it."""
    raw = uncalibrated(start.ready.model)
    assert start.ready.model.network.calibration != (raw.network.calibration)
    whole = mean_entropy(start.ready.model, experiment.tiles)
    assert whole == pytest.approx(mean_entropy(raw, experiment.tiles))
    assert 0 < whole < np.log(20 * 20)


@pytest.mark.slow
def test_the_same_network_ships_and_one_that_sees_things_does_not(
    start, experiment
):
    guard = Guard(start, (30.0, 30.0), experiment)
    same, adaptation = guard.compare(with_surer_pixels(start, 0.0))
    assert adaptation.before == adaptation.after
    assert same.model is not start.ready.model
    kept, adaptation = guard.compare(with_surer_pixels(start, 20.0))
    assert kept is start.ready
    more, false = (
        adaptation.after.in_surrogates,
        adaptation.before.in_surrogates,
    )
    assert more is not None
    assert false is not None
    assert more > false
    assert "surrogate" in adaptation.objections[0]
    worse = Guard(start, (30.0, 31.0), experiment)
    kept, adaptation = worse.compare(with_surer_pixels(start, 0.0))
    assert kept is start.ready


@pytest.mark.slow
def test_detections_are_counted_as_predict_keeps_them(start, experiment):
    (stack,) = experiment.stacks
    found = detector_of(start.ready, start.card).detect(*stack).probabilities
    low = start.ready._replace(threshold=float(np.median(found)))
    own = start.card.selection
    for rate in (0.99, 0.3):
        selection = replace(own, false_discovery_rate=rate)
        card = replace(start.card, selection=selection)
        guard = Guard(start._replace(card=card), (1.0, 1.0), experiment)
        _, adaptation = guard.compare(low)
        counted = own.prior_false
        least = least_kept(found, rate, low.threshold, counted)
        kept = adaptation.after.detections
        assert kept == (found >= least).sum()
        if rate == 0.99:  # allows any: the floor decides
            assert kept is not None
            assert kept >= len(found) / 2 > 0


@pytest.mark.slow
def test_a_network_that_cannot_be_calibrated_is_not_shipped(
    start, experiment, context_config, tmp_path
):
    nothing = with_surer_pixels(start, -100.0).model
    guard = Guard(start, (30.0, 30.0), experiment)
    kept, adaptation = guard.choose(nothing, context_config(tmp_path))
    assert kept is start.ready
    assert "cannot be calibrated" in adaptation.objections[0]
    assert adaptation.after.detections is None


@pytest.mark.slow
def test_the_start_takes_the_place_of_a_worse_network(
    start, scan, context_config, little_context, tmp_path, monkeypatch
):
    # No training gains so much: every adapted network is worse.
    monkeypatch.setattr(adaptation_module, "LOSS_MARGIN", -0.9)
    out = tmp_path / "adapted"
    config = context_config(
        out,
        init=little_context,
        network={},
        experiment=(scan,),
        surface="au111",
        alpha=0.03,
        steps=100,
    )
    card = fit(config)
    told = card.adaptation
    assert told is not None
    assert told["shipped"] == "start"
    assert "loss on held-out fields" in told["objections"][0]
    # What the start is, to the last weight and figure.
    assert card.selection.threshold == start.ready.threshold
    shipped = keras.saving.load_model(out / "model.keras")
    network = start.ready.model.network
    assert shipped.network.calibration == network.calibration
    for old, new in zip(
        network.get_weights(), shipped.network.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(new, old)
    assert not verify_checksums(out)
    lines = report(card, out).splitlines()
    assert lines[-2].startswith("The start's weights ship, not the fine-tuned")
    # Continued when whole, it says the same.
    assert fit(config, resume=True).adaptation == told
