"""KServe's server, in an environment of its own."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.parity.environments import Environment
from benchmarks.parity.tool import Arrays, Ask, Tool, free_port

KSERVE = Environment("kserve")
_SERVER = Path(__file__).with_name("kserve_server.py")
_START_S = 600


@contextmanager
def kserve_rest(model: Path, scratch: Path) -> Iterator[Ask]:
    """Its V1 REST form: rows (`instances`) in, rows (`predictions`) out."""
    port = free_port()
    url = f"http://localhost:{port}/v1/models/{model.name}"
    log = scratch / "kserve.log"
    with (
        log.open("w") as written,
        subprocess.Popen(
            [
                *(str(KSERVE.python), str(_SERVER), str(model.resolve())),
                *(f"--http_port={port}", "--enable_grpc=false"),
            ],
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            _wait(process, url, log)
            yield lambda inputs: _ask(f"{url}:predict", inputs)
        finally:
            process.terminate()


def _ask(url: str, inputs: Arrays) -> Arrays:
    frames = range(len(inputs["maps"]))
    rows = [{k: v[i].tolist() for k, v in inputs.items()} for i in frames]
    body = json.dumps({"signature_name": "locate", "instances": rows})
    header = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body.encode(), header)
    with urllib.request.urlopen(request, timeout=600) as reply:
        found = json.load(reply)["predictions"]
    # It writes null for NaN, which padding is.
    return {k: np.array([row[k] for row in found], float) for k in found[0]}


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server says that the model is ready."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"KServe did not start: {log.read_text()[-2000:]}")


TOOLS = (
    Tool(
        "KServe, REST V1",
        "kserve",
        kserve_rest,
        cannot="write NaN: padding is null",
        environment=KSERVE,
    ),
)
