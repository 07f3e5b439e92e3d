import json
import shutil

import pytest

from stm_keras.errors import InputError
from stm_keras.training.datasets import (
    find_prepared,
    load_split,
    open_prepared,
    reading,
)


def test_found_from_any_directory_above(friedel):
    for path in (friedel, friedel.parent, friedel.parents[2]):
        assert find_prepared(path) == friedel
    assert open_prepared(friedel.parent).info.metadata["seed"] == 0


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="No such data directory"):
        find_prepared(tmp_path / "missing")
    with pytest.raises(InputError, match="No data set in"):
        find_prepared(tmp_path)
    unfinished = tmp_path / "friedel/demo/incomplete.ABC_1.0.0"
    unfinished.mkdir(parents=True)
    (unfinished / "dataset_info.json").touch()
    with pytest.raises(InputError, match="No data set in"):
        find_prepared(tmp_path)


def test_two_to_choose_from(friedel, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(friedel, tmp_path / name)
    with pytest.raises(InputError, match="2 data sets: name one of a, b"):
        find_prepared(tmp_path)


def test_a_split_that_is_not_there(friedel):
    with pytest.raises(InputError, match="it has: train, validation, test"):
        load_split(friedel, "holdout")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", '{"name": 3}'])
def test_damaged_description(friedel, tmp_path, name, content):
    copy = tmp_path / "1.0.0"
    shutil.copytree(friedel, copy)
    (copy / name).write_text(content)
    with pytest.raises(InputError, match=r"damaged|no split"):
        load_split(copy, "train")


def test_missing_shard(friedel, tmp_path):
    copy = tmp_path / "1.0.0"
    shutil.copytree(friedel, copy)
    info = json.loads((copy / "dataset_info.json").read_text())
    assert info["splits"]
    for shard in copy.glob("*train.tfrecord*"):
        shard.unlink()
    with (
        pytest.raises(InputError, match=r"damaged.* Build it again"),
        reading(copy),
    ):
        list(load_split(copy, "train"))
