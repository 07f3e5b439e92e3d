"""Does every tool that loads our SavedModel give what Keras gives?

Prints a table: tool, version, largest difference from Keras in probability
and in position [px], median latency, on virtual Au(111) maps. Tools that are
not installed are left out, with the reason. Run from the project's folder:

    pip install -c constraints.txt -e ".[parity]"
    python benchmarks/parity.py --model saved_models/context

The answers come from `locate`, or from `serving_default` where a tool can
load no other signature; NaN of the padding is not compared.
"""

import argparse
import datetime
import importlib
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.export.endpoints import Endpoint
from stm_keras.export.model_export import load_weights
from stm_keras.export.saved_model import endpoints_of
from stm_keras.export.tflite import export_tflite
from stm_keras.model_card import read_card
from stm_keras.simulation.virtual_config import named_virtual
from stm_keras.simulation.virtual_experiment import simulate_virtual
from stm_keras.surfaces import PAPER_EXTENT_NM, surface

Arrays = dict[str, np.ndarray]
Ask = Callable[[Arrays], Arrays]
ROOT = Path(__file__).parents[1]
SEED = 88_000_000
N_MAPS, SIZE_PX = 4, 64
REPEATS = 7
_PATIENCE_S = 3.0


class Tool(NamedTuple):
    """A program that loads the SavedModel.

    Attributes:
        name: for the table.
        package: whose version is shown, and without which it is left out.
        open: gives, for a model directory and a scratch folder, the function
            that answers; a context manager.
        signature: what it is asked.
        cannot: what it cannot do.
    """

    name: str
    package: str
    open: Callable[[Path, Path], Any]
    signature: str = "locate"
    cannot: str = ""


def inputs_of(model: Path, n_maps: int = N_MAPS, seed: int = SEED) -> Arrays:
    """Virtual Au(111) maps as the model takes them."""
    rng = np.random.default_rng(seed)
    whole = simulate_virtual(named_virtual("medium", "typical"), rng)
    chosen = np.linspace(0, len(whole.maps) - 1, n_maps).round().astype(int)
    maps = whole.maps[chosen][:, :SIZE_PX, :SIZE_PX]
    pixel = PAPER_EXTENT_NM / whole.maps.shape[-1]
    named = {
        "maps": maps[None].astype(np.float32),
        "pixel_nm": np.array([pixel], np.float32),
    }
    if read_card(model).detection is not None:
        k = surface("au111").wave_number(whole.bias_v[chosen])
        named["ring_per_nm"] = 2 * k[None].astype(np.float32)
    return named


def keras_answer(model: Path, signature: str, inputs: Arrays) -> Arrays:
    """The Keras model itself, in this process, without an export."""
    endpoint: Endpoint = next(
        e
        for e in endpoints_of(load_weights(model), read_card(model), None)
        if e.name == signature
    )
    given = (tf.constant(inputs[str(spec.name)]) for spec in endpoint.inputs)
    return {k: v.numpy() for k, v in endpoint.function(*given).items()}


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
        _run(sys.executable, "-c", _ALONE, model, "locate", given, answer)
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
        _run(
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
    _run("make", "-C", scratch, f"PYTHON={sys.executable}")

    def ask(inputs: Arrays) -> Arrays:
        for name, values in inputs.items():
            np.save(scratch / f"{name}.npy", values)
        printed = _run(scratch / "locate", model, scratch)
        rows = [line.split(",") for line in printed.splitlines()[1:]]
        table = np.array(rows, np.float32).reshape(1, -1, 3)
        return {
            "positions_nm": table[..., :2],
            "probability": table[..., 2],
            "count": np.array([len(rows)]),
        }

    yield ask


@contextmanager
def litert(model: Path, scratch: Path) -> Iterator[Ask]:
    """LiteRT's interpreter, with a float32 file of built-in operations."""
    module: Any = importlib.import_module("ai_edge_litert.interpreter")
    path = scratch / "model.tflite"
    export_tflite(model, path, "float32")
    interpreter = module.Interpreter(str(path), num_threads=os.cpu_count())
    runner = interpreter.get_signature_runner("locate")
    yield lambda inputs: runner(**inputs)


@contextmanager
def openvino(model: Path, scratch: Path) -> Iterator[Ask]:
    """OpenVINO reads the directory itself."""
    del scratch
    module: Any = importlib.import_module("openvino")
    core = module.Core()
    compiled = core.compile_model(
        core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    names = {port: sorted(port.get_names()) for port in compiled.outputs}

    def ask(inputs: Arrays) -> Arrays:
        given = {
            port: inputs[_own_name(port.get_names(), inputs)]
            for port in compiled.inputs
        }
        outputs = compiled(given)
        wanted = ("probability", "score", "offset", "deviation")
        return {
            _own_name(names[port], wanted): outputs[port]
            for port in compiled.outputs
        }

    yield ask


@contextmanager
def onnx(model: Path, scratch: Path) -> Iterator[Ask]:
    """ONNX Runtime, converted by tf2onnx."""
    module: Any = importlib.import_module("onnxruntime")
    path = scratch / "model.onnx"
    _run(
        *(sys.executable, "-m", "tf2onnx.convert", "--saved-model", model),
        *("--signature_def", "locate", "--opset", "18", "--output", path),
    )
    session = module.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    named = [output.name for output in session.get_outputs()]

    def ask(inputs: Arrays) -> Arrays:
        given = {
            i.name: inputs[_own_name([i.name], inputs)]
            for i in session.get_inputs()
        }
        return dict(zip(named, session.run(None, given), strict=True))

    yield ask


@contextmanager
def served(model: Path, scratch: Path) -> Iterator[tuple[int, int]]:
    """The local server of `examples/serving`; its gRPC and REST ports."""
    models = scratch / "models"
    models.mkdir()
    (models / model.name).symlink_to(model.resolve())
    ports = _free_port(), _free_port()
    script = ROOT / "examples/serving/local_server.py"
    with subprocess.Popen(
        [
            *(sys.executable, str(script), "--models", str(models)),
            *("--grpc-port", str(ports[0]), "--rest-port", str(ports[1])),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("the local server did not start")
            yield ports
        finally:
            process.terminate()


@contextmanager
def grpc_api(model: Path, scratch: Path) -> Iterator[Ask]:
    """Requests of TensorFlow Serving's gRPC interface."""
    grpc: Any = importlib.import_module("grpc")
    apis = "tensorflow_serving.apis"
    messages: Any = importlib.import_module(f"{apis}.predict_pb2")
    service: Any = importlib.import_module(
        f"{apis}.prediction_service_pb2_grpc"
    )
    with served(model, scratch) as (port, _):
        channel = grpc.insecure_channel(f"localhost:{port}")
        stub = service.PredictionServiceStub(channel)

        def ask(inputs: Arrays) -> Arrays:
            request = messages.PredictRequest()
            request.model_spec.name = model.name
            request.model_spec.signature_name = "locate"
            for key, values in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
            outputs = stub.Predict(request, timeout=60).outputs
            return {k: tf.make_ndarray(v) for k, v in outputs.items()}

        yield ask


@contextmanager
def rest_api(model: Path, scratch: Path) -> Iterator[Ask]:
    """The same through REST, column form."""
    json: Any = importlib.import_module("json")
    with served(model, scratch) as (_, port):
        url = f"http://localhost:{port}/v1/models/{model.name}:predict"

        def ask(inputs: Arrays) -> Arrays:
            columns = {k: v.tolist() for k, v in inputs.items()}
            body = json.dumps({"signature_name": "locate", "inputs": columns})
            request = urllib.request.Request(url, body.encode())
            with urllib.request.urlopen(request, timeout=60) as reply:
                outputs = json.load(reply)["outputs"]
            return {k: np.array(v) for k, v in outputs.items()}

        yield ask


TOOLS = (
    Tool("tf.saved_model.load, alone", "tensorflow", plain),
    Tool("saved_model_cli run", "tensorflow", saved_model_cli),
    Tool(
        "TensorFlow C API", "tensorflow", c_api, cannot="reads 5 decimals here"
    ),
    Tool(
        "LiteRT",
        "ai-edge-litert",
        litert,
        cannot="refuse senseless input: checks are left out",
    ),
    Tool(
        "OpenVINO",
        "openvino",
        openvino,
        signature="serving_default",
        cannot="other signatures than serving_default",
    ),
    Tool(
        "ONNX Runtime",
        "onnxruntime",
        onnx,
        cannot="refuse senseless input: checks are left out",
    ),
    Tool("Serving API, gRPC", "tensorflow-serving-api", grpc_api),
    Tool("Serving API, REST", "tensorflow-serving-api", rest_api),
)


class Difference(NamedTuple):
    """Largest difference from Keras in probability and position [px]."""

    probability: float
    position_px: float


def difference(found: Arrays, keras: Arrays, pixel_nm: float) -> Difference:
    """Compare an answer with that of Keras; infinite where counts differ."""
    if "count" not in keras:
        apart = np.abs(found["probability"] - keras["probability"]).max()
        moved = [
            np.abs(found[name] - keras[name]).max()
            for name in ("offset", "deviation")
            if name in keras
        ]
        return Difference(float(apart), float(max(moved, default=0.0)))
    count = int(keras["count"][0])
    if int(np.ravel(found["count"])[0]) != count:
        return Difference(np.inf, np.inf)
    sure = "probability" if "probability" in keras else "height"
    # The C program calls both the same.
    given = found[sure if sure in found else "probability"]
    apart = np.abs(given[0, :count] - keras[sure][0, :count])
    moved = np.abs(
        found["positions_nm"][0, :count] - keras["positions_nm"][0, :count]
    )
    return Difference(
        float(apart.max(initial=0)), float(moved.max(initial=0)) / pixel_nm
    )


def version(tool: Tool) -> str | None:
    """Of the tool's package; None where it is not installed."""
    try:
        return metadata.version(tool.package)
    except metadata.PackageNotFoundError:
        return None


def _own_name(names: Any, known: Any) -> str:
    """Which of the known names a converter's own ones stand for."""
    for name in names:
        for one in sorted(known, key=len, reverse=True):
            if one in name:
                return one
    raise LookupError(f"none of {list(known)} in {list(names)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def _run(*command: Any) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    return done.stdout


def row(tool: Tool, model: Path) -> str:
    """A line of the table."""
    inputs = inputs_of(model)
    keras = keras_answer(model, tool.signature, inputs)
    with (
        tempfile.TemporaryDirectory() as scratch,
        tool.open(model, Path(scratch)) as ask,
    ):
        found = ask(inputs)
        times = []
        while len(times) < REPEATS and sum(times) < _PATIENCE_S:
            start = time.perf_counter()
            found = ask(inputs)
            times.append(time.perf_counter() - start)
    apart = difference(found, keras, float(inputs["pixel_nm"][0]))
    seconds = float(found.get("seconds", statistics.median(times)))
    return (
        f"| {tool.name} | {version(tool)} | {tool.signature} | "
        f"{apart.probability:.1e} | {apart.position_px:.1e} | "
        f"{1e3 * seconds:.0f} ms | {tool.cannot} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=ROOT / "saved_models/context"
    )
    model: Path = parser.parse_args().model
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {model.name}, {N_MAPS} maps of {SIZE_PX} x "
        f"{SIZE_PX} px, median of up to {REPEATS}\n"
    )
    print(
        "| tool | version | signature | probability | position [px] | ", end=""
    )
    print("latency | what it cannot do |\n" + "|---" * 7 + "|")
    for tool in TOOLS:
        if version(tool) is None:
            print(f"left out: {tool.name} ({tool.package} is not installed)")
            continue
        print(row(tool, model), flush=True)


if __name__ == "__main__":
    main()
