from typing import Any

import keras
import numpy as np
import pytest

from stm_keras.fitting.context_start import uncalibrated
from stm_keras.nn.model import context

SMALL = {
    "filters": 4,
    "dilations": (1,),
    "second_dilations": (1,),
    "first_filters": 5,
    "first_dilations": (1,),
    "decoder_filters": 6,
    "decoder_dilations": (1,),
}


def stack():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 3, 20, 20)).astype(np.float32)
    return maps, rng.uniform(0.7, 2.0, (2, 3)).astype(np.float32)


@pytest.mark.parametrize("joint", [False, True])
def test_a_copy_answers_as_the_model_did(joint):
    keras.utils.set_random_seed(3)
    model = context(**SMALL, joint=joint)
    copy = uncalibrated(model, alpha=0.1)
    assert copy.alpha == 0.1
    assert copy.network.own.joint
    if not joint:
        step: Any = copy.network.explained.step.kernel
        assert np.any(step)  # the one change before training
        step.assign(0 * step)
    np.testing.assert_allclose(copy(*stack()), model(*stack()), atol=1e-4)


def test_what_an_older_network_lacked_is_there_to_learn():
    copy = uncalibrated(context(**SMALL, joint=False))
    before = np.asarray(copy(*stack()))
    kernel: Any = copy.network.decoder.join.kernel
    assert not np.any(kernel[..., -8:, :])
    kernel.assign(kernel + 0.1)
    assert np.abs(np.asarray(copy(*stack())) - before).max() > 1e-3
