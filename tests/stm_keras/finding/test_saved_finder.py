"""Models of other versions: they work, or it is said why not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.models.card import OtherVersionError

ROOT = Path(__file__).parents[3]
OLDER = ROOT / "tests/stm_keras/cards/form_1.json"


@pytest.fixture
def stored(tmp_path):
    """A model with a stored card of form 1, and changes to it."""
    path = tmp_path / "stored"
    shutil.copytree(
        ROOT / "saved_models/wang2020",
        path,
        ignore=shutil.ignore_patterns("training"),
    )

    def change(**changes):
        fields = json.loads(OLDER.read_text()) | changes
        (path / "model_card.json").write_text(json.dumps(fields))
        return path

    return change


def test_a_model_of_an_older_version_works(stored):
    finder = load_detector(stored())
    assert finder.card.versions["stm-keras"] == "0.0.9"
    assert finder.card.threshold(1) == pytest.approx(3.45, abs=0.01)
    maps = np.random.default_rng(0).normal(size=(1, 2, 12, 12))
    assert np.isfinite(finder.score(maps)).all()


def test_a_model_of_a_newer_version_works_where_its_form_is_known(stored):
    finder = load_detector(stored(versions={"stm-keras": "9.0"}))
    assert finder.score(np.ones((1, 1, 4, 4))).shape == (1, 4, 4)


def test_a_form_that_does_not_exist_yet(stored):
    with pytest.raises(
        OtherVersionError,
        match=r"form 99 and was made by stm-keras 9\.0.*train it again",
    ):
        load_detector(stored(format=99, versions={"stm-keras": "9.0"}))


def test_a_newer_model_that_does_not_load(stored):
    """It says that it takes wave numbers, and its graph does not."""
    certain = {"threshold": 0.5, "false_discovery_rate": 0.1}
    newer = {"detection": certain, "versions": {"stm-keras": "9.0"}}
    with pytest.raises(
        OtherVersionError,
        match=r"cannot be used .*made by stm-keras 9\.0 \(here: .*install",
    ):
        load_detector(stored(**newer))
    with pytest.raises(InputError, match="is damaged") as refused:
        load_detector(stored(detection=certain))
    assert not isinstance(refused.value, OtherVersionError)
