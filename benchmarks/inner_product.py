"""Which reading of <Q_i, K_j> in Eq. 1: one a pixel, or one an image?

Trains the paper's network both ways on one Eq. 3 set, with the same seeds,
and prints the scores on its test split. Run from the project's folder:

    python benchmarks/inner_product.py
"""

import argparse
import datetime
import os
import platform
import tempfile
from pathlib import Path

import numpy as np

from data_builders.building import build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
from stm_keras.data.batch_config import BatchConfig
from stm_keras.fitting.fit_config import FitConfig
from stm_keras.fitting.training import fit
from stm_keras.models.card import ModelCard

NOISE = 0.8
N_EXAMPLES = (4_000, 200, 400)
METHOD = "network"


def train(
    data: Path, out: Path, reading: str, seed: int, epochs: int
) -> ModelCard:
    return fit(
        FitConfig(
            data,
            out / f"{reading}-{seed}",
            epochs=epochs,
            batches=BatchConfig(noise=NOISE, seed=seed),
            network={
                "filters": 16,
                "attention_filters": 4,
                "inner_product": reading,
            },
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; noise {NOISE}, {options.epochs} epochs of "
        f"{N_EXAMPLES[0]} fields, 8 maps of 20 x 20 px; test at 1 px",
        flush=True,
    )
    print("reading  seed  val L0  Jaccard  recall  precision  RMSE [px]")
    results: dict[str, list[float]] = {"pixel": [], "image": []}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        config = named_config(Builder, "demo").changed(
            n_examples=N_EXAMPLES, seed=7
        )
        data = build(Builder, config, out / "data")
        for seed in range(options.seeds):
            for reading in results:
                card = train(data, out, reading, seed, options.epochs)
                (scores,) = card.scores.values()
                score = scores[METHOD]
                l0 = card.training["best"]["val_l0"]
                results[reading].append(score["jaccard"])
                print(
                    f"{reading:7}  {seed:4}  {l0:6.3f}"
                    f"  {score['jaccard']:7.3f}  {score['recall']:6.3f}"
                    f"  {score['precision']:9.3f}  {score['rmse']:9.3f}",
                    flush=True,
                )
    gain = np.subtract(results["pixel"], results["image"])
    print(
        f"Jaccard, pixel minus image: mean {gain.mean():+.3f}, from "
        f"{gain.min():+.3f} to {gain.max():+.3f} over {len(gain)} seeds"
    )


if __name__ == "__main__":
    main()
