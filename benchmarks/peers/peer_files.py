"""What goes to a peer and comes back, and what the peers' scripts share.

Files are .npz. This project and each peer, in an environment of its own, read
and write them, so that nothing but NumPy and the standard library is imported.
"""

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TRAINING = "training.npz"
STACKS = "stacks"
"""Folder of the tuning and test stacks, a file for each cell and role."""

_ABOUT = "about.txt"


class Stacks(NamedTuple):
    """Stacks of maps that a peer trains on or finds impurities in.

    Attributes:
        maps: float32 [n, V, H, W].
        rms: root mean square over the voltages of mean-free maps, for peers
            that take one channel, float32 [n, H, W].
        positions: of each stack, row and column [px], float64 [m, 2]; empty
            where a peer only finds: it needs no truth for that.
        digests: by which detections find back to their stack.
    """

    maps: np.ndarray
    rms: np.ndarray
    positions: list[np.ndarray]
    digests: list[str]


class Detections(NamedTuple):
    """What a peer found in the stacks of one file.

    Attributes:
        positions: of each stack, row and column [px], float64 [m, 2].
        scores: the peer's own, float64 [m].
        digests: of the stacks, as they were given.
        seconds: mean processor time that finding took in a stack [s].
        about: versions, sizes, seed and date, in one line.
    """

    positions: list[np.ndarray]
    scores: list[np.ndarray]
    digests: list[str]
    seconds: float
    about: str


def digest(maps: np.ndarray) -> str:
    """A stack's own name.

    Args:
        maps: [V, H, W]; taken as float32.
    """
    values = np.ascontiguousarray(maps, np.float32)
    return hashlib.sha256(repr(values.shape).encode() + values.data).hexdigest()


def save_stacks(path: Path, stacks: Stacks) -> None:
    """Write a file whole or not at all."""
    _save(
        path,
        maps=stacks.maps,
        rms=stacks.rms,
        positions=_joined(stacks.positions, (0, 2)),
        counts=[len(p) for p in stacks.positions],
        digests=stacks.digests,
    )


def load_stacks(path: Path) -> Stacks:
    """Read what `save_stacks` wrote."""
    with np.load(path) as file:
        return Stacks(
            file["maps"],
            file["rms"],
            _parted(file["positions"], file["counts"]),
            file["digests"].tolist(),
        )


def save_detections(path: Path, found: Detections) -> None:
    """Write a file whole or not at all."""
    _save(
        path,
        positions=_joined(found.positions, (0, 2)),
        scores=_joined(found.scores, (0,)),
        counts=[len(p) for p in found.positions],
        digests=found.digests,
        seconds=found.seconds,
        about=found.about,
    )


def load_detections(path: Path) -> Detections:
    """Read what `save_detections` wrote.

    Raises:
        ValueError: where positions, scores and counts do not fit each other.
        KeyError: where one of them is missing.
    """
    with np.load(path) as file:
        positions, scores, counts = (
            file[name] for name in ("positions", "scores", "counts")
        )
        if not len(positions) == len(scores) == counts.sum():
            raise ValueError(
                f"{len(positions)} positions, {len(scores)} scores and counts "
                f"of {counts.sum()} in all"
            )
        return Detections(
            _parted(positions, counts),
            _parted(scores, counts),
            file["digests"].tolist(),
            float(file["seconds"]),
            str(file["about"]),
        )


def forget_about(model_folder: Path) -> None:
    """What was kept of a training is not true of the next one's weights."""
    (model_folder / _ABOUT).unlink(missing_ok=True)


def write_about(model_folder: Path, about: str) -> None:
    """Keep beside weights how they were trained."""
    (model_folder / _ABOUT).write_text(about + "\n")


def read_about(model_folder: Path) -> str:
    """How weights were trained, as far as it was kept."""
    path = model_folder / _ABOUT
    if path.is_file():
        return path.read_text().strip()
    return "weights of a training that did not end"


def _joined(parts: Sequence[np.ndarray], empty: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.empty(empty), *parts]).astype(np.float64)


def _parted(joined: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(joined, np.cumsum(counts)[:-1]) if len(counts) else []


def _save(path: Path, **arrays: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(temporary, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


LEAST_SCORE = 0.02
"""Detections below it are not written: far below any threshold tuned."""

Find = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From the images of one stack to positions [n, 2] [px] and scores [n]."""


def parser(doc: str | None, epochs: int, batch: int) -> argparse.ArgumentParser:
    """Options that every peer has, with its own defaults."""
    made = argparse.ArgumentParser(description=doc)
    made.add_argument("folder", type=Path, help="where export.py wrote")
    made.add_argument("--fields", type=int, help="of those exported; all")
    made.add_argument("--epochs", type=int, default=epochs)
    made.add_argument("--batch", type=int, default=batch)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--trained", action="store_true", help="find with the weights there"
    )
    return made


def find_all(
    folder: Path, peer: str, find: Find, of: Callable[[Stacks], np.ndarray]
) -> None:
    """Let a trained peer find in everything that was exported.

    Args:
        folder: of the export.
        peer: name of the peer and of its folder.
        find: what it does with one stack.
        of: its input, of the stacks of a file, [N, ...].
    """
    out = folder / peer
    about = read_about(out / "model")
    for path in sorted((folder / STACKS).glob("*.npz")):
        stacks = load_stacks(path)
        started = time.process_time()
        found = [find(given) for given in of(stacks)]
        seconds = (time.process_time() - started) / len(found)
        positions, scores = (list(part) for part in zip(*found, strict=True))
        save_detections(
            out / path.name,
            Detections(positions, scores, stacks.digests, seconds, about),
        )
        print(out / path.name)
