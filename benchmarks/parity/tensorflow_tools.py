"""TensorFlow itself: alone, its command line, its C interface."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.parity.tool import ROOT, Arrays, Ask, Tool, run

_ALONE = """
import sys, time
for name in ("stm_keras", "cli", "data_builders", "keras"):
    sys.modules[name] = None
import numpy as np, tensorflow as tf
model, signature, given, answer = sys.argv[1:]
ask = tf.saved_model.load(model).signatures[signature]
inputs = {k: tf.constant(v) for k, v in np.load(given).items()}
ask(**inputs)
start = time.perf_counter()
outputs = {k: v.numpy() for k, v in ask(**inputs).items()}
np.savez(answer, seconds=time.perf_counter() - start, **outputs)
"""


@contextmanager
def plain(model: Path, scratch: Path) -> Iterator[Ask]:
    """`tf.saved_model.load` where this package cannot be imported."""

    def ask(inputs: Arrays) -> Arrays:
        given, answer = scratch / "given.npz", scratch / "answer.npz"
        np.savez(given, **inputs)  # pyright: ignore[reportArgumentType]
        run(sys.executable, "-c", _ALONE, model, "locate", given, answer)
        return dict(np.load(answer))

    yield ask


@contextmanager
def saved_model_cli(model: Path, scratch: Path) -> Iterator[Ask]:
    """TensorFlow's own command line."""
    tool = "tensorflow.python.tools.saved_model_cli"

    def ask(inputs: Arrays) -> Arrays:
        for name, values in inputs.items():
            np.save(scratch / f"{name}.npy", values)
        out = scratch / "outputs"
        given = ";".join(f"{k}={scratch / k}.npy" for k in inputs)
        run(
            *(sys.executable, "-m", tool, "run", "--dir", model),
            *("--tag_set", "serve"),
            *("--signature_def", "locate", "--inputs", given),
            *("--outdir", out, "--overwrite"),
        )
        return {path.stem: np.load(path) for path in out.glob("*.npy")}

    yield ask


@contextmanager
def c_api(model: Path, scratch: Path) -> Iterator[Ask]:
    """`examples/c/locate`, compiled against the wheel's library."""
    for name in ("locate.c", "Makefile"):
        shutil.copy(ROOT / "examples/c" / name, scratch)
    run("make", "-C", scratch, f"PYTHON={sys.executable}")

    def ask(inputs: Arrays) -> Arrays:
        for name, values in inputs.items():
            np.save(scratch / f"{name}.npy", values)
        printed = run(scratch / "locate", model, scratch)
        rows = [line.split(",") for line in printed.splitlines()[1:]]
        table = np.array(rows, np.float32).reshape(1, -1, 3)
        return {
            "positions_nm": table[..., :2],
            "probability": table[..., 2],
            "count": np.array([len(rows)]),
        }

    yield ask


TOOLS = (
    Tool("tf.saved_model.load, alone", "tensorflow", plain),
    Tool("saved_model_cli run", "tensorflow", saved_model_cli),
    Tool(
        "TensorFlow C API",
        "tensorflow",
        c_api,
        cannot="prints 5 decimals",
        program="cc",
    ),
)
