"""What an adaptation to an experiment changed, and whether it may ship."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

LOSS_MARGIN = 0.01
"""The loss on held-out fields may rise by this share of itself: about what
the last 500 steps of a long training gain."""

_LABELS = {
    "held_out_loss": "loss on held-out fields [nat]",
    "entropy": "entropy on the experiment [nat]",
    "detections": "detections in the experiment",
    "in_surrogates": "in a phase surrogate of it",
}
_WIDTH = max(map(len, _LABELS.values())) + 2


class Figures(NamedTuple):
    """A network before or after an adaptation.

    Attributes:
        held_out_loss: L0 on held-out simulated fields [nat].
        entropy: Lreg on the experiment, as the training sees it [nat].
        detections: in the experiment at the network's threshold; None for a
            network without one, as it could not be calibrated.
        in_surrogates: the same in a phase surrogate of the experiment, where
            all are false; a mean.
    """

    held_out_loss: float
    entropy: float
    detections: int | None
    in_surrogates: float | None


@dataclass(frozen=True)
class Adaptation:
    """Before, after, and what follows.

    Attributes:
        before: the network that the training started from.
        after: the adapted one.
        surrogates: how many were made of the experiment.
        refusal: why the adapted network could not be calibrated, if so.
    """

    before: Figures
    after: Figures
    surrogates: int
    refusal: str | None = None

    @property
    def objections(self) -> list[str]:
        """Why the adapted network must not take the start's place."""
        found = [self.refusal] if self.refusal else []
        loss, now = self.before.held_out_loss, self.after.held_out_loss
        if not now <= loss + LOSS_MARGIN * abs(loss):
            found.append(
                f"its loss on held-out fields rose from {loss:.2f} to "
                f"{now:.2f} nat, more than {LOSS_MARGIN:.0%}"
            )
        false, more = self.before.in_surrogates, self.after.in_surrogates
        if false is None or more is None:
            return found
        # Counts: a difference below its standard error may be chance.
        chance = math.sqrt((false + more) / self.surrogates)
        if more - false > chance:
            found.append(
                f"it finds {more:.2f} impurities in a phase surrogate of the "
                f"experiment, where there is none, and the start {false:.2f}"
            )
        return found

    @property
    def shipped(self) -> str:
        """Which network ships: "adapted", or "start"."""
        return "start" if self.objections else "adapted"

    def as_dict(self) -> dict[str, Any]:
        """For the card, as plain values."""
        return {
            "shipped": self.shipped,
            "objections": self.objections,
            "loss_margin": LOSS_MARGIN,
            "surrogates": self.surrogates,
            "before": self.before._asdict(),
            "after": self.after._asdict(),
        }


def adaptation_lines(stored: dict[str, Any]) -> list[str]:
    """Show what a card says of an adaptation.

    Args:
        stored: see `Adaptation.as_dict`.

    Returns:
        A small table, and a line that says which network it is.
    """
    before, after = stored["before"], stored["after"]
    lines = [f"{'adaptation':{_WIDTH}}  before   after"]
    for name, label in _LABELS.items():
        digits = 0 if name == "detections" else 2
        shown = (_number(figures[name], digits) for figures in (before, after))
        lines.append(f"{label:{_WIDTH}}{''.join(shown)}")
    if stored["shipped"] == "adapted":
        return [*lines, "The adapted network ships."]
    reasons = "; ".join(stored["objections"])
    return [
        *lines,
        f"The start's weights ship, not the adapted ones: {reasons}. Try a "
        "smaller --learning-rate or --alpha, or fewer --steps.",
    ]


def _number(value: float | None, digits: int) -> str:
    return f"{'-':>8}" if value is None else f"{value:8.{digits}f}"
