"""A line for each model in a folder."""

from collections.abc import Iterable

from stm_keras.errors import one_line
from stm_keras.model_card import ModelCard
from stm_keras.stored_models.stored_model import StoredModel
from stm_keras.versions import OURS

_HEADING = (
    "name",
    "network",
    "parameters",
    "maps",
    "wave numbers",
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
        it can be told their wave numbers; the date, the stm-keras that made
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
    if card.thresholds:
        return sorted(card.thresholds)
    batches = card.training.get("batches")
    counts = batches.get("voltages") if isinstance(batches, dict) else None
    return sorted(set(counts)) if isinstance(counts, list) else []


def _row(model: StoredModel) -> tuple[str, ...]:
    card = model.card
    assert card is not None
    parameters = card.network.get("parameters")
    return (
        model.name,
        str(card.network.get("class", _UNKNOWN)),
        f"{parameters:,}" if isinstance(parameters, int) else _UNKNOWN,
        ",".join(map(str, trained_with(card))) or _UNKNOWN,
        "with or without" if card.detection else "without",
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
