"""Input that is rare or large but right, through every signature."""

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn.decoding import MOST
from stm_keras.scoring import standardised

SIGNATURES = ("serving_default", "locate", "attention")


def first_of(stack):
    return {name: values[:1] for name, values in stack.items()}


def test_nothing_measured_is_nothing_found(exported, stack):
    inputs = stack | {"maps": np.full_like(stack["maps"], np.nan)}
    served = exported.ask("serving_default", inputs)
    assert np.isnan(served["score"]).all()
    assert not served["probability"].any()
    found = exported.ask("locate", inputs)
    assert not found["count"].any()
    assert not found["left_out"].any()
    assert np.isnan(found["positions_px"]).all()
    for shares in exported.ask("attention", inputs).values():
        assert np.isnan(shares).all()


def test_an_empty_frame_changes_nothing_of_another(exported, signature, stack):
    maps = stack["maps"].copy()
    maps[1] = np.nan
    both = exported.ask(signature, stack | {"maps": maps})
    alone = exported.ask(signature, first_of(stack))
    for name, values in alone.items():
        np.testing.assert_allclose(
            both[name][:1], values, atol=1e-4, rtol=1e-3, err_msg=name
        )


@pytest.mark.parametrize("height", [0.1, 0.3, 1e7, -2e-12])
def test_a_constant_map_is_as_one_of_zeros(exported, stack, height):
    ones = np.ones_like(stack["maps"])
    flat = exported.ask("serving_default", stack | {"maps": height * ones})
    zeros = exported.ask("serving_default", stack | {"maps": 0 * ones})
    np.testing.assert_array_equal(flat["score"], zeros["score"])


def test_a_ring_wider_than_any_frame_is_an_unknown_one(exported, stack):
    if "ring_per_nm" not in exported.names:
        pytest.skip("the model does not take it")
    ring = stack["ring_per_nm"].copy()
    ring[:, 1] = 0
    unknown = exported.ask("locate", stack | {"ring_per_nm": ring})
    ring[:, 1] = 1e-30
    tiny = exported.ask("locate", stack | {"ring_per_nm": ring})
    for name, values in unknown.items():
        np.testing.assert_array_equal(tiny[name], values, err_msg=name)


def test_infinite_is_not_measured_either(exported, signature, stack):
    gaps = np.where(np.isnan(stack["maps"]), -np.inf, stack["maps"])
    infinite = exported.ask(signature, stack | {"maps": gaps})
    for name, values in exported.ask(signature, stack).items():
        np.testing.assert_array_equal(infinite[name], values, err_msg=name)


def test_gaps_of_single_maps(exported, stack):
    """Answers are those of Keras, and NaN where it has none."""
    maps = stack["maps"].copy()
    maps[1, 0, 10:14, 3:9] = np.nan
    inputs = stack | {"maps": maps}
    seen = exported.seen(maps)
    assert not seen.all()
    served = exported.ask("serving_default", inputs)
    np.testing.assert_allclose(
        served["score"][seen],
        exported.score(inputs)[seen],
        atol=1e-3,
        rtol=1e-4,
    )
    assert np.isnan(served["score"][~seen]).all()
    assert not served["probability"][~seen].any()
    weights = exported.ask("attention", inputs)["weights"]
    np.testing.assert_array_equal(np.isnan(weights).any(axis=1), ~seen)


def test_a_ring_of_nan_is_an_unknown_one(exported, stack):
    if "ring_per_nm" not in exported.names:
        pytest.skip("the model does not take it")
    ring = stack["ring_per_nm"].copy()
    ring[0, 1] = 0
    unknown = np.where(ring > 0, ring, np.nan).astype(np.float32)
    for signature in SIGNATURES:
        zero = exported.ask(signature, stack | {"ring_per_nm": ring})
        nan = exported.ask(signature, stack | {"ring_per_nm": unknown})
        for name, values in zero.items():
            np.testing.assert_array_equal(nan[name], values, err_msg=name)


def test_a_map_near_the_bands_edge(exported, stack):
    """Its ring hardly turns in the frame; those of the others do."""
    ring = stack["ring_per_nm"].copy()
    ring[:, 0] = 0.01
    inputs = stack | {"ring_per_nm": ring}
    seen = exported.seen(stack["maps"])
    score = exported.ask("serving_default", inputs)["score"]
    # Its cosine template is nearly constant, and its answer shows rounding.
    np.testing.assert_allclose(
        score[seen], exported.score(inputs)[seen], atol=1e-2, rtol=1e-3
    )


def test_one_map(exported, stack):
    inputs = {k: v[:, :1] if v.ndim > 1 else v for k, v in stack.items()}
    served = exported.ask("serving_default", inputs)
    seen = exported.seen(inputs["maps"])
    expected = exported.score(inputs)
    np.testing.assert_allclose(
        served["score"][seen], expected[seen], atol=1e-3, rtol=1e-4
    )
    weights = exported.ask("attention", inputs)["weights"]
    np.testing.assert_allclose(weights[:, 0][seen], 1, rtol=1e-5)


def test_a_frame_smaller_than_what_the_network_sees(exported, stack):
    """Down to the least frame it answers as Keras, below it refuses."""
    least = exported.least_px

    def cut(px):
        return stack | {"maps": stack["maps"][:, :, 6 : 6 + px, :px]}

    served = exported.ask("serving_default", cut(least))
    np.testing.assert_allclose(
        served["score"], exported.score(cut(least)), atol=1e-3, rtol=1e-4
    )
    count = int(exported.ask("locate", cut(least))["count"][0])
    assert count == len(exported.positions(served, 3))
    for signature in SIGNATURES:
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least"):
            exported.ask(signature, cut(least - 1))


def test_a_thousand_maps(exported):
    """Twenty maps, fifty times each, say what twenty say."""
    rng = np.random.default_rng(3)
    few = {
        "maps": rng.standard_normal((1, 20, 16, 16)).astype(np.float32),
        "ring_per_nm": rng.uniform(2, 5, (1, 20)).astype(np.float32),
        "pixel_nm": np.array([0.3], np.float32),
    }
    many = {
        name: np.tile(values, (1, 50, 1, 1)[: values.ndim])
        for name, values in few.items()
    }
    served = exported.ask("serving_default", many)
    # Neither calibration nor the sum over the maps moves a standardised S.
    np.testing.assert_allclose(
        standardised(served["score"]),
        standardised(exported.ask("serving_default", few)["score"]),
        atol=5e-3,
    )
    found = exported.ask("locate", many)
    expected = exported.positions(served, 1000)
    count = int(found["count"][0])
    assert count == len(expected)
    # Every one has its own, whatever the order of equally sure ones.
    apart = found["positions_px"][0, :count, None] - expected[None]
    apart = np.linalg.norm(apart, axis=-1)
    assert (apart.min(axis=0, initial=np.inf) < 0.01).all()
    assert (apart.min(axis=1, initial=np.inf) < 0.01).all()
    weights = exported.ask("attention", many)["weights"]
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-3)
    np.testing.assert_allclose(
        weights.reshape(1, 50, 20, 16, 16).sum(axis=1),
        exported.ask("attention", few)["weights"],
        rtol=1e-2,
        atol=1e-5,
    )


def test_an_empty_batch_is_an_empty_answer(exported, signature, stack):
    whole = exported.ask(signature, stack)
    empty = exported.ask(signature, {k: v[:0] for k, v in stack.items()})
    for name, values in whole.items():
        assert empty[name].shape == (0, *values.shape[1:]), name
    if signature == "locate":
        assert empty["positions_px"].shape == (0, MOST, 2)
