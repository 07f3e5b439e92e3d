import importlib
import shutil
from pathlib import Path

import pytest

from stm_keras.studies.bench.cases import Role

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks/peers"


@pytest.fixture
def peers(monkeypatch):
    """The modules of `benchmarks/peers` by name, as its scripts see them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A small export of suite eq3, for all tests to copy."""
    out = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        importlib.import_module("export").main(
            ["--maps", "3", "--tune-maps", "2", "--fields", "12"]
            + ["--seed", "5", "--out", str(out)]
        )
    return out


@pytest.fixture
def export_folder(exported, tmp_path):
    """A small export of suite eq3, to write into."""
    return Path(shutil.copytree(exported, tmp_path / "export"))


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
