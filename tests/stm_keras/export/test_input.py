"""Input that is wrong, rare or large, through every signature.

On two little models; and, marked slow, on the shipped weights, exported by
this version.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.analysis.detections import find_detections
from stm_keras.analysis.peaks import find_peaks
from stm_keras.analysis.thresholds import standardised
from stm_keras.export.model_export import export_model, load_weights
from stm_keras.model_card import ModelCard, read_card
from stm_keras.nn.locating import MOST

SHIPPED = Path(__file__).resolve().parents[3] / "saved_models"
SIGNATURES = ("serving_default", "locate", "attention")
MODELS = [
    "little context",
    "little wang2020",
    pytest.param("context", marks=pytest.mark.slow),
    pytest.param("wang2020", marks=pytest.mark.slow),
]
every_signature = pytest.mark.parametrize("signature", SIGNATURES)


class Exported(NamedTuple):
    """A model, and the same as a SavedModel."""

    keras: Any
    card: ModelCard
    loaded: Any
    names: frozenset[str]
    least_px: int

    def ask(self, signature, inputs):
        tensors = {
            k: tf.constant(v) for k, v in inputs.items() if k in self.names
        }
        named = self.loaded.signatures[signature](**tensors)
        return {k: v.numpy() for k, v in named.items()}

    def seen(self, maps):
        """Where there is an answer, [B, H, W]."""
        every = np.all if self.card.detection is None else np.any
        return every(np.isfinite(maps), axis=1)

    def score(self, inputs):
        """S of the Keras model, [B, H, W]."""
        if self.card.detection is None:
            return np.array(self.keras(inputs["maps"]))
        ring = inputs["ring_per_nm"] * inputs["pixel_nm"][:, None]
        return np.array(self.keras(inputs["maps"], ring))[..., 0]

    def positions(self, served, n_maps):
        """What the package finds in the first frame of `serving_default`."""
        score = served["score"][0]
        if self.card.detection is not None:
            parts = [score[..., None], served["offset"][0]]
            output = np.concatenate([*parts, served["deviation"][0]], axis=-1)
            threshold = self.card.detection["threshold"]
            return find_detections(output, threshold).positions
        nearest = min(
            self.card.thresholds, key=lambda n: abs(np.log(n / n_maps))
        )
        threshold = self.card.thresholds[nearest]
        return find_peaks(standardised(score), threshold=threshold).positions


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    name = request.param
    if name.startswith("little"):
        kind = "context" if name.endswith("context") else "score"
        keras = request.getfixturevalue(f"{kind}_model")
        saved = request.getfixturevalue(f"{kind}_saved")
    else:
        keras = load_weights(SHIPPED / name)
        out = tmp_path_factory.mktemp("exported")
        (saved,) = export_model(SHIPPED / name, out, "saved-model")
    card = read_card(saved / "assets")
    loaded = tf.saved_model.load(str(saved))
    _, inputs = loaded.signatures["locate"].structured_input_signature
    least = 16 if card.detection is not None else card.reach_px + 1
    return Exported(keras, card, loaded, frozenset(inputs), least)


def first_of(stack):
    return {name: values[:1] for name, values in stack.items()}


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


REFUSED = {
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
    "an endless ring": (ring_times(np.inf), "must lie between"),
    "a ring below 0": (ring_times(-1), "must lie between"),
    "a ring in rad/m": (ring_times(1e9), "must lie between"),
    "a ring in rad/A": (ring_times(0.1), "must lie between"),
}


@every_signature
@pytest.mark.parametrize("wrong", REFUSED)
def test_what_makes_no_sense_is_refused(exported, signature, wrong, stack):
    change, message = REFUSED[wrong]
    changes = change(stack)
    if not exported.names.intersection(changes):
        pytest.skip("the model does not take it")
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        exported.ask(signature, stack | changes)


WRONG_KIND = {
    "maps of rank 3": {"maps": np.zeros((3, 24, 20), np.float32)},
    "maps of rank 5": {"maps": np.zeros((1, 1, 3, 24, 20), np.float32)},
    "maps of 64 bits": {"maps": np.zeros((2, 3, 24, 20))},
    "a pixel of rank 0": {"pixel_nm": np.float32(0.3)},
    "a pixel of rank 2": {"pixel_nm": np.full((2, 1), 0.3, np.float32)},
    "rings of rank 1": {"ring_per_nm": np.full(3, 4, np.float32)},
}


@every_signature
@pytest.mark.parametrize("wrong", WRONG_KIND)
def test_another_rank_or_type_is_refused(exported, signature, wrong, stack):
    changes = WRONG_KIND[wrong]
    if not exported.names.intersection(changes):
        pytest.skip("the model does not take it")
    (name,) = changes
    # Which of the three, and the words, are TensorFlow's.
    refusals = TypeError, ValueError, tf.errors.InvalidArgumentError
    with pytest.raises(refusals, match=name):
        exported.ask(signature, stack | changes)


@every_signature
def test_an_input_too_few_is_refused(exported, signature, stack):
    few = {"maps": stack["maps"]}
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError)):
        exported.ask(signature, few)


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


@every_signature
def test_an_empty_frame_changes_nothing_of_another(exported, signature, stack):
    maps = stack["maps"].copy()
    maps[1] = np.nan
    both = exported.ask(signature, stack | {"maps": maps})
    alone = exported.ask(signature, first_of(stack))
    for name, values in alone.items():
        np.testing.assert_allclose(
            both[name][:1], values, atol=1e-4, rtol=1e-3, err_msg=name
        )


@every_signature
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


@every_signature
def test_an_empty_batch_is_an_empty_answer(exported, signature, stack):
    whole = exported.ask(signature, stack)
    empty = exported.ask(signature, {k: v[:0] for k, v in stack.items()})
    for name, values in whole.items():
        assert empty[name].shape == (0, *values.shape[1:]), name
    if signature == "locate":
        assert empty["positions_px"].shape == (0, MOST, 2)
