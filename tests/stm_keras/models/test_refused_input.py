"""Input that makes no sense, through every signature of every model."""

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.models.export import signatures_of

NAMES = {
    "context": ("maps", "ring_per_nm", "pixel_nm"),
    "score": ("maps", "pixel_nm"),
}


def without_maps(stack):
    return {k: v[:, :0] if v.ndim > 1 else v for k, v in stack.items()}


def ring_times(factor):
    return lambda s: {"ring_per_nm": s["ring_per_nm"] * np.float32(factor)}


def pixel_times(factor):
    return lambda s: {"pixel_nm": s["pixel_nm"] * np.float32(factor)}


def one_map_of_nothing(stack):
    maps = stack["maps"].copy()
    maps[1, 2] = np.nan
    return {"maps": maps}


def one_value_of(number):
    def changed(stack):
        maps = stack["maps"].copy()
        maps[0, 1, 3, 4] = number
        return {"maps": maps}

    return changed


REFUSED = {
    "a mark of no data": (one_value_of(3.4e38), "a value is beyond 1e"),
    "its opposite": (one_value_of(-1e31), "a value is beyond 1e"),
    "no map": (without_maps, "V is 0"),
    "no pixel": (lambda s: {"maps": s["maps"][:, :, :0]}, "at least"),
    "a pixel of none": (pixel_times(0), "a side above 0"),
    "a pixel below 0": (pixel_times(-1), "a side above 0"),
    "a pixel of NaN": (pixel_times(np.nan), "a side above 0"),
    "an endless pixel": (pixel_times(np.inf), "a side above 0"),
    "pixels of others": (lambda s: {"pixel_nm": s["pixel_nm"][:1]}, "not B"),
    "a map of nothing": (one_map_of_nothing, "holds no number"),
    "rings of others": (
        lambda s: {"ring_per_nm": s["ring_per_nm"][:, :2]},
        "not one value",
    ),
    "an endless ring": (ring_times(np.inf), "the largest of a frame"),
    "a ring below 0": (ring_times(-1), "the largest of a frame"),
    "a ring in rad/m": (ring_times(1e9), "the largest of a frame"),
    "a ring in rad/A": (ring_times(0.1), "the largest of a frame"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_makes_no_sense_is_refused(exported, signature, wrong, stack):
    change, message = REFUSED[wrong]
    changes = change(stack)
    if not exported.names.intersection(changes):
        pytest.skip("the model does not take it")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported.ask(signature, stack | changes)


WRONG_KIND = {
    "maps of rank 3": (
        {"maps": np.zeros((3, 24, 20), np.float32)},
        r"maps must be \[B, V, H, W\]",
    ),
    "maps of rank 5": (
        {"maps": np.zeros((1, 1, 3, 24, 20), np.float32)},
        r"maps must be \[B, V, H, W\]",
    ),
    "maps of 64 bits": ({"maps": np.zeros((2, 3, 24, 20))}, "double"),
    "a pixel of rank 0": (
        {"pixel_nm": np.float32(0.3)},
        r"pixel_nm must be \[B\]",
    ),
    "a pixel of rank 2": (
        {"pixel_nm": np.full((2, 1), 0.3, np.float32)},
        r"pixel_nm must be \[B\]",
    ),
    "rings of rank 1": (
        {"ring_per_nm": np.full(3, 4, np.float32)},
        r"ring_per_nm must be \[B, V\]",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_KIND)
def test_another_rank_or_type_is_refused(exported, signature, wrong, stack):
    changes, message = WRONG_KIND[wrong]
    if not exported.names.intersection(changes):
        pytest.skip("the model does not take it")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported.ask(signature, stack | changes)


def test_an_input_too_few_is_refused(exported, signature, stack):
    few = {"maps": stack["maps"]}
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError)):
        exported.ask(signature, few)


@pytest.mark.parametrize("kind", ["context", "score"])
def test_nothing_is_computed_before_the_checks(
    kind, signature, distribution, request
):
    """Operations run in any order: each must wait, or a worse line comes."""
    model, card = request.getfixturevalue(f"{kind}_model_and_card")
    traced = signatures_of(
        model, card, distribution if kind == "context" else None
    )
    graph = traced[signature].get_concrete_function().graph
    given = [graph.get_tensor_by_name(f"{name}:0") for name in NAMES[kind]]
    readers = [reader for tensor in given for reader in tensor.consumers()]
    assert len(readers) > len(given)
    for reader in readers:
        waits = any("assert" in op.name for op in reader.control_inputs)
        assert waits or reader.type == "Shape", reader.name
