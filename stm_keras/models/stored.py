"""Model directories, found below a folder and inspected without loading."""

import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError, one_line
from stm_keras.models.card import (
    CARD_NAME,
    SUMS_NAME,
    TRAINING,
    Differences,
    ModelCard,
    OtherVersionError,
    ScoreSelection,
    model_files,
    read_card,
    verify_checksums,
)
from stm_keras.scoring import format_card_scores
from stm_keras.system import OURS

_SIGNS = (CARD_NAME, SUMS_NAME, "saved_model.pb")
"""A directory with one of these is a model's, if not a whole one."""


@dataclass(frozen=True)
class StoredModel:
    """A model directory as it lies there.

    Attributes:
        name: of the directory below the folder that it was found in.
        directory: where it is.
        size_bytes: of all its files but checkpoints and logs.
        card: None where it cannot be read.
        refusal: why the card cannot be read.
        differences: from the checksums; None where none are stored.
        damages: what is damaged, in words; empty for a model that is whole
            as far as its card and checksums tell.
    """

    name: str
    directory: Path
    size_bytes: int
    card: ModelCard | None
    refusal: InputError | None
    differences: Differences | None
    damages: tuple[str, ...]

    @property
    def checksums(self) -> str:
        """State of the checksums: ok, damaged or none stored."""
        if self.damages:
            return "damaged"
        return "none stored" if self.differences is None else "ok"

    @property
    def complaint(self) -> str:
        """One line on a damaged model: which, what, and what to do."""
        message = (
            f"The model {self.name} in {self.directory} is damaged: "
            f"{'; '.join(self.damages)}. Restore it, or train it again."
        )
        return str(InputError(message))


def find_models(folder: str | Path) -> list[StoredModel]:
    """Look at every model directory below a folder, by name.

    Args:
        folder: itself a model directory, or with some anywhere below it.

    Raises:
        InputError: where there is no such folder, or no model in it.
    """
    found = _directories(Path(folder))
    return [look_at(found[name], name) for name in sorted(found)]


def named_model(name: str, folder: str | Path) -> StoredModel:
    """Look at one model.

    Args:
        name: its directory, or its name below `folder`.
        folder: where models are.

    Raises:
        InputError: where there is no such model.
    """
    if _is_model(Path(name)):
        return look_at(Path(name), Path(name).resolve().name)
    if _is_model(Path(folder) / name):
        return look_at(Path(folder) / name, name)
    if Path(name).is_dir():
        raise InputError(
            f"{name} is not a model directory: it has no {CARD_NAME}."
        )
    known = ", ".join(sorted(_directories(Path(folder))))
    raise InputError(f"No model {name!r} in {folder}. There are: {known}.")


def look_at(directory: Path, name: str) -> StoredModel:
    """Read the card of a model and compare its files with the checksums.

    Args:
        directory: of the model.
        name: to call it by.
    """
    card, refusal, differences = None, None, None
    damages: list[str] = []
    try:
        differences = verify_checksums(directory)
        damages += [str(differences)] if differences else []
    except InputError as error:
        damages.append(str(error))
    try:
        card = read_card(directory)
    except OtherVersionError as error:
        refusal = error
    except InputError as error:
        refusal = error
        damages = damages or [str(error)]
    return StoredModel(
        name=name,
        directory=directory,
        size_bytes=sum(
            (directory / file).stat().st_size for file in model_files(directory)
        ),
        card=card,
        refusal=refusal,
        differences=differences,
        damages=tuple(damages),
    )


def _is_model(directory: Path) -> bool:
    return any((directory / name).is_file() for name in _SIGNS)


def _directories(folder: Path) -> dict[str, Path]:
    """Model directories by their names; none is looked for in another."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(
            f"{folder} {what}: give --folder, a folder of models, such as "
            "saved_models."
        )
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for path, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:  # a link to a folder above it
            folders.clear()
        elif _is_model(Path(path)):
            folders.clear()
            name = Path(path).relative_to(folder).as_posix()
            found[Path(real).name if name == "." else name] = Path(path)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name != TRAINING
        ]
        seen.add(real)
    if not found:
        raise InputError(
            f"No model in {folder}: no directory in it holds {CARD_NAME}. "
            "Train one with `stmk fit --out`, or give another --folder."
        )
    return found


_HEADING = (
    "name",
    "network",
    "parameters",
    "maps",
    "q",
    "made",
    "stm-keras",
    "MB",
    "checksums",
)
_RIGHT = ("parameters", "MB")
_UNKNOWN = "?"


def list_models(models: Iterable[StoredModel]) -> list[str]:
    """Show models as a table.

    Args:
        models: as `find_models` found them.

    Returns:
        A heading and one line a model: its name, class and number of
        parameters; the numbers of maps that it was trained with, and whether
        it can be given their q; the date, the stm-keras that made
        it; its size and the state of its checksums. A model whose card cannot
        be read has the reason in place of all this.
    """
    models = list(models)
    rows = [_HEADING, *(_row(model) for model in models if model.card)]
    names = max(len(model.name) for model in models)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], names)
    lines = [_aligned(_HEADING, widths)]
    for model in models:
        if model.card:
            lines.append(_aligned(_row(model), widths))
        else:
            reason = "; ".join(model.damages) or str(model.refusal)
            lines.append(f"{model.name.ljust(widths[0])}  {reason}")
    return [one_line(line) for line in lines]


def trained_with(card: ModelCard) -> list[int]:
    """Numbers of maps that a model was trained with, from few to many."""
    if isinstance(card.selection, ScoreSelection):
        return sorted(card.selection.thresholds)
    batches = card.training.get("batches")
    counts = batches.get("voltages") if isinstance(batches, dict) else None
    return sorted(set(counts)) if isinstance(counts, list) else []


def _given_q(card: ModelCard) -> str:
    """Whether a network takes the scattering wave vector of each map."""
    if isinstance(card.selection, ScoreSelection):
        return "without"
    return "with or without"


def _row(model: StoredModel) -> tuple[str, ...]:
    card = model.card
    assert card is not None
    parameters = card.network.get("parameters")
    return (
        model.name,
        str(card.network.get("class", _UNKNOWN)),
        f"{parameters:,}" if isinstance(parameters, int) else _UNKNOWN,
        ",".join(map(str, trained_with(card))) or _UNKNOWN,
        _given_q(card),
        str(card.made.get("date", _UNKNOWN)),
        str(card.versions.get(OURS, _UNKNOWN)),
        f"{model.size_bytes / 1e6:.1f}",
        model.checksums,
    )


def _aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(
        cell.rjust(width) if name in _RIGHT else cell.ljust(width)
        for name, cell, width in zip(_HEADING, cells, widths, strict=True)
    ).rstrip()


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
        f"{name} {_plain(value)}"
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
        f"any number of maps, {_given_q(card)} their q; trained with {counts} "
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


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)


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
