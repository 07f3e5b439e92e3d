"""TensorFlow Serving's interfaces, spoken by the server of the examples."""

import importlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.parity.tool import ROOT, Arrays, Ask, Tool, free_port


@contextmanager
def served(model: Path, scratch: Path) -> Iterator[tuple[int, int]]:
    """The local server of `examples/serving`; its gRPC and REST ports."""
    models = scratch / "models"
    models.mkdir()
    (models / model.name).symlink_to(model.resolve())
    ports = free_port(), free_port()
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
    Tool("Serving API, gRPC", "tensorflow-serving-api", grpc_api),
    Tool("Serving API, REST", "tensorflow-serving-api", rest_api),
)
