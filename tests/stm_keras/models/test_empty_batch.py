"""An empty batch is an empty answer, whatever oneDNN makes of the graph.

TensorFlow reads the flag once, when it is imported: each value has a process
of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHIPPED = Path(__file__).resolve().parents[3] / "saved_models"

ASK = """
import json, sys
import numpy as np
import tensorflow as tf

SHAPES = {"maps": (0, 3, 24, 20), "measured": (0, 3, 24, 20),
          "ring": (0, 3), "ring_per_nm": (0, 3), "pixel_nm": (0,)}
shapes = {}
for path in sys.argv[1:]:
    loaded = tf.saved_model.load(path)
    for name, function in loaded.signatures.items():
        inputs = function.structured_input_signature[1]
        answer = function(
            **{key: tf.zeros(SHAPES[key], tf.float32) for key in inputs}
        )
        shapes[path + ":" + name] = {
            key: list(values.shape) for key, values in answer.items()
        }
print(json.dumps(shapes))
"""


@pytest.mark.parametrize("flag", ["0", "1"])
def test_every_signature_answers_none_with_none(
    flag, context_saved, score_saved
):
    check([context_saved, score_saved], flag)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["0", "1"])
def test_the_models_that_ship_do_so_too(flag):
    check([SHIPPED / "context", SHIPPED / "wang2020"], flag)


def check(models, flag):
    """All answers of these models to nothing hold nothing."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *map(str, models)],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": flag},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shapes = json.loads(done.stdout.splitlines()[-1])
    assert len({key.rsplit(":", 1)[0] for key in shapes}) == len(models)
    for signature, outputs in shapes.items():
        assert outputs, signature
        for name, shape in outputs.items():
            assert shape[0] == 0, (signature, name)
