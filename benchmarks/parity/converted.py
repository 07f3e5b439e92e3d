"""Programs with a graph of their own, made from the SavedModel."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.parity.tool import Arrays, Ask, Tool, own_name, run
from stm_keras.models.export import export_tflite

_UNCHECKED = "refuse senseless input: checks are left out"


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
            port: inputs[own_name(port.get_names(), inputs)]
            for port in compiled.inputs
        }
        outputs = compiled(given)
        wanted = ("probability", "score", "offset", "deviation")
        return {
            own_name(names[port], wanted): outputs[port]
            for port in compiled.outputs
        }

    yield ask


@contextmanager
def onnx(model: Path, scratch: Path) -> Iterator[Ask]:
    """ONNX Runtime, converted by tf2onnx."""
    module: Any = importlib.import_module("onnxruntime")
    path = scratch / "model.onnx"
    run(
        *(sys.executable, "-m", "tf2onnx.convert", "--saved-model", model),
        *("--signature_def", "locate", "--opset", "18", "--output", path),
    )
    session = module.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    named = [output.name for output in session.get_outputs()]

    def ask(inputs: Arrays) -> Arrays:
        given = {
            i.name: inputs[own_name([i.name], inputs)]
            for i in session.get_inputs()
        }
        return dict(zip(named, session.run(None, given), strict=True))

    yield ask


TOOLS = (
    Tool("LiteRT", "ai-edge-litert", litert, cannot=_UNCHECKED),
    Tool(
        "OpenVINO",
        "openvino",
        openvino,
        signature="serving_default",
        cannot="other signatures than serving_default",
    ),
    Tool("ONNX Runtime", "onnxruntime", onnx, cannot=_UNCHECKED),
)
