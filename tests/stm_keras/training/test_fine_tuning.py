"""The page docs/fine_tuning.md: its lines run, and teach what they say."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.models.card import read_card
from stm_keras.models.export import load_weights

PAGE = Path(__file__).parents[3] / "docs" / "fine_tuning.md"


@pytest.fixture
def folder(little_context, tmp_path, monkeypatch):
    """A folder as a user has it: a model, and marked maps."""
    shutil.copytree(little_context, tmp_path / "saved_models" / "context")
    rng = np.random.default_rng(0)
    positions = rng.uniform(4, 20, (4, 3, 2)).astype(np.float32)
    positions[0, 2] = np.nan
    np.savez(
        tmp_path / "mine.npz",
        maps=rng.normal(size=(4, 2, 24, 24)).astype(np.float32),
        q=np.full((4, 2), 1.5, np.float32),
        positions=positions,
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_lines_of_the_page_run(folder):
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)[0]
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["answer"].shape == (4, 24, 24, 5)
    assert read_card(folder / "mine").name == "mine"
    before = load_weights(folder / "saved_models" / "context")
    after = load_weights(folder / "mine")
    for one, other in zip(before.parts(), after.parts(), strict=True):
        pairs = zip(one.get_weights(), other.get_weights(), strict=True)
        changed = [not np.array_equal(a, b) for a, b in pairs]
        assert any(changed) == (one.name == "decoder")
    assert "locate" in tf.saved_model.load(str(folder / "mine")).signatures
