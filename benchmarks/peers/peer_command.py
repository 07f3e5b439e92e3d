"""What the scripts of the peers share; free of `stm_keras`, like them."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peer_files import (
    STACKS,
    Detections,
    Stacks,
    load_stacks,
    read_about,
    save_detections,
)

LEAST_SCORE = 0.02
"""Detections below it are not written: far below any threshold tuned."""

Look = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
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
    folder: Path, peer: str, look: Look, of: Callable[[Stacks], np.ndarray]
) -> None:
    """Let a trained peer look at everything that was exported.

    Args:
        folder: of the export.
        peer: name of the peer and of its folder.
        look: what it does with one stack.
        of: what it is shown of the stacks of a file, [N, ...].
    """
    out = folder / peer
    about = read_about(out / "model")
    for path in sorted((folder / STACKS).glob("*.npz")):
        stacks = load_stacks(path)
        started = time.process_time()
        found = [look(shown) for shown in of(stacks)]
        seconds = (time.process_time() - started) / len(found)
        positions, scores = (list(part) for part in zip(*found, strict=True))
        save_detections(
            out / path.name,
            Detections(positions, scores, stacks.digests, seconds, about),
        )
        print(out / path.name)
