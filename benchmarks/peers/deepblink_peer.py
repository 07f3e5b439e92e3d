"""Train deepBlink on exported fields and write what it finds.

    DEEPBLINK/bin/python benchmarks/peers/deepblink_peer.py out/peers/eq3 \
        --fields 600 --epochs 30

Run by the Python of an environment of its own, with what
deepblink-requirements.txt lists. It takes one channel: the root mean square
over the voltages. Network and training are the package's defaults but for
epochs, exact symmetries as augmentation, and cells of 2 px in place of 4, in
which two impurities would often count as one. The weights of the epoch with
the lowest validation loss find.
"""

import argparse
import datetime
import functools
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from deepblink.datasets import (  # pyright: ignore[reportMissingImports]
    SpotsDataset,
)
from deepblink.inference import (  # pyright: ignore[reportMissingImports]
    predict,
)
from deepblink.losses import (  # pyright: ignore[reportMissingImports]
    combined_dice_rmse,
)
from deepblink.models import SpotsModel  # pyright: ignore[reportMissingImports]
from deepblink.networks import unet  # pyright: ignore[reportMissingImports]
from deepblink.optimizers import (  # pyright: ignore[reportMissingImports]
    amsgrad,
)
from peer_files import (
    LEAST_SCORE,
    TRAINING,
    Stacks,
    find_all,
    forget_about,
    load_stacks,
    parser,
    write_about,
)

PEER = "deepblink"
CORNER = 0.5
"""Its pixels reach from i to i + 1, ours from i - 1/2 to i + 1/2."""

WEIGHTS = "best.weights.h5"

Found = tuple[np.ndarray, np.ndarray]


def squares(stacks: Stacks, n: int | None) -> tuple[np.ndarray, list[Any]]:
    """Images as the package wants them: squares, the side a power of two.

    Args:
        stacks: to train on; of larger ones the corner is taken.
        n: how many; None for all.

    Returns:
        Images [n, L, L], and positions [m, 2] in each, its way.
    """
    side = 2 ** int(np.log2(min(stacks.rms.shape[1:])))
    images = stacks.rms[:n, :side, :side]
    spots = [p + CORNER for p in stacks.positions[:n]]
    kept = [p[((p >= 0) & (p < side)).all(axis=1)] for p in spots]
    return images, kept


def write_dataset(
    path: Path, images: np.ndarray, spots: list[Any], n_valid: int
) -> None:
    """Write the file that the package reads its training from."""
    boxed = np.empty(len(spots), object)
    boxed[:] = spots
    np.savez(
        path,
        x_train=images[n_valid:],
        y_train=boxed[n_valid:],
        x_valid=images[:n_valid],
        y_valid=boxed[:n_valid],
        x_test=images[:0],
        y_test=boxed[:0],
    )


def network_of(cell_size: int) -> tf.keras.Model:
    """The package's default network for cells of some pixels, not trained."""
    return unet(
        dropout=0.3,
        cell_size=cell_size,
        filters=5,
        ndown=2,
        l2=1e-6,
        block="convolutional",
    )


def build(dataset: SpotsDataset, options: argparse.Namespace) -> SpotsModel:
    """The package's model with its default network."""
    return SpotsModel(
        augmentation_args={
            "flip": True,
            "rotate": True,
            "illuminate": False,
            "gaussian_noise": False,
            "translate": False,
        },
        dataset_args={"cell_size": options.cell},
        dataset_cls=dataset,
        network_args={"cell_size": options.cell},
        network_fn=network_of,
        loss_fn=combined_dice_rmse,
        optimizer_fn=amsgrad,
        train_args={
            "batch_size": options.batch,
            "epochs": options.epochs,
            "learning_rate": 1e-4,
            "overfit": False,
        },
    )


def train(
    folder: Path, model_folder: Path, options: argparse.Namespace
) -> None:
    """Train a network, and keep the weights of its best epoch.

    Args:
        folder: of the export.
        model_folder: where the weights go.
        options: of the command line.
    """
    images, spots = squares(load_stacks(folder / TRAINING), options.fields)
    n_valid = max(len(images) // 10, 1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "fields.npz"
        write_dataset(path, images, spots, n_valid)
        dataset = SpotsDataset(str(path), cell_size=options.cell)
    model = build(dataset, options)
    model_folder.mkdir(parents=True, exist_ok=True)
    forget_about(model_folder)
    started = time.perf_counter()
    model.fit(
        dataset=dataset,
        callbacks=[
            tf.keras.callbacks.ModelCheckpoint(
                str(model_folder / WEIGHTS),
                save_best_only=True,
                save_weights_only=True,
            )
        ],
    )
    minutes = (time.perf_counter() - started) / 60
    write_about(
        model_folder,
        f"deepBlink {version('deepblink')}, TensorFlow {tf.__version__}; "
        f"{len(images) - n_valid} fields and {n_valid} to validate, "
        f"{options.epochs} epochs, batch {options.batch}, cells of "
        f"{options.cell} px, seed {options.seed}; trained in {minutes:.0f} "
        f"min, {datetime.date.today()}",
    )


def find(network: tf.keras.Model, image: np.ndarray) -> Found:
    """Positions [n, 2] [px] and scores [n] that a network finds in an image."""
    found = predict(image, network, probability=LEAST_SCORE)
    places = found[:, :2].astype(np.float64) - CORNER
    return places, found[:, 2].astype(np.float64)


def main() -> None:
    command = parser(__doc__, epochs=30, batch=2)
    command.add_argument("--cell", type=int, default=2)
    options = command.parse_args()
    tf.keras.utils.set_random_seed(options.seed)
    tf.keras.utils.disable_interactive_logging()
    model = options.folder / PEER / "model"
    if not options.trained:
        train(options.folder, model, options)
    network = network_of(options.cell)
    network.load_weights(str(model / WEIGHTS))
    find_all(
        options.folder,
        PEER,
        functools.partial(find, network),
        lambda stacks: stacks.rms,
    )


if __name__ == "__main__":
    main()
