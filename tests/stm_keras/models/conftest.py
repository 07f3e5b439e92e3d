import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.models.card import (
    ModelCard,
    ProbabilitySelection,
    ScoreSelection,
    read_card,
)
from stm_keras.models.export import (
    export_model,
    export_saved_model,
    load_weights,
)
from stm_keras.nn.calibration import TrainingDistribution
from stm_keras.nn.decoding import find_detections, find_standing_out, least_kept
from stm_keras.nn.model import context, wang2020

SHIPPED = Path(__file__).resolve().parents[3] / "saved_models"
SIGNATURES = ("serving_default", "locate", "attention")

# The shipped weights, exported by this version, beside two little models.
MODELS = [
    "little context",
    "little wang2020",
    pytest.param("context", marks=pytest.mark.slow),
    pytest.param("wang2020", marks=pytest.mark.slow),
]

SMALL = {
    "filters": 4,
    "dilations": (1,),
    "second_dilations": (1,),
    "first_filters": 4,
    "first_dilations": (1,),
    "told_filters": 2,
    "decoder_filters": 6,
    "decoder_dilations": (1, 2),
    "attention_filters": 2,
    "embedding_units": 3,
}

CARD = ModelCard(
    name="little",
    network={"class": "Context"},
    command="stmk fit",
    data={},
    training={},
    tile_px=32,
    reach_px=20,
    ring_rad_px=(0.6, 2.2),
    selection=ProbabilitySelection(0.3, 0.1, 0.05),
    scores={},
    made={"date": "2026-01-01"},
    versions={"stm-keras": "0.1.0"},
)
SCORE_CARD = dataclasses.replace(
    CARD,
    network={"class": "Wang2020"},
    reach_px=4,
    selection=ScoreSelection({1: 1.0, 4: 1.5}, {1: -9.0, 4: -9.0}),
)


def steep(model, name):
    """The model with an answer that is not the same everywhere."""
    for variable in model.trainable_variables:
        if name in variable.path:
            variable.assign(variable * 3)
    return model


@pytest.fixture(scope="session")
def context_model():
    keras.utils.set_random_seed(4)
    return steep(context(**SMALL), "decoder/head/kernel")


@pytest.fixture(scope="session")
def score_model():
    keras.utils.set_random_seed(4)
    return wang2020(filters=4, depth=1, kernel_size=5, attention_filters=2)


@pytest.fixture(scope="session")
def distribution(context_model):
    size = context_model.network.describe(np.zeros((1, 1, 16, 16))).shape[1]
    return TrainingDistribution(
        np.zeros(size, np.float32), np.eye(size, dtype=np.float32)
    )


@pytest.fixture(scope="session")
def context_saved(context_model, distribution, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "context"
    export_saved_model(context_model, CARD, path, distribution)
    return path


@pytest.fixture(scope="session")
def score_saved(score_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "wang2020"
    export_saved_model(score_model, SCORE_CARD, path)
    return path


@pytest.fixture(scope="session")
def stack():
    """Maps [2, 3, 24, 20] with a band that is not measured in the first."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 3, 24, 20)).astype(np.float32)
    maps[0, :, 4:6] = np.nan
    ring = rng.uniform(2, 5, (2, 3)).astype(np.float32)
    return {
        "maps": maps,
        "ring_per_nm": ring,
        "pixel_nm": np.array([0.3, 0.25], np.float32),
    }


@pytest.fixture
def context_model_and_card(context_model):
    return context_model, CARD


@pytest.fixture
def score_model_and_card(score_model):
    return score_model, SCORE_CARD


class Exported(NamedTuple):
    """A model, and the same as a SavedModel."""

    keras: Any
    card: ModelCard
    loaded: Any
    names: frozenset[str]
    least_px: int

    @property
    def gives_probabilities(self):
        return isinstance(self.card.selection, ProbabilitySelection)

    def ask(self, signature, inputs):
        tensors = {
            k: tf.constant(v) for k, v in inputs.items() if k in self.names
        }
        named = self.loaded.signatures[signature](**tensors)
        return {k: v.numpy() for k, v in named.items()}

    def seen(self, maps):
        """Where there is an answer, [B, H, W]."""
        every = np.any if self.gives_probabilities else np.all
        return every(np.isfinite(maps), axis=1)

    def score(self, inputs):
        """S of the Keras model, [B, H, W]."""
        if not self.gives_probabilities:
            return np.array(self.keras(inputs["maps"]))
        ring = inputs["ring_per_nm"] * inputs["pixel_nm"][:, None]
        return np.array(self.keras(inputs["maps"], ring))[..., 0]

    def positions(self, served, n_maps):
        """What the package finds in the first frame of `serving_default`."""
        score = served["score"][0]
        if self.gives_probabilities:
            parts = [score[..., None], served["offset"][0]]
            output = np.concatenate([*parts, served["deviation"][0]], axis=-1)
            own = self.card.selection
            threshold, rate = own.threshold, own.false_discovery_rate
            counted = own.prior_false
            found = find_detections(output, threshold)
            least = least_kept(found.probabilities, rate, threshold, counted)
            return found.positions[found.probabilities >= least]
        own = self.card.selection
        return find_standing_out(
            score, own.threshold(n_maps), own.noise_floor(n_maps)
        ).positions


@pytest.fixture(scope="module", params=MODELS)
def exported(request, tmp_path_factory):
    name = request.param
    if name.startswith("little"):
        kind = "context" if name.endswith("context") else "score"
        network = request.getfixturevalue(f"{kind}_model")
        saved = request.getfixturevalue(f"{kind}_saved")
    else:
        network = load_weights(SHIPPED / name)
        out = tmp_path_factory.mktemp("exported")
        (saved,) = export_model(SHIPPED / name, out, "saved-model")
    card = read_card(saved / "assets")
    loaded = tf.saved_model.load(str(saved))
    _, inputs = loaded.signatures["locate"].structured_input_signature
    least = 16
    if isinstance(card.selection, ScoreSelection):
        least = card.reach_px + 1
    return Exported(network, card, loaded, frozenset(inputs), least)


@pytest.fixture(params=SIGNATURES)
def signature(request):
    return request.param
