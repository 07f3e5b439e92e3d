"""Export a model directory: SavedModel, TFLite."""

import functools
import importlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError
from stm_keras.files import (
    atomic_directory,
    atomic_file,
    carry_over,
    finish,
    result_directory,
    result_in,
    scratch_directory,
    whole_directory,
    writable_directory,
)
from stm_keras.models.card import (
    CARD_NAME,
    SUMS_NAME,
    ModelCard,
    ProbabilitySelection,
    ScoreSelection,
    read_card,
    write_card,
    write_checksums,
)
from stm_keras.models.shipped import find_card
from stm_keras.models.signatures import (
    OUTPUTS,
    RING_RAD_PX,
    Endpoint,
    Named,
    context_endpoints,
    score_endpoints,
    with_frame,
)
from stm_keras.models.trust import check_files
from stm_keras.nn.calibration import FILE as GROUND
from stm_keras.nn.calibration import TrainingDistribution, read_distribution
from stm_keras.nn.context import Context
from stm_keras.nn.decoding import LEAST_FRAME_PX, MOST
from stm_keras.nn.model import ImpurityFinder, in_float32
from stm_keras.system import BROKEN_ZIP, Progress, maker, no_progress


def described(
    endpoints: Iterable[Endpoint],
    outputs: Mapping[str, Mapping[str, Any]],
    card: ModelCard,
) -> dict[str, Any]:
    """For the assets of a SavedModel.

    Args:
        endpoints: what it can be asked.
        outputs: names of what each gives, by the signature's name.
        card: of the model.

    Returns:
        `signatures`, each with what it is `about`, its `inputs` and
        `outputs`; and `limits`, what the graph refuses or leaves out.
    """
    return {
        "signatures": {
            endpoint.name: {
                **endpoint.documented,
                "outputs": {n: OUTPUTS[n] for n in outputs[endpoint.name]},
            }
            for endpoint in endpoints
            if not endpoint.internal
        },
        "limits": _limits(card),
    }


def _limits(card: ModelCard) -> dict[str, str]:
    low, high = card.ring_rad_px
    trained = f"between {low:.3g} and {high:.3g} rad/px"
    if isinstance(card.selection, ProbabilitySelection):
        least, most = RING_RAD_PX
        own = {
            "H, W": f"{LEAST_FRAME_PX} px or more",
            "ring_per_nm": "times pixel_nm, the largest of a frame must lie "
            f"between {least} and {most:.2f} rad/px; the training's {trained}",
        }
    else:
        own = {
            "H, W": f"{card.reach_px + 1} px or more",
            "pixel_nm": "of a size that q = 2k lies, as the training's, "
            f"{trained}: `stmk prepare` makes such maps",
        }
    return {
        "K": f"{MOST} positions; `left_out` counts those that do not fit",
        "V": "1 or more",
        **own,
    }


SIGNATURES_NAME = "signatures.json"
ASSETS = "assets"
FOLDER = "assets.extra"
PARTS = ("saved_model.pb", "fingerprint.pb", "variables", ASSETS, FOLDER)
"""What a SavedModel consists of."""


def export_saved_model(
    model: ImpurityFinder,
    card: ModelCard,
    directory: str | Path,
    distribution: TrainingDistribution | None = None,
) -> None:
    """Write a SavedModel with every dimension free.

    Every model has these signatures; inputs, outputs and their units are in
    `docs/serving.md`, and with the model's card among its assets:

    - `serving_default`: maps to the score S and probability of every pixel;
    - `locate`: maps to the positions of impurities in px and nm, sure ones
      first;
    - `attention`: maps to the weight of each map in each pixel's answer;
    - `standardize`, `score_tiles` and, of `Context` with `distribution`,
      `describe`: for this package, which cuts large frames into tiles.

    Args:
        model: the trained network.
        card: its card, with the thresholds.
        directory: where to write; an export that is there is replaced whole,
            and what else lies in it stays.
        distribution: features of the training fields.

    Raises:
        InputError: where another directory is there.
    """
    directory = Path(directory)
    check_replaceable(directory)
    writable_directory(directory.parent)
    with atomic_directory(directory, keep=True, drop=PARTS) as temporary:
        write_saved_model(model, card, temporary, distribution)


def check_replaceable(directory: Path) -> None:
    """Refuse to replace what no export of this package has written.

    Args:
        directory: that an export is to be written to.

    Raises:
        InputError: where it is a file, or holds anything but an export.
    """
    if not os.path.lexists(directory):
        return
    if directory.is_dir():
        if (directory / ASSETS / CARD_NAME).is_file():
            return
        if not any(directory.iterdir()):
            return
    raise InputError(
        f"{directory} is there already, and no export of stmk: move it away, "
        "or choose another --out."
    )


def write_saved_model(
    model: ImpurityFinder,
    card: ModelCard,
    empty: Path,
    distribution: TrainingDistribution | None,
) -> None:
    """Write a SavedModel into an empty directory; see `export_saved_model`.

    Args:
        model: the trained network.
        card: its card.
        empty: a directory that has a scratch directory around it.
        distribution: features of the training fields.
    """
    with scratch_directory(empty.parent) as scratch:
        module = tf.Module()
        module.weights = [variable.value for variable in model.variables]
        endpoints = endpoints_of(model, card, distribution)
        functions = signatures_of(model, card, distribution)
        signatures = {
            name: function.get_concrete_function()
            for name, function in functions.items()
        }
        write_card(card, scratch)
        about = scratch / SIGNATURES_NAME
        outputs = {n: s.structured_outputs for n, s in signatures.items()}
        about.write_text(
            json.dumps(described(endpoints, outputs, card), indent=2) + "\n"
        )
        module.assets = [
            tf.saved_model.Asset(str(scratch / CARD_NAME)),
            tf.saved_model.Asset(str(about)),
        ]
        tf.saved_model.save(module, str(empty), signatures=signatures)


def endpoints_of(
    model: ImpurityFinder,
    card: ModelCard,
    distribution: TrainingDistribution | None,
) -> list[Endpoint]:
    """What a model can be asked; see `export_saved_model`."""
    wanted: type = ScoreSelection
    if isinstance(model.network, Context):
        wanted = ProbabilitySelection
    if not isinstance(card.selection, wanted):
        raise InputError(
            f"The card of {card.name} says how another network selects than "
            f"{type(model.network).__name__}. Restore it or train the model "
            "again."
        )
    if isinstance(card.selection, ProbabilitySelection):
        return context_endpoints(model, card.selection, distribution)
    return score_endpoints(model, card.selection)


def signatures_of(
    model: ImpurityFinder,
    card: ModelCard,
    distribution: TrainingDistribution | None,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The signatures of a model in memory; see `export_saved_model`."""
    return {
        endpoint.name: _function(endpoint)
        for endpoint in endpoints_of(model, card, distribution)
    }


def _function(endpoint: Endpoint) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(
        never_empty(endpoint),
        input_signature=endpoint.inputs,
        autograph=False,
    )


def never_empty(endpoint: Endpoint) -> Callable[..., Named]:
    """An endpoint's function, which bears an empty batch on any processor.

    Where oneDNN is on, TensorFlow rewrites convolutions in a way that fails on
    a batch of none. So a batch of none gets one frame, of which nothing is
    answered; any other goes through as it is. The frame comes behind the
    checks of what users give, see `checked`.

    Args:
        endpoint: its inputs are [B, ...], the maps first.

    Returns:
        From tensors [B, ...] to named tensors [B, ...].
    """

    # The names of the inputs are those of the wrapped function.
    @functools.wraps(endpoint.function)
    def answer(*inputs: tf.Tensor) -> Named:
        batch = tf.shape(inputs[0])[0]
        if endpoint.internal:
            inputs = tuple(with_frame(list(inputs)))
        named = endpoint.function(*inputs)
        return {name: tensor[:batch] for name, tensor in named.items()}

    return answer


Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
IN_TFLITE = ("serving_default", "locate")


def export_tflite(
    saved_model: str | Path, path: str | Path, precision: Precision
) -> None:
    """Write a TFLite file of built-in operations, every dimension free.

    It has the signatures `serving_default` and `locate`, with the inputs and
    outputs of the SavedModel. What refuses senseless input there is left out
    by the conversion: V = 0, or a `pixel_nm` of another length, must not be
    given.

    Args:
        saved_model: its directory.
        path: the file to write.
        precision: of the weights. "float16" halves the file; "int8" is
            dynamic-range quantisation: weights of 8 bits, activations of 32.

    Raises:
        InputError: for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"Unknown precision {precision!r}. Known: {', '.join(PRECISIONS)}."
        )
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=list(IN_TFLITE)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = converter.convert()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


NAME = "tf_serving_warmup_requests"
WARMED_UP = ("serving_default", "locate", "attention")
_SIZE_PX = 64
_N_MAPS = 4


def warmup_possible() -> bool:
    """Whether tensorflow-serving-api, which knows the record, is installed."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warmup(saved_model: str | Path, name: str | None = None) -> Path:
    """Write the warm-up record of a SavedModel.

    It asks each signature once for four maps of noise, 64 x 64 px: the first
    request of a user then does not wait for the graph to be optimised. The
    same bytes every time.

    Args:
        saved_model: its directory, written by `export_saved_model`.
        name: of the model; None for that of the folder it lies in, as in
            TensorFlow Serving's NAME/VERSION.

    Returns:
        The record, TFRecords of `PredictionLog`.

    Raises:
        InputError: where the package tensorflow-serving-api is not installed.
    """
    try:
        logs: Any = importlib.import_module(
            "tensorflow_serving.apis.prediction_log_pb2"
        )
    except ImportError as error:
        raise InputError(
            "The warm-up record needs tensorflow-serving-api: "
            'pip install "stm-keras[serving]".'
        ) from error
    directory = Path(saved_model)
    stored: Any = SavedModel.FromString(
        (directory / "saved_model.pb").read_bytes()
    )
    signatures = stored.meta_graphs[0].signature_def
    target = directory / FOLDER / NAME
    target.parent.mkdir(exist_ok=True)
    with (
        atomic_file(target) as temporary,
        tf.io.TFRecordWriter(str(temporary)) as writer,
    ):
        for signature in WARMED_UP:
            log = logs.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name or directory.resolve().parent.name
            request.model_spec.signature_name = signature
            for key, info in signatures[signature].inputs.items():
                example = _example(len(info.tensor_shape.dim))
                request.inputs[key].CopyFrom(tf.make_tensor_proto(example))
            writer.write(log.SerializeToString(deterministic=True))
    return target


def _example(rank: int) -> np.ndarray:
    """Noise of a shape that the input may have."""
    shape = (1, _N_MAPS, _SIZE_PX, _SIZE_PX)[:rank]
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)


FORMATS = ("saved-model", "tflite", "all")
WEIGHTS = "model.keras"
SAVED_MODEL = "saved_model"


def export_model(
    directory: str | Path,
    out: str | Path,
    form: str = "all",
    progress: Progress = no_progress,
    *,
    trust: bool = False,
) -> list[Path]:
    """Write a model for other programs.

    The SavedModel gets a warm-up record for TensorFlow Serving where
    tensorflow-serving-api is installed.

    Args:
        directory: of the model, with `model.keras` and its card; or its name.
        out: where to write: `saved_model/`, and `NAME-PRECISION.tflite`.
        form: what to write. TFLite is made from the SavedModel, which is
            written beside it then.
        progress: told the number of files done and of all.
        trust: see `load_weights`.

    Returns:
        What was written.

    Raises:
        InputError: for an unknown form, a directory that holds no model, one
            that cannot be written to, or the model's own.
    """
    if form not in FORMATS:
        raise InputError(
            f"Unknown --format {form!r}. Known: {', '.join(FORMATS)}."
        )
    directory, card = find_card(directory)
    model = load_weights(directory, trust=trust)
    if Path(out).resolve() == Path(directory).resolve():
        raise InputError(
            f"--out {out} is the model itself: --in-place writes its "
            "SavedModel anew; or name another directory."
        )
    precisions = () if form == "saved-model" else PRECISIONS
    names = [f"{card.name}-{precision}.tflite" for precision in precisions]
    total = 1 + len(precisions)
    out = result_directory(out)
    finish(out)
    _check_ours(out, names)
    with result_in(out) as folder:
        saved_model = folder / SAVED_MODEL
        saved_model.mkdir()
        write_saved_model(
            model, card, saved_model, read_distribution(directory)
        )
        if warmup_possible():
            write_warmup(saved_model, card.name)
        progress(1, total)
        for done, precision in enumerate(precisions, 2):
            export_tflite(saved_model, folder / names[done - 2], precision)
            progress(done, total)
        carry_over(out / SAVED_MODEL, saved_model, drop=PARTS)
    return [out / SAVED_MODEL, *(out / name for name in names)]


def _check_ours(out: Path, names: Iterable[str]) -> None:
    """Refuse to replace a user's own files."""
    check_replaceable(out / SAVED_MODEL)
    if (out / SAVED_MODEL).is_dir():
        return
    for name in names:
        if os.path.lexists(out / name):
            raise InputError(
                f"{out / name} is there already, and no export of stmk: move "
                "it away, or choose another --out."
            )


def export_in_place(directory: str | Path, *, trust: bool = False) -> None:
    """Write the SavedModel of a model directory anew, from its weights.

    What this version of the package writes takes the place of what another
    one wrote, at one stroke; all else stays.

    Args:
        directory: of the model.
        trust: see `load_weights`.

    Raises:
        InputError: see `export_model`.
    """
    directory, card = find_card(directory)
    directory = writable_directory(directory)
    model = load_weights(directory, trust=trust)
    with whole_directory(directory, drop=PARTS) as new:
        write_saved_model(model, card, new, read_distribution(directory))
        carry_over(directory, new, drop=(*PARTS, SUMS_NAME))
        write_checksums(new)


def load_weights(
    directory: str | Path, *, trust: bool = False
) -> ImpurityFinder:
    """The Keras model of a model directory, without running code from it.

    Args:
        directory: of the model.
        trust: load it though it differs from its checksums.

    Raises:
        InputError: where there is none, or it is damaged or was changed.
    """
    path = Path(directory) / WEIGHTS
    if not path.exists():
        raise InputError(
            f"{directory} holds no {WEIGHTS}: give a directory that `stmk fit` "
            "wrote."
        )
    if not trust:
        check_files(directory, (WEIGHTS, CARD_NAME, GROUND))
    try:
        model: Any = keras.saving.load_model(
            path, compile=False, safe_mode=True
        )
    except (OSError, ValueError, KeyError, TypeError, *BROKEN_ZIP) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is damaged, or of a network that this version no longer "
            f"builds ({reason[:160]}); {_maker(Path(directory))} made it. "
            "Restore it, train it again, or use a model of this version."
        ) from error
    if not isinstance(model, ImpurityFinder):
        raise InputError(f"{path} is no model of this package.")
    return in_float32(model)


def _maker(directory: Path) -> str:
    """Which version made a model, as far as its card can be read."""
    try:
        return maker(read_card(directory).versions)
    except InputError:
        return maker(None)
