"""A trained model as a TensorFlow SavedModel, free of our Python."""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from stm_keras.analysis.novelty import Ground
from stm_keras.errors import InputError
from stm_keras.export.context_endpoints import context_endpoints
from stm_keras.export.description import described
from stm_keras.export.endpoints import Endpoint, Named
from stm_keras.export.score_endpoints import score_endpoints
from stm_keras.files import atomic_directory
from stm_keras.model_card import CARD_NAME, ModelCard, write_card
from stm_keras.nn.context import Context
from stm_keras.nn.model import ImpurityFinder

SIGNATURES_NAME = "signatures.json"


def export_saved_model(
    model: ImpurityFinder,
    card: ModelCard,
    directory: str | Path,
    ground: Ground | None = None,
) -> None:
    """Write a SavedModel with every dimension free.

    Every model has these signatures; inputs, outputs and their units are in
    `docs/serving.md`, and with the model's card among its assets:

    - `serving_default`: maps to the score S and probability of every pixel;
    - `locate`: maps to the positions of impurities in px and nm, sure ones
      first;
    - `attention`: maps to the weight of each map in each pixel's answer;
    - `standardize`, `score_tiles` and, of `Context` with `ground`,
      `describe`: for this package, which cuts large frames into tiles.

    Args:
        model: the trained network.
        card: its card, with the thresholds.
        directory: where to write; replaced whole.
        ground: what the training fields look like to the network.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        atomic_directory(directory) as temporary,
    ):
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        endpoints = endpoints_of(model, card, ground)
        functions = signatures_of(model, card, ground)
        signatures = {
            name: function.get_concrete_function()
            for name, function in functions.items()
        }
        write_card(card, scratch)
        about = Path(scratch) / SIGNATURES_NAME
        outputs = {n: s.structured_outputs for n, s in signatures.items()}
        about.write_text(
            json.dumps(described(endpoints, outputs, card), indent=2) + "\n"
        )
        module.assets = [
            tf.saved_model.Asset(str(Path(scratch) / CARD_NAME)),
            tf.saved_model.Asset(str(about)),
        ]
        tf.saved_model.save(module, str(temporary), signatures=signatures)


def endpoints_of(
    model: ImpurityFinder, card: ModelCard, ground: Ground | None
) -> list[Endpoint]:
    """What a model can be asked; see `export_saved_model`."""
    if isinstance(model.network, Context):
        if card.detection is None:
            raise InputError(
                f"The card of {card.name} has no `detection`, from which a "
                "network `context` keeps positions. Restore it or train the "
                "model again."
            )
        return context_endpoints(model, card.detection, ground)
    return score_endpoints(model, card)


def signatures_of(
    model: ImpurityFinder, card: ModelCard, ground: Ground | None
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The signatures of a model in memory; see `export_saved_model`."""
    return {
        endpoint.name: _function(endpoint)
        for endpoint in endpoints_of(model, card, ground)
    }


def _function(endpoint: Endpoint) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(
        never_empty(endpoint.function),
        input_signature=endpoint.inputs,
        autograph=False,
    )


def never_empty(function: Callable[..., Named]) -> Callable[..., Named]:
    """The same function, which bears an empty batch on any processor.

    Where oneDNN is on, TensorFlow rewrites convolutions in a way that fails on
    a batch of none. So a batch of none gets one empty frame, of which nothing
    is answered; any other goes through as it is.

    Args:
        function: from tensors [B, ...], the maps first, to named tensors
            [B, ...].
    """

    # The names of the inputs are those of the wrapped function.
    @functools.wraps(function)
    def answer(*inputs: tf.Tensor) -> Named:
        batch = tf.shape(inputs[0])[0]
        padded = [_with_frame(tensor, batch) for tensor in inputs]
        return {
            name: tensor[:batch] for name, tensor in function(*padded).items()
        }

    return answer


def _with_frame(tensor: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """A frame of ones behind an empty batch, dimensions as they are."""
    shape = tf.shape(tensor)
    frame = tf.ones(tf.concat([[1], shape[1:]], 0), tensor.dtype)
    rows = tf.where(batch == 0, shape[0] + 1, shape[0])
    whole = tf.concat([tensor, frame], 0)[:rows]
    # Not `ensure_shape`, an operation that other tools lack.
    whole.set_shape(tensor.shape)
    return whole
