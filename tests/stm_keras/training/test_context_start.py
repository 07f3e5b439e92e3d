import numpy as np
import tensorflow as tf

from stm_keras.training.adaptation import grown, read_start, uncalibrated


def test_added_blocks_change_nothing_until_they_are_trained(little_context):
    model = read_start(little_context).ready.model
    rng = np.random.default_rng(0)
    shown = rng.normal(size=(2, 3, 24, 20)), rng.uniform(0.8, 2, (2, 3))
    maps, ring = (part.astype(np.float32) for part in shown)
    before = uncalibrated(model)
    larger = grown(model, (1, 4))
    own = model.network.sizes["decoder_dilations"]
    assert larger.network.sizes["decoder_dilations"] == (*own, 1, 4)
    assert larger.count_params() > before.count_params()
    answer = before(maps, ring).numpy()
    assert np.ptp(answer[..., 0]) > 0.1
    np.testing.assert_array_equal(larger(maps, ring).numpy(), answer)
    # They would never change if no gradient came through the zeros.
    added = larger.network.decoder.blocks[-1].convolution.kernel
    positions = rng.uniform(2, 18, (2, 3, 2)).astype(np.float32)
    with tf.GradientTape() as tape:
        output = larger(maps, ring, training=True)
        loss = larger.network.loss(output, {"positions": positions})
    assert np.abs(tape.gradient(loss, added.value)).max() > 0
