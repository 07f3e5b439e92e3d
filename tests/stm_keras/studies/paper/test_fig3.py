from dataclasses import replace

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.nn.model import wang2020
from stm_keras.studies.paper.fig3 import (
    draw_fig3,
    predict,
    read_weights,
    run_fig3,
)
from stm_keras.studies.paper.run import _write_weights
from stm_keras.studies.paper.settings import (
    ARMS,
    QUICK,
    ExperimentSettings,
    settings_of,
)

SETTINGS = replace(
    settings_of(ARMS["both"], 0),
    network={
        "filters": 4,
        "depth": 1,
        "kernel_size": 3,
        "attention_filters": 2,
    },
    experiment=ExperimentSettings(n_voltages=4),
)


@pytest.fixture(scope="module")
def weights():
    return wang2020(0.03, **SETTINGS.network).network.get_weights()


def test_weights_come_back_epoch_by_epoch(weights, tmp_path):
    path = tmp_path / "weights.npz"
    later = [w + 1 for w in weights]
    _write_weights(path, [weights, later])
    for stored, given in ((1, weights), (2, later)):
        for a, b in zip(read_weights(path, stored), given, strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="no epoch 3"):
        read_weights(path, 3)


def test_attention_sums_to_the_number_of_voltages(weights, draw, tmp_path):
    prediction = predict(SETTINGS, weights, draw, region=5, threshold=2.0)
    assert prediction.score.shape == (80, 80)
    assert prediction.weights.shape == (4, 20, 20)
    np.testing.assert_allclose(prediction.weights.sum(axis=0), 4.0, rtol=1e-4)
    path = tmp_path / "fig3.png"
    draw_fig3(path, draw, prediction, region=5, title="both:0")
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("--experiment", {"number": 9}),
        ("--region", {"region": 16}),
        ("--epoch", {"epoch": 0}),
        ("--run", {"run": "both:99"}),
    ],
)
def test_what_is_not_there_is_refused_before_any_work(option, wrong, tmp_path):
    with pytest.raises(InputError, match=option):
        run_fig3(QUICK, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()
