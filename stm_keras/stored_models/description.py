"""A model in full: what its card, its files and its graph say."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stm_keras.checksums import model_files
from stm_keras.errors import InputError, one_line
from stm_keras.evaluation import format_card_scores
from stm_keras.fitting.adaptation_figures import adaptation_lines
from stm_keras.model_card import CARD_NAME, ModelCard
from stm_keras.stored_models.listing import trained_with
from stm_keras.stored_models.signatures import read_signatures
from stm_keras.stored_models.stored_model import StoredModel

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
        told = [*_origin(card), *_use(card), *_quality(card)]
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
        *(line for label, text in told for line in _labelled(label, text)),
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
    share = f"; share {data['share']}" if "share" in data else ""
    return f"{data['name']} ({counts}), in {data['path']}{share}"


def _use(card: ModelCard) -> Iterator[tuple[str, str]]:
    counts = ", ".join(map(str, trained_with(card))) or "an unknown number of"
    k = "with or without" if card.detection else "without"
    yield (
        "takes",
        f"any number of maps, {k} their wave numbers; trained with {counts} at "
        f"a time, on fields of {card.tile_px} px; sees {card.reach_px} px far",
    )
    low, high = card.ring_rad_px
    yield "rings", f"2k from {low:.3g} to {high:.3g} rad/px"


def _quality(card: ModelCard) -> Iterator[tuple[str, str]]:
    detection = card.detection
    if detection is None:
        least, floor = _by_maps(card.thresholds), _by_maps(card.floors)
        yield "threshold", f"S of {least}, in deviations above its mean"
        yield "noise floor", f"S of {floor}, once in 80 x 80 px of white noise"
        yield "calibration", "none: gives a score S, and no probability"
        return
    yield (
        "threshold",
        f"probability {detection['threshold']:.3g} at least, and of those kept "
        f"in a stack {detection['false_discovery_rate']:.0%} false by "
        "expectation at most, "
        f"{detection.get('false_beforehand', 0.0):g} of one counted beforehand",
    )
    error = detection["reliability"]["expected_calibration_error"]
    yield (
        "calibration",
        f"expected error of a probability {error:.3f}; standard deviation of "
        f"z-scores {detection['z_standard_deviation']:.2f}; "
        f"{detection['false_in_surrogate_80x80']:.2f} found in 80 x 80 px "
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
