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
OLDER = ROOT / "tests/stm_keras/models/cards/form_1.json"


@pytest.fixture
def stored(tmp_path):
    """A model with a stored card of form 1, and changes to it."""
    path = tmp_path / "stored"
    shutil.copytree(
        ROOT / "saved_models/wang2020",
        path,
        # Its card is changed: the checksums would say so.
        ignore=shutil.ignore_patterns("training", "SHA256SUMS"),
    )

    def change(**changes):
        fields = json.loads(OLDER.read_text()) | changes
        (path / "model_card.json").write_text(json.dumps(fields))
        return path

    return change


def test_a_model_of_an_older_version_works(stored):
    detector = load_detector(stored())
    assert detector.card.versions["stm-keras"] == "0.0.9"
    assert detector.selection.threshold(1) == pytest.approx(3.45, abs=0.01)
    maps = np.random.default_rng(0).normal(size=(1, 2, 12, 12))
    assert np.isfinite(detector.score(maps)).all()


def test_a_model_of_a_newer_version_works_where_its_form_is_known(stored):
    detector = load_detector(stored(versions={"stm-keras": "9.0"}))
    assert detector.score(np.ones((1, 1, 4, 4))).shape == (1, 4, 4)


def test_a_form_that_does_not_exist_yet(stored):
    with pytest.raises(
        OtherVersionError,
        match=r"form 99 and was made by stm-keras 9\.0.*train it again",
    ):
        load_detector(stored(format=99, versions={"stm-keras": "9.0"}))


def test_a_newer_model_that_does_not_load(stored):
    """It says that it takes q, and its graph does not."""
    certain = {"threshold": 0.5, "false_discovery_rate": 0.1}
    other = {"network": {"class": "Context"}, "detection": certain}
    newer = other | {"versions": {"stm-keras": "9.0"}}
    with pytest.raises(
        OtherVersionError,
        match=r"cannot be used .*made by stm-keras 9\.0 \(here: .*install",
    ):
        load_detector(stored(**newer))
    with pytest.raises(InputError, match="is damaged") as refused:
        load_detector(stored(**other))
    assert not isinstance(refused.value, OtherVersionError)


def test_a_network_that_does_not_exist(stored):
    with pytest.raises(InputError, match=r"'Other'\. Known: Context, Wang2020"):
        load_detector(stored(network={"class": "Other"}))


def test_a_card_of_another_network(stored):
    certain = {"threshold": 0.5, "false_discovery_rate": 0.1}
    with pytest.raises(InputError, match="card is not of a Wang2020"):
        load_detector(stored(detection=certain))


def test_a_copy_finds_the_same(tmp_path):
    detector = load_detector(ROOT / "saved_models/wang2020")
    detector.save(tmp_path / "copy")
    maps = np.random.default_rng(0).normal(size=(1, 2, 12, 12))
    copy = load_detector(tmp_path / "copy")
    np.testing.assert_array_equal(copy.score(maps), detector.score(maps))
    assert copy.card == detector.card
    with pytest.raises(InputError, match="not empty"):
        detector.save(tmp_path / "copy")
