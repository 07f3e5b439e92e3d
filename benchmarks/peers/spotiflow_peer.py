"""Train Spotiflow on exported fields and write what it finds.

    SPOTIFLOW/bin/python benchmarks/peers/spotiflow_peer.py out/peers/eq3 \
        --epochs 50

Run by the Python of an environment of its own, with what
spotiflow-requirements.txt lists. A channel a voltage; network, augmentation
and training are the package's defaults but for batch and epochs. The weights
of the epoch with the lowest validation loss find.
"""

import argparse
import datetime
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from peer_files import (
    STACKS,
    TRAINING,
    Detections,
    forget_about,
    load_stacks,
    read_about,
    save_detections,
    write_about,
)

PEER = "spotiflow"
LEAST_SCORE = 0.02
"""Detections below it are not written: far below any threshold tuned."""


def make_importable() -> None:
    """Let torchvision be imported beside a torch without CUDA.

    Where it was built for CUDA, its compiled part does not load there, and
    importing it fails for two operations that nothing here uses.
    """
    try:
        import torchvision  # noqa: F401 # pyright: ignore[reportMissingImports]
    except RuntimeError:
        boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", boxes)


def train(
    folder: Path, model_folder: Path, options: argparse.Namespace
) -> None:
    """Train a network, and keep the weights of its best epoch.

    Args:
        folder: of the export.
        model_folder: where the weights go.
        options: of the command line.
    """
    from spotiflow.model import (  # pyright: ignore[reportMissingImports]
        Spotiflow,
        SpotiflowModelConfig,
    )

    fields = load_stacks(folder / TRAINING)
    images = list(np.moveaxis(fields.maps, 1, -1)[: options.fields])
    spots = fields.positions[: options.fields]
    n_valid = max(len(images) // 10, 1)
    config = SpotiflowModelConfig(in_channels=images[0].shape[-1])
    forget_about(model_folder)
    started = time.perf_counter()
    Spotiflow(config).fit(
        images[n_valid:],
        spots[n_valid:],
        images[:n_valid],
        spots[:n_valid],
        save_dir=str(model_folder),
        train_config={
            "num_epochs": options.epochs,
            "batch_size": options.batch,
        },
        device="cpu",
    )
    minutes = (time.perf_counter() - started) / 60
    write_about(
        model_folder,
        f"Spotiflow {version('spotiflow')}, torch {version('torch')}; "
        f"{len(images) - n_valid} fields and {n_valid} to validate, "
        f"{options.epochs} epochs, batch {options.batch}, seed {options.seed}; "
        f"trained in {minutes:.0f} min on {torch.get_num_threads()} threads, "
        f"{datetime.date.today()}",
    )


def find(network: Any, path: Path, about: str) -> Detections:
    """Let a network look at the stacks of a file.

    Args:
        network: trained.
        path: of the stacks.
        about: how it was trained.
    """
    stacks = load_stacks(path)
    positions, scores = [], []
    started = time.process_time()
    for maps in stacks.maps:
        places, details = network.predict(
            np.moveaxis(maps, 0, -1),
            prob_thresh=LEAST_SCORE,
            device="cpu",
            verbose=False,
        )
        positions.append(np.asarray(places, np.float64).reshape(-1, 2))
        scores.append(np.asarray(details.prob, np.float64).reshape(-1))
    seconds = (time.process_time() - started) / len(stacks.maps)
    return Detections(positions, scores, stacks.digests, seconds, about)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where export.py wrote")
    parser.add_argument("--fields", type=int, help="of those exported; all")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--trained", action="store_true", help="find with the weights there"
    )
    options = parser.parse_args()
    make_importable()
    from lightning import (  # pyright: ignore[reportMissingImports]
        seed_everything,
    )
    from spotiflow.model import (  # pyright: ignore[reportMissingImports]
        Spotiflow,
    )

    seed_everything(options.seed, workers=True)
    out = options.folder / PEER
    model = out / "model"
    if not options.trained:
        train(options.folder, model, options)
    network = Spotiflow.from_folder(str(model), map_location="cpu")
    for path in sorted((options.folder / STACKS).glob("*.npz")):
        save_detections(out / path.name, find(network, path, read_about(model)))
        print(out / path.name)


if __name__ == "__main__":
    main()
