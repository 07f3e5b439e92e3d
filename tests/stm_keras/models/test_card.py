import json
from pathlib import Path

import pytest

from stm_keras import __version__
from stm_keras.errors import InputError
from stm_keras.models.card import (
    CARD_FORMAT,
    OtherVersionError,
    ScoreSelection,
    read_card,
    write_card,
)

CARDS = Path(__file__).parent / "cards"


@pytest.fixture
def card(tmp_path):
    """Write a stored card with changes; give its directory."""

    def write(form=1, **changes):
        fields = json.loads((CARDS / f"form_{form}.json").read_text())
        text = json.dumps(fields | changes)
        (tmp_path / "model_card.json").write_text(text)
        return tmp_path

    return write


def test_a_card_of_an_older_form(card, tmp_path):
    older = read_card(card())
    assert older.format == 1 < CARD_FORMAT
    assert older.versions["stm-keras"] == "0.0.9"
    assert isinstance(older.selection, ScoreSelection)
    assert older.selection.threshold(3) == older.selection.thresholds[4]
    write_card(older, tmp_path)
    assert read_card(tmp_path) == older


def test_every_form_up_to_now_is_read(card):
    for form in range(1, CARD_FORMAT + 1):
        assert read_card(card(form)).format == form


def test_a_form_that_does_not_exist_yet(card):
    newer = card(format=99, versions={"stm-keras": "9.0"}, network=[])
    with pytest.raises(OtherVersionError) as refused:
        read_card(newer)
    message = str(refused.value)
    assert "has the form 99 and was made by stm-keras 9.0;" in message
    assert f"this is stm-keras {__version__}" in message
    assert "reads the forms 1 and 2" in message
    assert "with the version that made it, or train it again" in message
    with pytest.raises(OtherVersionError, match="by an unknown stm-keras"):
        read_card(card(format=99, versions=3))


def test_a_field_of_a_newer_version(card):
    with pytest.raises(
        OtherVersionError, match=r"'colour'.*made by stm-keras 9\.0 \(here: "
    ):
        read_card(card(colour="blue", versions={"stm-keras": "9.0"}))
    with pytest.raises(InputError, match=r"is damaged .*'colour'") as refused:
        read_card(card(colour="blue"))
    assert not isinstance(refused.value, OtherVersionError)


@pytest.mark.parametrize(
    "changes", [{"made": "today"}, {"versions": []}, {"scores": None}]
)
def test_tables_that_are_none(card, changes):
    with pytest.raises(InputError, match="should be a table"):
        read_card(card(**changes))


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"format": 1}', "\x00"])
def test_what_is_no_card(tmp_path, text):
    (tmp_path / "model_card.json").write_text(text)
    with pytest.raises(InputError, match="is damaged"):
        read_card(tmp_path)


def test_the_floor_grows_with_maps_beyond_the_trainings(card):
    read = read_card(card(floors={"1": 4.0, "16": 10.0}))
    assert read.selection.noise_floor(1) == 4.0
    assert read.selection.noise_floor(12) == 10.0
    assert read.selection.noise_floor(64) == 40.0


@pytest.mark.parametrize(
    "detection",
    [
        {"a": 1},
        {"threshold": "x", "false_discovery_rate": 0.2},
        {"threshold": 0.5, "false_discovery_rate": 2},
        {
            "threshold": 0.5,
            "false_discovery_rate": 0.2,
            "false_beforehand": -1,
        },
        [],
    ],
)
def test_a_broken_detection_is_told(card, detection):
    with pytest.raises(InputError, match="is damaged"):
        read_card(card(form=2, detection=detection))
