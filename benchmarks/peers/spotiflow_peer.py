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
import functools
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from peer_files import (
    LEAST_SCORE,
    TRAINING,
    find_all,
    forget_about,
    load_stacks,
    parser,
    write_about,
)

PEER = "spotiflow"


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


def find(network: Any, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [n, 2] [px] and scores [n] that a network finds in a stack."""
    places, details = network.predict(
        np.moveaxis(maps, 0, -1),
        prob_thresh=LEAST_SCORE,
        device="cpu",
        verbose=False,
    )
    places = np.asarray(places, np.float64).reshape(-1, 2)
    return places, np.asarray(details.prob, np.float64).reshape(-1)


def main() -> None:
    options = parser(__doc__, epochs=50, batch=8).parse_args()
    make_importable()
    from lightning import (  # pyright: ignore[reportMissingImports]
        seed_everything,
    )
    from spotiflow.model import (  # pyright: ignore[reportMissingImports]
        Spotiflow,
    )

    seed_everything(options.seed, workers=True)
    model = options.folder / PEER / "model"
    if not options.trained:
        train(options.folder, model, options)
    network = Spotiflow.from_folder(str(model), map_location="cpu")
    find_all(
        options.folder,
        PEER,
        functools.partial(find, network),
        lambda stacks: stacks.maps,
    )


if __name__ == "__main__":
    main()
