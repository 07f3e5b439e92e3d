"""The examples, run as their pages say, find what `stmk predict` finds."""

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.parity.serving import TOOLS, rest_api
from benchmarks.parity.tensorflow_tools import c_api
from benchmarks.parity.tool import ROOT, run

COPPER = ROOT.parent / "shared/data/cu111_co/Topo102.sxm"
CONTEXT = ("--model", ROOT / "saved_models/context")
GRPC_PORT, REST_PORT = 8500, 8501  # the server's own; the client knows no other
POSITION_NM = 0.01


@pytest.fixture(scope="module")
def stmk(tmp_path_factory):
    """`stmk` of this Python, the first on the path."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "stmk"
    program.write_text(
        f"#!{sys.executable}\n"
        "from cli.main import main\n\n"
        'if __name__ == "__main__":\n    main()\n'
    )
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield program


@pytest.fixture(scope="module")
def virtual(virtual_scan):
    """A file of virtual maps, and its surface."""
    return virtual_scan, "--surface", "au111"


@pytest.fixture
def copper():
    """A real topograph, and its surface."""
    if not COPPER.exists():
        pytest.skip(f"the real file {COPPER} is not here")
    return COPPER, "--surface", "cu111"


@pytest.fixture(scope="module")
def predicted(stmk, tmp_path_factory):
    """Positions (y, x) [nm] of `stmk predict` by the network alone."""
    known = {}

    def predict(*told):
        if told not in known:
            out = tmp_path_factory.mktemp("found") / "out"
            more = ("--surrogates", 0, "--no-fit-rings", "--out", out)
            run(stmk, "predict", *told, *CONTEXT, *more)
            listed = json.loads((out / "positions.json").read_text())
            known[told] = [(p["y_nm"], p["x_nm"]) for p in listed["positions"]]
        return np.array(known[told])

    return predict


@pytest.fixture
def local_server():
    """The server of the examples, at its own ports."""
    tool = next(tool for tool in TOOLS if tool.open is rest_api)
    missing = tool.missing()
    if missing is not None:
        pytest.skip(missing)
    for port in (GRPC_PORT, REST_PORT):
        with socket.socket() as probe:
            if probe.connect_ex(("localhost", port)) == 0:
                pytest.skip(f"something else listens at port {port}")
    script = "examples/serving/local_server.py"
    with subprocess.Popen(
        [sys.executable, script, "--models", "saved_models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout.readline() == "ready: context, wang2020\n"
            yield
        finally:
            process.terminate()


def same_positions(printed, expected):
    """Check what an example prints; of equals either may come first."""
    head, *lines = printed.splitlines()
    assert head == "y_nm,x_nm,probability"
    found = np.array([line.split(",")[:2] for line in lines], float)
    assert len(found) == len(expected) > 3
    apart = np.linalg.norm(found[:, None] - expected, axis=-1)
    assert apart.min(0).max() < POSITION_NM
    assert apart.min(1).max() < POSITION_NM


@pytest.mark.slow
def test_the_client_of_the_server(virtual, predicted, local_server):
    client = "examples/serving/client.py"
    printed = run(sys.executable, client, *virtual, cwd=ROOT)
    same_positions(printed, predicted(*virtual))


@pytest.mark.slow
@pytest.mark.parametrize("scan", ["virtual", "copper"])
def test_the_program_in_c(scan, stmk, predicted, tmp_path, request):
    for program in ("make", "cc"):
        if not shutil.which(program):
            pytest.skip(f"there is no {program}")
    told = request.getfixturevalue(scan)
    tensors = tmp_path / "tensors"
    run(stmk, "prepare", *told, *CONTEXT, "--out", tensors)
    with c_api(CONTEXT[1], tmp_path):
        printed = run(tmp_path / "locate", CONTEXT[1], tensors)
    same_positions(printed, predicted(*told))
