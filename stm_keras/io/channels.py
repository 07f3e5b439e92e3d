"""Which channel is what: dI/dV, current or topograph, by name and unit."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.recording import Channel

Quantity = Literal["didv", "current", "topograph"]

# In order of preference. Names are compared in small letters and without
# blanks, signs and brackets: "LIX 1 omega (A)" is "lix1omegaa".
_DIDV_NAMES: tuple[re.Pattern[str], ...] = (
    re.compile(r"didv(?!.*(y|phase))"),
    re.compile(r"^lix1omega"),
    re.compile(r"^lidemod\d*x"),
    re.compile(r"^lix(?!\d*omega)"),  # not the second harmonic, d2I/dV2
    re.compile(r"^(\w*lockin|lia)(?!.*(y|phase|r$))"),
    re.compile(r"^li[rm]1omega"),  # the modulus, where X is missing
)
_DIDV_UNITS = ("S", "A/V")
# A scan of several passes names them behind, as in "Z [P2]".
_CURRENT = re.compile(r"^(i|current|tunnell?(ing)?current|ifwd|ibwd)a?(p\d+)?$")
_CURRENT_START = re.compile(r"^(current|tunnell?(ing)?current)")
_TOPOGRAPH = re.compile(
    r"^(zs?|(zs)?topo\w*|height|constantcurrent|zheight)m?(p\d+)?$"
)
_INTERNAL_LOCK_IN = re.compile(r"^li[xyrm]|^lidemod")

# A lock-in that runs gives a signal well away from zero, as dI/dV is; one
# that is switched off gives noise about zero. Measured with it off: |mean| /
# std < 0.007, and up to 0.42 correlation of the two scan directions (pickup
# and feedback errors repeat); Z of the same files: 0.82 and more.
_OFF_MEAN_OVER_STD = 0.1
_OFF_REPEAT = 0.6
_MAX_LAG_SHARE = 16  # the tip's lag between directions: up to W/16
_COPY_CORRELATION = 0.95
_LISTED = 12
_LONGEST = 24
"""Names in messages, and their letters."""


def quantity(name: str, unit: str) -> Quantity | None:
    """What a channel holds, by its name and unit.

    Args:
        name: as the file calls it.
        unit: its SI unit; counts where the name says nothing.
    """
    key = channel_key(name)
    if _didv_rank(key, unit) is not None:
        return "didv"
    if _CURRENT.match(key) or (_CURRENT_START.match(key) and unit == "A"):
        return "current"
    if _TOPOGRAPH.match(key):
        return "topograph"
    return None


def didv_candidates(channels: Sequence[Channel]) -> list[int]:
    """Places of the channels that hold dI/dV by name or unit, best first."""
    ranks = {
        index: rank
        for index, channel in enumerate(channels)
        if (rank := _didv_rank(channel_key(channel.name), channel.unit))
        is not None
    }
    return sorted(ranks, key=lambda index: (ranks[index], index))


def is_internal_lock_in(channel: Channel) -> bool:
    """Whether a channel comes from the controller's own lock-in."""
    return bool(_INTERNAL_LOCK_IN.match(channel_key(channel.name)))


def named_channels(
    source: str, channels: Sequence[Channel], wanted: str
) -> list[int]:
    """Places of the channels of a name, in whatever direction.

    Args:
        source: the file, for messages.
        channels: the channels of the file.
        wanted: a name, exactly or without blanks, signs and case, or the
            beginning of one name alone; "topograph" is the topograph,
            whatever its name.

    Raises:
        InputError: where none or more than one name fits; the message lists
            the channels.
    """
    names = [channel.name for channel in channels]
    key = channel_key(wanted)
    keys = [channel_key(name) for name in names]
    for matches in (
        [i for i, name in enumerate(names) if name == wanted],
        [i for i, other in enumerate(keys) if other == key],
        [i for i, other in enumerate(keys) if key and other.startswith(key)],
        topographs(channels) if key == "topograph" else [],
    ):
        if matches and len({names[i] for i in matches}) == 1:
            return matches
        if matches:
            break
    raise InputError(
        f"{source}: {'more than one' if matches else 'no'} channel "
        f"{wanted!r}. Its channels: {listed(channels)}."
    )


def topographs(channels: Sequence[Channel]) -> list[int]:
    """Places of the channels that hold the tip's height."""
    return [
        index
        for index, channel in enumerate(channels)
        if quantity(channel.name, channel.unit) == "topograph"
    ]


def listed(channels: Sequence[Channel]) -> str:
    """The channels' names, each once, as a text that is not too long."""
    names = [
        name[:_LONGEST] for name in dict.fromkeys(c.name for c in channels)
    ]
    more = len(names) - _LISTED
    text = ", ".join(names[:_LISTED])
    return f"{text} and {more} more" if more > 0 else text


def silence(images: Sequence[np.ndarray]) -> str:
    """Say why a lock-in channel carries no signal, or "" where it does.

    Args:
        images: maps [..., H, W] of each direction, showing the same place,
            any unit; NaN is "not measured".

    Returns:
        The reason, or "" where the mean stands clear of the noise or the two
        directions show the same picture.
    """
    ratios = []
    for image in images:
        values = image[np.isfinite(image)].astype(np.float64)
        spread = values.std() if values.size else 0.0
        if not spread > 0:
            return "it holds nothing"
        ratios.append(abs(values.mean()) / spread)
    if max(ratios) >= _OFF_MEAN_OVER_STD:
        return ""
    if len(images) == 2 and _repeat(*images) >= _OFF_REPEAT:
        return ""
    return "noise about zero, the lock-in seems off"


def is_copy(image: np.ndarray, error: np.ndarray) -> bool:
    """Whether a map is the feedback's error once more, scaled.

    A lock-in that is off, or whose input is the current itself, passes on
    what the feedback has not yet corrected.

    Args:
        image: [..., H, W], of the lock-in.
        error: the same shape, the current at a fixed set point.
    """
    if image.shape != error.shape:
        return False
    both = np.isfinite(image) & np.isfinite(error)
    first, second = (
        values[both].astype(np.float64) - values[both].mean()
        for values in (image, error)
    )
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return bool(norm > 0 and abs(first @ second) / norm > _COPY_CORRELATION)


def is_flat(image: np.ndarray) -> bool:
    """Whether a map has one value wherever it is measured, or nowhere any."""
    # Without a copy of it; NaN is passed over.
    least, most = (ends.reduce(image, axis=None) for ends in (np.fmin, np.fmax))
    return bool(np.isnan(least) or least == most)


def channel_key(name: str) -> str:
    """A name without case, blanks, signs and brackets."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _didv_rank(key: str, unit: str) -> int | None:
    for rank, pattern in enumerate(_DIDV_NAMES):
        if pattern.search(key):
            return rank
    return len(_DIDV_NAMES) if unit in _DIDV_UNITS else None


def _repeat(forward: np.ndarray, backward: np.ndarray) -> float:
    """Correlation of two directions at the tip's best lag, in [-1, 1]."""
    width = forward.shape[-1]
    both = []
    for image in (forward, backward):
        image = np.where(np.isfinite(image), image, np.nan).astype(np.float64)
        image = image.reshape(-1, width)
        rows = np.isfinite(image).any(axis=1)
        levelled = np.zeros_like(image)
        levelled[rows] = image[rows] - np.nanmedian(
            image[rows], axis=1, keepdims=True
        )
        both.append(np.nan_to_num(levelled))
    first, second = (np.fft.rfft(image, 2 * width) for image in both)
    overlap = np.fft.irfft((first * second.conj()).sum(axis=0))
    lag = max(1, width // _MAX_LAG_SHARE)
    best = max(overlap[: lag + 1].max(), overlap[-lag:].max())
    norm = np.prod([np.linalg.norm(image) for image in both])
    return float(best / norm) if norm > 0 else 0.0
