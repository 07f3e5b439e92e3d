"""A model in full: what its card, its files and its graph say."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError, one_line
from stm_keras.models.card import (
    CARD_NAME,
    ModelCard,
    ScoreSelection,
    model_files,
)
from stm_keras.models.stored import (
    StoredModel,
    given_q,
    plain,
    trained_with,
)
from stm_keras.scoring import format_card_scores

SAVED_MODEL = "saved_model.pb"


class Signature(NamedTuple):
    """Tensors of a signature, such as "maps float32 [?,?,?,?]", by name.

    "?" is a size that is free.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_signatures(directory: str | Path) -> dict[str, Signature]:
    """Inputs and outputs of each signature of a SavedModel, by its name.

    Args:
        directory: of the SavedModel.

    Raises:
        InputError: where `saved_model.pb` is missing or damaged.
    """
    path = Path(directory) / SAVED_MODEL
    try:
        stored: Any = SavedModel.FromString(path.read_bytes())
        signatures = stored.meta_graphs[0].signature_def
        return {
            name: Signature(
                _tensors(signatures[name].inputs),
                _tensors(signatures[name].outputs),
            )
            for name in sorted(signatures)
            if not name.startswith("__")  # TensorFlow's own
        }
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except (DecodeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}).") from error


def _tensors(named: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name} {_tensor(named[name])}" for name in sorted(named))


def _tensor(info: Any) -> str:
    sizes = (str(d.size) if d.size >= 0 else "?" for d in info.tensor_shape.dim)
    return f"{tf.as_dtype(info.dtype).name} [{','.join(sizes)}]"


_LABEL = 13


_WIDTH = 80


def describe(model: StoredModel) -> list[str]:
    """Lines that describe a model.

    Args:
        model: whose card can be read, or not.

    Raises:
        InputError: where the card cannot be read, or lacks what it says.
    """
    card = model.card
    if card is None:
        assert model.refusal is not None
        raise model.refusal
    try:
        fields = [*_origin(card), *_use(card), *_quality(card)]
        scores = format_card_scores(card.scores).splitlines()
        if card.adaptation is not None:
            scores += ["", *adaptation_lines(card.adaptation)]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"The model card {model.directory / CARD_NAME} is damaged "
            f"({error!r}). Restore it, or train the model again."
        ) from error
    lines = [
        f"{model.name}: {model.directory}",
        "",
        *(line for label, text in fields for line in _labelled(label, text)),
        "",
        "scores on the test split",
        *(f"  {line}" if line else "" for line in scores),
        "",
        *_files(model),
        "",
        *_signatures(model.directory),
    ]
    return [one_line(line) for line in lines]


def _origin(card: ModelCard) -> Iterator[tuple[str, str]]:
    network = dict(card.network)
    sizes = ", ".join(
        f"{name} {plain(value)}"
        for name, value in network.items()
        if name not in ("class", "parameters", "calibration")
    )
    yield (
        "network",
        f"{network['class']}, {network['parameters']:,} parameters: {sizes}",
    )
    yield "command", card.command
    sets = [card.data] if "name" in card.data else list(card.data.values())
    for data in sets:
        yield "data", _data(data)
    seeds = ", ".join(str(data.get("seed", "unknown")) for data in sets)
    seed = card.training["batches"]["seed"]
    yield "seeds", f"data {seeds}; weights, order and noise {seed}"
    yield (
        "made",
        f"{card.made['date']}, {card.made['machine']}, "
        f"{card.made['seconds']:,} s of training",
    )
    versions = ", ".join(f"{k} {v}" for k, v in card.versions.items())
    yield "versions", f"{versions}; card of form {card.format}"


def _data(data: dict[str, Any]) -> str:
    counts = ", ".join(f"{n:,} {k}" for k, n in data["n_examples"].items())
    share = f"; mixture weight {data['share']}" if "share" in data else ""
    return f"{data['name']} ({counts}), in {data['path']}{share}"


def _use(card: ModelCard) -> Iterator[tuple[str, str]]:
    counts = ", ".join(map(str, trained_with(card))) or "an unknown number of"
    yield (
        "takes",
        f"any number of maps, {given_q(card)} their q; trained with {counts} "
        f"at a time, on fields of {card.tile_px} px; receptive field "
        f"{card.reach_px} px to each side",
    )
    low, high = card.ring_rad_px
    yield "q = 2k", f"{low:.3g} to {high:.3g} rad/px in training"


def _quality(card: ModelCard) -> Iterator[tuple[str, str]]:
    selection = card.selection
    if isinstance(selection, ScoreSelection):
        least = _by_maps(selection.thresholds)
        floor = _by_maps(selection.floors)
        yield "threshold", f"S of {least}, in deviations above its mean"
        yield "noise floor", f"S of {floor}, once in 80 x 80 px of white noise"
        yield "calibration", "none: gives a score S, and no probability"
        return
    yield (
        "threshold",
        f"probability {selection.threshold:.3g} at least, and a false-"
        f"discovery rate of {selection.false_discovery_rate:.0%} in a stack "
        "at most; prior count of false detections "
        f"{selection.prior_false:g}",
    )
    measured = selection.measured
    error = measured["reliability"]["expected_calibration_error"]
    yield (
        "calibration",
        f"expected error of a probability {error:.3f}; standard deviation of "
        f"z-scores {measured['z_standard_deviation']:.2f}; "
        f"{measured['false_in_surrogate_80x80']:.2f} found in 80 x 80 px "
        "without an impurity",
    )


def _by_maps(table: Mapping[int, float]) -> str:
    return ", ".join(
        f"{value:.2f} ({n} map{'s' if n > 1 else ''})"
        for n, value in sorted(table.items())
    )


def _files(model: StoredModel) -> Iterator[str]:
    differs = model.differences
    marks = {
        name: f"  {kind}"
        for kind in ("changed", "missing", "extra")
        for name in (getattr(differs, kind) if differs else ())
    }
    yield (
        f"files, {model.size_bytes / 1e6:.1f} MB; checksums: {model.checksums}"
    )
    names = model_files(model.directory)
    width = max(map(len, [*names, *marks]))
    for name in sorted({*names, *marks}):
        size = "-"
        if name in names:
            size = f"{(model.directory / name).stat().st_size:,}"
        yield f"  {name.ljust(width)}  {size:>11}{marks.get(name, '')}"
    if not marks:
        yield from (f"  {damage}" for damage in model.damages)


def _signatures(directory: Path) -> Iterator[str]:
    yield "signatures"
    try:
        signatures = read_signatures(directory)
    except InputError as error:
        yield f"  {error}"
        return
    for name, (inputs, outputs) in signatures.items():
        yield f"  {name}"
        for label, tensors in (("in", inputs), ("out", outputs)):
            yield f"    {label:3}  {', '.join(tensors)}"


def _labelled(label: str, text: str) -> list[str]:
    if label == "command":  # to be copied
        return [f"{label:{_LABEL}}{text}"]
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{label:{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )


_LABELS = {
    "held_out_loss": "loss on held-out fields [nat]",
    "entropy": "entropy on the experiment [nat]",
    "detections": "detections in the experiment",
    "in_surrogates": "in a surrogate map of it",
}


_LABELS_WIDTH = max(map(len, _LABELS.values())) + 2


def adaptation_lines(stored: dict[str, Any]) -> list[str]:
    """What a card says of fine-tuning on an experiment.

    Args:
        stored: see `stm_keras.training.adaptation.Adaptation.as_dict`.

    Returns:
        A small table, and a line that says which network it is.
    """
    before, after = stored["before"], stored["after"]
    lines = [f"{'fine-tuning':{_LABELS_WIDTH}}  before   after"]
    for name, label in _LABELS.items():
        digits = 0 if name == "detections" else 2
        both = (_number(figures[name], digits) for figures in (before, after))
        lines.append(f"{label:{_LABELS_WIDTH}}{''.join(both)}")
    if stored["shipped"] == "adapted":
        return [*lines, "The fine-tuned network ships."]
    reasons = "; ".join(stored["objections"])
    return [
        *lines,
        f"The start's weights ship, not the fine-tuned ones: {reasons}. Try a "
        "smaller --learning-rate or --alpha, or fewer --steps.",
    ]


def _number(value: float | None, digits: int) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.{digits}f}"
