import importlib
from pathlib import Path

import pytest

from stm_keras.studies.bench.cases import Role

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks/peers"


@pytest.fixture
def peers(monkeypatch):
    """The modules of `benchmarks/peers` by name, as its scripts see them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def export_folder(peers, tmp_path):
    """A small export of suite eq3."""
    peers("export").main(
        ["--maps", "3", "--tune-maps", "2", "--fields", "12"]
        + ["--seed", "5", "--out", str(tmp_path)]
    )
    return tmp_path


@pytest.fixture
def write_found(peers, export_folder):
    """Writes what a function of a case finds as a peer's detections."""

    def write(peer, find):
        files, suites = peers("peer_files"), peers("export")
        made = suites.read_made(export_folder)
        for cell in suites.PEER_SUITES["eq3"].cells():
            for role in Role:
                name = suites.stack_file(cell, role)
                cases = suites.cell_cases(made, cell, role)
                stacks = files.load_stacks(export_folder / "stacks" / name)
                found = [find(case) for case in cases]
                files.save_detections(
                    export_folder / peer / name,
                    files.Detections(
                        [positions for positions, _ in found],
                        [scores for _, scores in found],
                        stacks.digests,
                        0.25,
                        "a test's peer",
                    ),
                )

    return write
