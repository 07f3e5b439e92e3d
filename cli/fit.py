"""`stmk fit`: train a network."""

import typer

from cli.fit_networks import train
from cli.fit_options import (
    AddBlocks,
    Alpha,
    BatchSize,
    Data,
    DecoderFilters,
    Depth,
    Epochs,
    Experiment,
    Filters,
    Init,
    InnerProduct,
    Keep,
    LearningRate,
    Network,
    Noise,
    Out,
    Resume,
    Seed,
    Shares,
    Sizes,
    Steps,
    SurrogateShare,
    Voltages,
)
from cli.options import Overwrite, Surface
from cli.quiet import quiet_imports


def fit(
    data: Data,
    out: Out,
    network: Network = None,
    shares: Shares = None,
    init: Init = None,
    add_blocks: AddBlocks = None,
    experiment: Experiment = None,
    surface: Surface = None,
    noise: Noise = None,
    alpha: Alpha = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    voltages: Voltages = None,
    filters: Filters = None,
    depth: Depth = None,
    inner_product: InnerProduct = None,
    decoder_filters: DecoderFilters = None,
    surrogate_share: SurrogateShare = None,
    sizes: Sizes = None,
    keep: Keep = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a network on data sets, test it and write its SavedModel.

    Examples: stmk fit --data data/friedel --out saved_models/mine --epochs 5;
    stmk fit --network context --data data/scattering/crowded --data
    data/friedel/context --shares 3,2 --out saved_models/further;
    stmk fit --init saved_models/context --experiment scan.sxm --data
    data/scattering/crowded --steps 200 --learning-rate 0.0003 --out adapted
    """
    card = train(locals())  # all of the options above, by name
    with quiet_imports():
        from stm_keras.fitting.publication import report
    typer.echo(report(card, out))
