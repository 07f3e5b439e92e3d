"""The question, what Keras answers, and how far another answer is off."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from benchmarks.parity.tool import Arrays
from stm_keras.models.card import ProbabilitySelection, read_card
from stm_keras.models.export import endpoints_of, load_weights
from stm_keras.models.signatures import Endpoint
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_EXTENT_NM, surface

SEED = 88_000_000
N_MAPS, SIZE_PX = 4, 64


class Difference(NamedTuple):
    """Largest difference from Keras in probability and position [px]."""

    probability: float
    position_px: float


def inputs_of(model: Path, n_maps: int = N_MAPS, seed: int = SEED) -> Arrays:
    """Virtual Au(111) maps as the model takes them."""
    rng = np.random.default_rng(seed)
    whole = simulate_virtual(named_virtual("medium", "typical"), rng)
    chosen = np.linspace(0, len(whole.maps) - 1, n_maps).round().astype(int)
    maps = whole.maps[chosen][:, :SIZE_PX, :SIZE_PX]
    pixel = PAPER_EXTENT_NM / whole.maps.shape[-1]
    named = {
        "maps": maps[None].astype(np.float32),
        "pixel_nm": np.array([pixel], np.float32),
    }
    if isinstance(read_card(model).selection, ProbabilitySelection):
        k = surface("au111").wave_number(whole.bias_v[chosen])
        named["ring_per_nm"] = 2 * k[None].astype(np.float32)
    return named


def keras_answer(model: Path, signature: str, inputs: Arrays) -> Arrays:
    """The Keras model itself, in this process, without an export."""
    endpoint: Endpoint = next(
        e
        for e in endpoints_of(load_weights(model), read_card(model), None)
        if e.name == signature
    )
    given = (tf.constant(inputs[str(spec.name)]) for spec in endpoint.inputs)
    return {k: v.numpy() for k, v in endpoint.function(*given).items()}


def difference(found: Arrays, keras: Arrays, pixel_nm: float) -> Difference:
    """Compare an answer with that of Keras; infinite where counts differ.

    Args:
        found: outputs by name; NaN of the padding is not compared.
        keras: likewise.
        pixel_nm: side of a pixel [nm].

    Returns:
        See `Difference`. Of an answer for every pixel (`serving_default`) the
        offset and its deviation stand for the position.
    """
    if "count" not in keras:
        apart = np.abs(found["probability"] - keras["probability"]).max()
        moved = [
            np.abs(found[name] - keras[name]).max()
            for name in ("offset", "deviation")
            if name in keras
        ]
        return Difference(float(apart), float(max(moved, default=0.0)))
    count = int(keras["count"][0])
    if int(np.ravel(found["count"])[0]) != count:
        return Difference(np.inf, np.inf)
    sure = "probability" if "probability" in keras else "height"
    # The C program calls both the same.
    given = found[sure if sure in found else "probability"]
    apart = np.abs(given[0, :count] - keras[sure][0, :count])
    moved = np.abs(
        found["positions_nm"][0, :count] - keras["positions_nm"][0, :count]
    )
    return Difference(
        float(apart.max(initial=0)), float(moved.max(initial=0)) / pixel_nm
    )
