"""Trains the little models beside this file, of which tests need just one.

    python tests/models/make.py

They have seen little, and find little. What a test exports, predicts with or
starts a training from need be no better; the tests of training train their
own. To be made anew when a network or the form of a card changes: two minutes
of one core. Only the weights, the card and the ground are kept; the SavedModel
is exported from them when the tests run, by the code that they test.
"""

import os
import shutil
import tempfile
from pathlib import Path

from data_builders.building import build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
from stm_keras.training import fit
from stm_keras.training.config import ContextConfig, Wang2020Config
from stm_keras.training.context_batches import ContextBatchConfig
from stm_keras.training.datasets import BatchConfig

HERE = Path(__file__).resolve().parent
KEPT = ("model.keras", "model_card.json", "ground.npz")
WANG2020 = {
    "filters": 4,
    "attention_filters": 2,
    "kernel_size": 3,
    "depth": 1,
}
CONTEXT = {
    "filters": 4,
    "dilations": (1, 2),
    "second_dilations": (1, 2),
    "first_filters": 4,
    "first_dilations": (1,),
    "decoder_filters": 8,
    "decoder_dilations": (1, 2),
    "attention_filters": 2,
    "embedding_units": 4,
}


def make_wang2020(data: Path, out: Path) -> None:
    """Two epochs of the paper's network."""
    batches = BatchConfig(16, noise=0.2, voltages=(2, 8), seed=1)
    fit(
        Wang2020Config(
            data,
            out,
            epochs=2,
            batches=batches,
            network=WANG2020,
            command="stmk fit ...",
        )
    )


def make_context(data: Path, out: Path) -> None:
    """Two hundred steps of `context`."""
    batches = ContextBatchConfig(8, voltages=(1, 4), sizes_px=(18,), seed=1)
    fit(
        ContextConfig(
            ((data, 1),),
            out,
            steps=200,
            held_out_batches=16,
            learning_rate=5e-3,
            batches=batches,
            network=CONTEXT,
            command="stmk fit --network context ...",
        )
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that the cards name no folder of this machine
        config = named_config(Builder, "demo").changed(n_examples=(70, 9, 10))
        data = build(Builder, config, Path("data"))
        for make in (make_wang2020, make_context):
            name = make.__name__.removeprefix("make_")
            out = Path(name) / "little"
            make(data, out)
            kept = HERE / name
            kept.mkdir(exist_ok=True)
            for file in KEPT:
                if (out / file).exists():
                    shutil.copyfile(out / file, kept / file)


if __name__ == "__main__":
    main()
