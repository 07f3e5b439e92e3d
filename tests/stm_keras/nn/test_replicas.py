"""One step on two devices is one step on one, up to the order of sums."""

import json
import subprocess
import sys

import numpy as np
import pytest

STEP = """
import json, sys
import keras
import numpy as np
import tensorflow as tf
from stm_keras.nn.model import context, wang2020

cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
name = sys.argv[1]
rng = np.random.default_rng(0)
maps = rng.normal(size=(4, 2, 12, 12)).astype("f")
batch = {"maps": maps, "experiment": maps[::-1].copy()}
if name == "wang2020":
    batch["label"] = np.full((4, 12, 12), 1 / 144, "f")
    batch["label"][:, 3, 4] += 0.5
    sizes = {"filters": 4, "attention_filters": 2, "kernel_size": 3}
else:
    batch["ring"] = rng.uniform(1, 2, (4, 2)).astype("f")
    batch["positions"] = rng.uniform(2, 10, (4, 2, 2)).astype("f")
    sizes = {"filters": 4, "dilations": (1,), "second_dilations": (1,),
             "first_filters": 4, "first_dilations": (1,), "told_filters": 2,
             "decoder_filters": 4, "decoder_dilations": (1,),
             "attention_filters": 2, "embedding_units": 3}


def trained(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = {"wang2020": wang2020, "context": context}[name](0.1, **sizes)
        model.compile(optimizer=keras.optimizers.SGD(0.1))
    before = model.get_weights()
    data = tf.data.Dataset.from_tensors(batch)
    history = model.fit(data, verbose=0).history
    steps = [b - a for a, b in zip(before, model.get_weights())]
    return before, steps, {k: v[0] for k, v in history.items()}


made, one, told = trained(tf.distribute.get_strategy())
_, two, again = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
largest = max(np.abs(step).max() for step in one)
weights = max(np.abs(w).max() for w in made)
print(json.dumps({
    "step": float(largest), "weights": float(weights),
    "difference": float(max(np.abs(a - b).max() for a, b in zip(one, two))),
    "one": told, "two": again,
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wang2020", "context"])
def test_a_step_on_two_devices_is_that_of_one(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STEP, name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["step"] > 1e-4
    # A step is known to the rounding of the weights that it changed.
    assert found["difference"] <= 1e-6 * found["weights"]
    assert found["difference"] <= 1e-3 * found["step"]
    assert set(found["one"]) == {"loss", "l0", "lreg"}
    for metric, value in found["one"].items():
        np.testing.assert_allclose(found["two"][metric], value, rtol=1e-6)
