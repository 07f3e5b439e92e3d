"""The notebooks run from end to end, on files that they simulate."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("nbclient", exc_type=ImportError)
pytest.importorskip("ipykernel", exc_type=ImportError)
FOLDER = Path(__file__).parents[2] / "examples/notebooks"
RUN = runpy.run_path(str(FOLDER / "run.py"))


@pytest.fixture(autouse=True)
def this_package(monkeypatch):
    """The notebook's own process imports what is tested."""
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))


def texts(book):
    """What the code cells of a notebook printed, in one text."""
    outputs = [
        output
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    return "".join(one.get("text", "") for one in outputs), outputs


def pictures(outputs):
    return sum("image/png" in one.get("data", {}) for one in outputs)


def test_every_notebook_is_run():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(RUN["NAMES"])


@pytest.mark.slow
def test_own_file_to_positions():
    told, outputs = texts(RUN["run"](FOLDER / "find.ipynb"))
    assert "of 30 impurities found" in told
    right = int(told.split(" of 30 impurities found")[0].split()[-1])
    assert right >= 27
    assert pictures(outputs) == 3
    tables = [one for one in outputs if "text/html" in one.get("data", {})]
    assert len(tables) == 2


@pytest.mark.slow
def test_train_your_own():
    told, _ = texts(RUN["run"](FOLDER / "train.ipynb"))
    assert "model_card.json" in told
    lines = [line for line in told.splitlines() if " of 31 found, " in line]
    mine, ships = (int(line.split()[1]) for line in lines)
    assert ships >= 27
    assert mine > 0


@pytest.mark.slow
def test_positions_to_phases():
    told, outputs = texts(RUN["run"](FOLDER / "waves.ipynb"))
    assert "determined" in told
    mass = float(told.split("m* = ")[1].split()[0])
    assert abs(mass - 0.26) < 0.01
    assert pictures(outputs) == 3
