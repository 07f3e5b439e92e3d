from dataclasses import replace

import numpy as np

from stm_keras.studies.paper.experiments import Experiments
from stm_keras.studies.paper.settings import (
    ARMS,
    ExperimentSettings,
    RunSettings,
    settings_of,
)
from stm_keras.studies.paper.training import fields, train_run

SMALL = {"filters": 4, "depth": 1, "kernel_size": 3, "attention_filters": 2}
EXPERIMENT = ExperimentSettings(n_voltages=4)


def small(arm, **changes):
    return settings_of(
        ARMS[arm],
        5,
        epochs=1,
        steps=1,
        batch_size=4,
        network=SMALL,
        experiment=EXPERIMENT,
        **changes,
    )


def test_arms_are_the_papers():
    assert {n: (a.noise, a.alpha) for n, a in ARMS.items()} == {
        "neither": (0.0, 0.0),
        "noise": (0.8, 0.0),
        "confidence": (0.0, 0.03),
        "both": (0.8, 0.03),
    }


def test_arms_see_the_same_fields_with_noise_of_their_own():
    clean, noisy = (
        fields(small(arm), epoch=3, n=50) for arm in ("confidence", "both")
    )
    np.testing.assert_array_equal(clean.wave_numbers, noisy.wave_numbers)
    for one, other in zip(clean.positions, noisy.positions, strict=True):
        np.testing.assert_array_equal(one, other)
    noise = noisy.maps - clean.maps
    assert abs(noise.std() - 0.8) < 0.01
    assert abs(clean.maps).max() <= 1.0


def test_epochs_and_seeds_have_fields_of_their_own():
    first = fields(small("neither"), epoch=1, n=2).maps
    assert not np.array_equal(first, fields(small("neither"), 2, 2).maps)
    other = replace(small("neither"), seed=6)
    assert not np.array_equal(first, fields(other, 1, 2).maps)


def trained(settings: RunSettings, draw):
    return train_run(settings, Experiments([draw], [draw], []))


def test_a_run_scores_every_epoch_and_set(draw):
    run = trained(replace(small("both"), epochs=2), draw)
    assert [(r["epoch"], r["set"]) for r in run.points] == [
        (1, "shown"),
        (1, "unseen"),
        (2, "shown"),
        (2, "unseen"),
    ]
    shown, unseen = run.points[-2:]
    # The same frame in both sets: the scores agree; only signs are missing.
    assert {k: shown[k] for k in unseen if k != "set"} == {
        k: v for k, v in unseen.items() if k != "set"
    }
    assert {"stable_voltages", "false_share"} <= shown.keys() - unseen.keys()
    assert len(run.weights) == 2
    assert run.frames[0]["points_truth"] == len(draw.positions)


def test_confidence_lowers_the_entropy_of_the_experiment(draw):
    plain = replace(small("neither"), epochs=3, steps=8)
    sure = replace(plain, alpha=3.0)
    entropies = [
        trained(settings, draw).points[-2]["entropy"]
        for settings in (plain, sure)
    ]
    assert entropies[1] < entropies[0]


def test_arms_of_one_seed_start_from_the_same_weights(draw):
    idle = {"learning_rate": 1e-12}
    one, other = (
        trained(small(arm, **idle), draw).weights[0]
        for arm in ("neither", "both")
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
