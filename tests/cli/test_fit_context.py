"""`stmk fit --network context`: what goes together, and what does not."""

import json

import numpy as np
import pytest

from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--network", "other"), "Unknown --network 'other'"),
        (("--network", "context", "--noise", "0.5"), "--noise is an option"),
        (("--network", "context", "--epochs", "3"), "--epochs is an option"),
        (("--shares", "2"), "--shares is an option of --network context"),
        (("--network", "wang2020", "--init", "x"), "--init is an option"),
        (("--init", "x", "--noise", "1"), "--noise is an option"),
        (("--init", "x", "--voltages", 4, "--sizes", 18), "No such model"),
        (("--add-blocks", "1,2"), "--add-blocks is an option of --network"),
        (
            ("--network", "context", "--voltages", 4, "--sizes", 18)
            + ("--add-blocks", "1,2"),
            "give `init`",
        ),
        (("--init", "x", "--add-blocks", "one"), "No such model"),
        (("--data", "more"), "one --data"),
        (("--network", "context", "--steps", "50"), "multiple of 100"),
        (("--network", "context", "--steps", "0"), "Without a step"),
        (("--network", "context", "--surrogate-share", "2"), "between 0 and 1"),
        (("--network", "context", "--shares", "1,2"), "give 1 whole numbers"),
        (
            ("--network", "context", "--voltages", 4, "--sizes", 18)
            + ("--init", "none"),
            "No such model",
        ),
        (
            ("--network", "context", "--voltages", 4, "--sizes", 48),
            "fields of 20 px",
        ),
        (("--network", "context", "--voltages", "64"), "cannot train with 64"),
    ],
)
def test_options_that_do_not_go_together(
    stmk, friedel, tmp_path, options, message
):
    code, _, error = stmk("fit", "--data", friedel, "--out", "out", *options)
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_from_data_to_positions_with_their_certainty(stmk, friedel, tmp_path):
    code, out, error = stmk(
        *("fit", "--network", "context", "--data", friedel, "--out", "mine"),
        *("--steps", 100, "--voltages", "1,4", "--sizes", 18, "--filters", 4),
        *("--decoder-filters", 8, "--batch-size", 8),
        *("--learning-rate", 0.005),
    )
    assert code == 0, error
    assert "4 maps: network" in out
    whole = simulate_virtual(
        named_virtual("medium", "typical"), np.random.default_rng(5)
    )
    np.savez(
        tmp_path / "scan.npz",
        maps=whole.maps[::32],
        bias_v=whole.bias_v[::32],
        extent_nm=[37.5, 37.5],
    )
    code, out, error = stmk(
        *("predict", "scan.npz", "--model", "mine", "--surface", "au111"),
        *("--threshold", 0.05, "--out", "found"),
    )
    assert code == 0, error
    assert "expected to be false" in out
    told = json.loads((tmp_path / "found/positions.json").read_text())
    assert told["expected_false"] >= 0
    assert len(told["found_in_surrogates"]) == 5
    assert {"std_x_nm", "std_y_nm"} <= set(told["positions"][0])
    code, out, error = stmk(
        *("fit", "--init", "mine", "--experiment", "scan.npz"),
        *("--surface", "au111", "--data", friedel, "--steps", 100),
        *("--voltages", "1,4", "--sizes", 18, "--batch-size", 8),
        *("--learning-rate", 0.001, "--out", "adapted"),
    )
    assert code == 0, error
    assert "entropy on the experiment" in out
    card = json.loads((tmp_path / "adapted/model_card.json").read_text())
    assert card["adaptation"]["shipped"] in ("adapted", "start")
    assert card["training"]["alpha"] == 0.03
    code, _, error = stmk(
        *("predict", "scan.npz", "--model", "mine", "--surface", "au111"),
        *("--threshold", 3, "--out", "other"),
    )
    assert code == 2
    assert "gives probabilities" in error
