"""The `friedel` set: its features, and that a seed settles every example."""

from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.building import build
from data_builders.friedel.friedel_dataset_builder import (
    Builder,
    FriedelBuilderConfig,
    make_examples,
)
from stm_keras.errors import InputError
from stm_keras.simulation.friedel import FriedelConfig
from stm_keras.training.datasets import load_split

SMALL = FriedelConfig(size_px=8, n_voltages=2)

BUILD = """
import sys
from data_builders.building import build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
config = named_config(Builder, "demo").changed(n_examples=(70, 9, 10))
build(Builder, config, sys.argv[1])
"""


def _many(numbers, seed=0, split=0, simulation=SMALL):
    return list(make_examples(simulation, seed, split, numbers))


def _differ(first, second):
    return not np.array_equal(first["maps"], second["maps"])


def test_two_processes_give_the_same_examples_in_the_same_order(
    friedel, tmp_path, python, digests
):
    python(BUILD, tmp_path)
    again = tmp_path / friedel.relative_to(friedel.parents[2])
    found = digests(friedel)
    assert digests(again) == found
    assert {k: len(v) for k, v in found.items()} == {
        "train": 70,
        "validation": 9,
        "test": 10,
    }
    assert len({d for split in found.values() for d in split}) == 89


def test_features(friedel):
    features: Any = tfds.builder_from_directory(friedel).info.features
    assert features["maps"].shape == (8, 20, 20)
    assert features["positions"].shape == (None, 2)
    assert features["wave_numbers"].shape == (8,)
    for example in load_split(friedel, "train").as_numpy_iterator():
        assert {v.dtype for v in example.values()} == {np.dtype(np.float32)}
        assert np.abs(example["maps"]).max() == pytest.approx(1)
        assert example["maps"].mean(axis=(1, 2)) == pytest.approx(0, abs=1e-6)
        positions = example["positions"]
        assert 1 <= len(positions) <= 6
        assert ((positions >= 0) & (positions <= 19)).all()
        assert (positions == positions.round()).all()


def test_another_seed_or_split_gives_other_examples():
    plain = _many(range(3))
    for other in (_many(range(3), seed=1), _many(range(3), split=1)):
        assert all(_differ(a, b) for a in plain for b in other)


def test_examples_depend_on_their_numbers_only():
    alone = _many(range(64, 70))
    together = _many(range(150))
    assert len(together) == 150
    for one, other in zip(alone, together[64:70], strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_changed_config_has_a_name_of_its_own():
    config = FriedelBuilderConfig(name="here")
    assert config.changed() is config
    assert config.changed(size_px=20, seed=0) is config
    changes: tuple[dict[str, Any], ...] = (
        {},
        {"size_px": 8},
        {"seed": 1},
        {"n_voltages": 8},
    )
    names = {config.changed(**change).name for change in changes}
    assert len(names) == 4
    assert all(name.startswith("here") for name in names)


def test_refuses_a_negative_seed():
    with pytest.raises(InputError, match="--seed must be 0 or more, not -1"):
        FriedelBuilderConfig(name="here").changed(seed=-1)


def test_the_set_says_what_it_was_made_from(tmp_path):
    config = FriedelBuilderConfig(
        name="x", simulation=SMALL, n_examples=(1, 1, 1), seed=7
    )
    target = build(Builder, config, tmp_path)
    info: Any = tfds.builder_from_directory(target).info
    assert info.metadata["seed"] == 7
    assert info.metadata["simulation"]["size_px"] == 8
