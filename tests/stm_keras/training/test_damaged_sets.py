"""Data sets that were edited or damaged: one line, which names the file."""

import json
import shutil

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.training.datasets import (
    find_prepared,
    load_split,
    maps_shape,
    reading,
)

_ANY = ("", 0, -1, None, [], {}, [[]], "x", 10**30, 1e308, "int8", "string")


@pytest.fixture
def copied(friedel, tmp_path):
    target = tmp_path / "set"
    shutil.copytree(find_prepared(friedel), target)
    return target


def read(directory):
    with reading(directory):
        for split in ("train", "validation", "test"):
            for example in load_split(directory, split).as_numpy_iterator():
                assert example
    maps_shape(directory)


def refusal(directory):
    """The line; None where the set was read all the same."""
    try:
        read(directory)
    except InputError as error:
        return str(error)
    return None


def places(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, below in items:
        yield from places(below, (*path, key))


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_a_description_that_was_edited(copied, fuzz_seed, name):
    """Types, shapes, nesting: a part of all changes, others every day."""
    path = copied / name
    whole = path.read_text()
    every = list(places(json.loads(whole)))
    rng = np.random.default_rng(fuzz_seed)
    refused = 0
    for _ in range(60):
        fields = json.loads(whole)
        place = every[rng.integers(len(every))]
        there = fields
        for key in place[:-1]:
            there = there[key]
        value = _ANY[rng.integers(len(_ANY))]
        there[place[-1]] = value
        path.write_text(json.dumps(fields))
        line = refusal(copied)
        if line is not None:
            refused += 1
            assert "\n" not in line
            assert str(copied) in line, (place, value)
    assert refused


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"float32"', '"int64"'),
        ('"float32"', '"string"'),
        ('"float32"', '"quark"'),
        ('"20"', '"21"'),
        ('"20"', '"-5"'),
        ('"20"', '"x"'),
        ('"20"', '"100000000000"'),
        ("{", "[" * 100_000 + "{"),
    ],
)
def test_features_that_do_not_fit_the_shards(copied, old, new):
    path = copied / "features.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    line = refusal(copied)
    assert line is not None
    assert "features.json" in line or "tfrecord" in line


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "folder"])
def test_a_damaged_shard_is_named(copied, damage):
    (shard,) = copied.glob("*-train.tfrecord*")
    content = bytearray(shard.read_bytes())
    shard.unlink()
    if damage == "flip":
        content[len(content) // 2] ^= 0xFF
    if damage == "folder":
        shard.mkdir()
    elif damage != "gone":
        kept = {"flip": len(content), "cut": len(content) // 2, "empty": 0}
        shard.write_bytes(content[: kept[damage]])
    line = refusal(copied)
    assert line is not None
    assert shard.name in line
    assert "Build it again" in line
