"""TensorFlow.js in Node and in a browser, converted in its own environment."""

import functools
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.browser import ask_page
from benchmarks.parity.environments import Environment
from benchmarks.parity.tool import Arrays, Ask, Tool, run
from stm_keras.models.description import read_signatures

TFJS = Environment("tfjs")
WEB = Path(__file__).with_name("web")
REPEATS = 3


def convert(model: Path, signature: str, out: Path) -> None:
    """Write a SavedModel's signature as a graph model of TensorFlow.js.

    Its outputs get the signature's names.

    Args:
        model: the SavedModel's directory.
        signature: which one; a graph model holds a single one.
        out: directory to write to.

    Raises:
        RuntimeError: where the converter refuses, with what it says.
    """
    run(
        TFJS.folder / "bin/tensorflowjs_converter",
        "--input_format=tf_saved_model",
        "--output_format=tfjs_graph_model",
        f"--signature_name={signature}",
        "--strip_debug_ops=True",
        model,
        out,
    )
    path = out / "model.json"
    stored = json.loads(path.read_text())
    names = [
        text.split()[0] for text in read_signatures(model)[signature].outputs
    ]
    stored["signature"]["outputs"] = {
        # The converter names only what has a shape of its own; its nodes are
        # in the order of the alphabet, as the signature's outputs are.
        name: {"name": f"Identity_{i}:0" if i else "Identity:0"}
        for i, name in enumerate(names)
    }
    path.write_text(json.dumps(stored))


@functools.cache
def _kept(model: Path, signature: str) -> tempfile.TemporaryDirectory[str]:
    """The converted model; gone when this process is."""
    kept = tempfile.TemporaryDirectory()
    convert(model, signature, Path(kept.name))
    return kept


def as_json(inputs: Arrays) -> str:
    """Shapes and values by name."""
    return json.dumps(
        {
            name: {"shape": values.shape, "data": values.ravel().tolist()}
            for name, values in inputs.items()
        }
    )


def as_arrays(found: dict[str, Any]) -> Arrays:
    """Outputs by name, NaN for null, and `seconds`."""
    named = {
        name: np.array(one["data"], float).reshape(one["shape"])
        for name, one in found["outputs"].items()
    }
    return named | {"seconds": np.array(found["seconds"])}


@contextmanager
def node(
    model: Path, scratch: Path, *, backend: str, signature: str = "locate"
) -> Iterator[Ask]:
    """In Node, which has no browser's graphics."""
    converted = _kept(model, signature).name

    def ask(inputs: Arrays) -> Arrays:
        given, answer = scratch / "given.json", scratch / "answer.json"
        given.write_text(as_json(inputs))
        run(
            *("node", WEB / "node.js", TFJS.modules, backend),
            *(converted, given, answer, REPEATS),
        )
        return as_arrays(json.loads(answer.read_text()))

    yield ask


@contextmanager
def page(
    model: Path, scratch: Path, *, backend: str, signature: str = "locate"
) -> Iterator[Ask]:
    """On a page, in headless Chromium."""
    del scratch
    converted = Path(_kept(model, signature).name)
    folders = {"modules": TFJS.modules, "web": WEB, "model": converted}
    query = f"web/page.html?backend={backend}&repeats={REPEATS}"
    yield lambda inputs: as_arrays(ask_page(folders, query, as_json(inputs)))


def _tool(name: str, program: str, backend: str) -> Tool:
    place = node if program == "node" else page
    return Tool(
        f"TensorFlow.js, {name}, {backend}",
        "tensorflowjs",
        functools.partial(place, backend=backend),
        cannot="refuse senseless input, name every output",
        environment=TFJS,
        program=program,
    )


TOOLS = (
    _tool("Node", "node", "cpu"),
    _tool("Node", "node", "wasm"),
    _tool("Chromium", "chromium", "cpu"),
    _tool("Chromium", "chromium", "wasm"),
    _tool("Chromium", "chromium", "webgl"),
)
