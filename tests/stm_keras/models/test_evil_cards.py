"""Whatever stands in a card: it is read, or refused with one line."""

import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.models.card import read_card
from stm_keras.models.description import describe
from stm_keras.models.stored import list_models, look_at

ROOT = Path(__file__).parents[3]
CARDS = [
    ROOT / "saved_models/context/model_card.json",
    ROOT / "saved_models/wang2020/model_card.json",
]
EVIL = (
    *(None, True, 0, -1, 1.5, "", "\n", "x" * 10_000, [], {}, [[]]),
    *(float("inf"), float("-inf"), float("nan"), 10**400, -(10**400), 2**64),
    *("../../up", "\x00", "\ud800", {"a": {"b": [None]}}, [1e308, -1e308]),
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(fields, path, value):
    fields = copy.deepcopy(fields)
    if not path:
        return value
    there = fields
    for key in path[:-1]:
        there = there[key]
    there[path[-1]] = value
    return fields


def judged(folder):
    """Every use of a card alone; what is refused is one line."""
    refusals = []
    try:
        card = read_card(folder)
        assert "/" not in card.name
        json.dumps(card.made, allow_nan=False)
    except InputError as error:
        refusals.append(str(error))
    model = look_at(folder, "m")
    lines = list_models([model])
    try:
        lines += describe(model)
    except InputError as error:
        refusals.append(str(error))
    assert all("\n" not in line for line in [*lines, *refusals])
    assert all(len(line) < 1000 for line in refusals)


@pytest.mark.parametrize("card", CARDS, ids=["context", "wang2020"])
def test_every_field_is_anything(card, tmp_path, fuzz_seed):
    """A part of all pairs of field and value, another one every day."""
    fields = json.loads(card.read_text())
    pairs = [(path, value) for path in places(fields) for value in EVIL]
    rng = np.random.default_rng(fuzz_seed)
    top = [pair for pair in pairs if len(pair[0]) < 2]
    chosen = [pairs[i] for i in rng.integers(len(pairs), size=300)]
    for path, value in [*top, *chosen]:
        text = json.dumps(changed(fields, path, value))
        (tmp_path / "model_card.json").write_text(text)
        judged(tmp_path)


@pytest.mark.parametrize("card", CARDS, ids=["context", "wang2020"])
def test_every_field_is_missing(card, tmp_path):
    fields = json.loads(card.read_text())
    for name in fields:
        rest = {k: v for k, v in fields.items() if k != name}
        (tmp_path / "model_card.json").write_text(json.dumps(rest))
        judged(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"format": 2, "name": ' + "[" * 100_000, "nested too deeply"),
        ("", "damaged"),
        ("\xff\xfe", "damaged"),
        ("1" * 5000, "damaged"),
        ('{"format": 1e400}', "form inf"),
    ],
)
def test_no_card_at_all(tmp_path, text, message):
    (tmp_path / "model_card.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        read_card(tmp_path)


@pytest.mark.parametrize("depth", [30, 900])
def test_deep_tables(tmp_path, depth):
    fields = json.loads(CARDS[0].read_text())
    deep = {}
    for _ in range(depth):
        deep = {"a": deep}
    text = json.dumps(fields | {"scores": deep})
    (tmp_path / "model_card.json").write_text(text)
    with pytest.raises(InputError, match="nested too deeply"):
        read_card(tmp_path)


def test_a_card_that_is_a_device(tmp_path):
    for number, target in enumerate(("/dev/zero", "/dev/full")):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "model_card.json").symlink_to(target)
        with pytest.raises(InputError, match="no file"):
            read_card(folder)
    os.mkfifo(tmp_path / "model_card.json")
    with pytest.raises(InputError, match="no file"):
        read_card(tmp_path)


def test_a_card_without_end(tmp_path):
    with (tmp_path / "model_card.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="larger than 16 MB"):
        read_card(tmp_path)


def test_a_name_that_leads_elsewhere(tmp_path):
    """`stmk export` names files after it."""
    fields = json.loads(CARDS[0].read_text()) | {"name": "../../mine"}
    (tmp_path / "model_card.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match="a name of a file"):
        read_card(tmp_path)
