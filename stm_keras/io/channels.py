"""Which channel of a file to read: dI/dV where it was recorded, else Z."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stm_keras.errors import InputError

# In order of preference. Names are compared in small letters and without
# blanks, signs and brackets: "LIX 1 omega (A)" is "lix1omegaa".
_DIDV_NAMES: tuple[re.Pattern[str], ...] = (
    re.compile(r"didv(?!.*y)"),
    re.compile(r"^lix1omega"),
    re.compile(r"^lidemod\d*x"),
    re.compile(r"^lix(?!\d*omega)"),  # not the second harmonic, d2I/dV2
    re.compile(r"^(lockin|lia)(?!.*(y|phase|r$))"),
)
_INTERNAL_LOCK_IN = re.compile(r"^lix|^lidemod")
_TOPOGRAPH = re.compile(r"^(z|topo\w*|height)m?$")

# A lock-in that runs gives a signal well away from zero, as dI/dV is; one
# that is switched off gives noise about zero. Measured with it off: |mean| /
# std < 0.007, and up to 0.42 correlation of the two scan directions (pickup
# and feedback errors repeat); Z of the same files: 0.82 and more.
_OFF_MEAN_OVER_STD = 0.1
_OFF_REPEAT = 0.6
_MAX_LAG_SHARE = 16  # the tip's lag between directions: up to W/16


@dataclass(frozen=True)
class Choice:
    """A chosen channel.

    Attributes:
        index: its place among the file's channels.
        reason: why it was chosen, for `provenance`.
    """

    index: int
    reason: str


def choose_channel(
    source: str,
    names: Sequence[str],
    wanted: str | None,
    *,
    lock_in_off: bool,
    images: Callable[[int], Sequence[np.ndarray]],
) -> Choice:
    """Choose the channel to read.

    Args:
        source: the file, for messages.
        names: the channels as the file names them.
        wanted: the name the user asks for, or None to choose dI/dV (first
            harmonic, in phase) or else the topograph Z.
        lock_in_off: whether the file says that its own lock-in was off.
        images: gives the image of a channel [H, W] in each direction that
            was recorded, mirrored so that they show the same place.

    Raises:
        InputError: for an unknown channel, or where none suits; the message
            lists the channels.
    """
    keys = [_key(name) for name in names]
    if wanted is not None:
        index = _wanted_channel(source, names, keys, wanted)
        silent = lock_in_off and _INTERNAL_LOCK_IN.match(keys[index])
        doubt = ", though the file says lock-in off" if silent else ""
        return Choice(index, f"as asked for{doubt}")
    refused: list[str] = []
    for index in _didv_candidates(keys):
        if lock_in_off and _INTERNAL_LOCK_IN.match(keys[index]):
            refused.append(f"{names[index]}: the file says lock-in off")
        elif fault := silence(images(index)):
            refused.append(f"{names[index]}: {fault}")
        else:
            return Choice(index, "a dI/dV channel by its name")
    why = f"no usable dI/dV ({'; '.join(refused) or 'none recorded'})"
    for index, key in enumerate(keys):
        if _TOPOGRAPH.match(key):
            return Choice(index, f"the topograph, as there is {why}")
    raise InputError(
        f"{source}: {why} and no topograph. Choose with --channel among: "
        f"{', '.join(names)}."
    )


def silence(images: Sequence[np.ndarray]) -> str:
    """Say why a lock-in channel carries no signal, or "" where it does.

    Args:
        images: one image [H, W] for each scan direction, showing the same
            place, any unit; NaN is "not measured".

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


def _repeat(forward: np.ndarray, backward: np.ndarray) -> float:
    """Correlation of two directions at the tip's best lag, in [-1, 1]."""
    both = []
    for image in (forward, backward):
        image = np.where(np.isfinite(image), image, np.nan).astype(np.float64)
        rows = np.isfinite(image).any(axis=1)
        levelled = np.zeros_like(image)
        levelled[rows] = image[rows] - np.nanmedian(
            image[rows], axis=1, keepdims=True
        )
        both.append(np.nan_to_num(levelled))
    width = forward.shape[1]
    first, second = (np.fft.rfft(image, 2 * width) for image in both)
    overlap = np.fft.irfft((first * second.conj()).sum(axis=0))
    lag = max(1, width // _MAX_LAG_SHARE)
    best = max(overlap[: lag + 1].max(), overlap[-lag:].max())
    norm = np.prod([np.linalg.norm(image) for image in both])
    return float(best / norm) if norm > 0 else 0.0


def _didv_candidates(keys: Sequence[str]) -> list[int]:
    found = [
        index
        for pattern in _DIDV_NAMES
        for index, key in enumerate(keys)
        if pattern.search(key)
    ]
    return list(dict.fromkeys(found))


def _wanted_channel(
    source: str, names: Sequence[str], keys: Sequence[str], wanted: str
) -> int:
    key = _key(wanted)
    for matches in (
        [i for i, name in enumerate(names) if name == wanted],
        [i for i, other in enumerate(keys) if other == key],
        [i for i, other in enumerate(keys) if key and other.startswith(key)],
    ):
        if len(matches) == 1:
            return matches[0]
    raise InputError(
        f"{source}: {'more than one' if matches else 'no'} channel "
        f"{wanted!r}. Its channels: {', '.join(names)}."
    )


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
