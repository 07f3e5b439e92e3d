"""`stmk demo`: what a newcomer gets to see."""

import shutil

import pytest
from matplotlib.image import imread

from stm_keras import demo
from stm_keras.detections import read_positions
from stm_keras.results.folder import FILES


@pytest.mark.slow
def test_both_networks_on_one_file(model, tmp_path, monkeypatch):
    """All but the training, which a little trained model stands in for."""
    monkeypatch.setattr(
        demo, "_train", lambda data, out, verbosity: shutil.copytree(model, out)
    )
    lines = list(demo.run_demo(tmp_path / "data", tmp_path))
    found = tmp_path / "found"
    for name in ("wang2020", "context"):
        assert {p.name for p in (found / name).iterdir()} >= set(FILES)
        assert any(name in x and x.endswith(" s") for x in lines)
    truth = read_positions(found / "truth.csv").positions_px
    table = next(line for line in lines if "Jaccard" in line).splitlines()
    context = next(row for row in table if row.startswith("context"))
    numbers = context.replace(demo.SHIPPED, "").split()
    assert int(numbers[0]) == len(truth)
    assert float(numbers[3]) > 0.9
    assert imread(found / "side_by_side.png").shape[1] > 1500
    assert lines[-1].strip().startswith("stmk predict")
