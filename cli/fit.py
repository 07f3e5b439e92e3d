"""`stmk fit`: train a network."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

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
    Precision,
    Resume,
    Seed,
    Shares,
    Sizes,
    Steps,
    SurrogateShare,
    Voltages,
)
from cli.options import Overwrite, Surface, whole_numbers
from cli.progress import progress_bar
from cli.quiet import quiet_imports
from cli.stopping import when_stopped
from stm_keras.errors import InputError
from stm_keras.models.card import ModelCard
from stm_keras.models.shipped import find_card


def fit(
    context: typer.Context,
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
    precision: Precision = "float32",
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
    stmk fit --init context --experiment scan.sxm --data
    data/scattering/crowded --steps 200 --learning-rate 0.0003 --out adapted
    """
    given = dict(context.params)  # all of the options above, by name
    card = _train(given)
    with quiet_imports():
        from stm_keras.training.publication import report
    typer.echo(report(card, out))


_AFRESH = ("--resume", "--overwrite")
"""Not part of the command that makes the model again."""

_OF_ONE = {
    "wang2020": ("noise", "epochs", "depth", "inner_product"),
    "context": (
        "shares",
        "init",
        "add_blocks",
        "steps",
        "decoder_filters",
        "surrogate_share",
        "sizes",
        "keep",
    ),
}
"""Options that only one of the networks has."""


def _train(given: Mapping[str, Any]) -> ModelCard:
    """Train, test and write the network that was asked for.

    Args:
        given: the options of `stmk fit`, by their names in Python; None where
            one was not given.

    Returns:
        The card of the new model.

    Raises:
        InputError: for an unknown network, an option of another one, or what
            the training refuses.
    """
    network = given["network"] or ("context" if given["init"] else "wang2020")
    if network not in _OF_ONE:
        raise InputError(
            f"Unknown --network {network!r}. Known: {', '.join(_OF_ONE)}."
        )
    for owner, names in _OF_ONE.items():
        for name in names:
            if owner != network and given[name] is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} is an option of --network "
                    f"{owner}, and this is {network}: leave it out."
                )
    if given["init"] is not None:
        given = {**given, "init": find_card(given["init"])[0]}
    fits = {"wang2020": _fit_wang2020, "context": _fit_context}
    with when_stopped(lambda: _kept(given["out"])):
        return fits[network](given)


def _kept(out: Path) -> str:
    """What a training that was stopped has left."""
    try:
        state = json.loads((out / "training/state.json").read_text())
        done = len(state["history"])
    except (OSError, ValueError, LookupError, TypeError):
        return "No checkpoint was written yet. Run the same command again."
    return (
        f"The checkpoint after epoch {done} is kept in {out}/training: run "
        "the same command with --resume."
    )


def _fit_wang2020(given: Mapping[str, Any]) -> ModelCard:
    batches = _batches(given) | _known(given, "noise")
    if len(given["data"]) > 1:
        raise InputError(
            "wang2020 trains on one data set: give one --data, or "
            "--network context."
        )
    with quiet_imports():
        from stm_keras.training import fit
        from stm_keras.training.config import PAPER_ALPHA, Wang2020Config
        from stm_keras.training.datasets import BatchConfig
    config = Wang2020Config(
        data=given["data"][0],
        **_training(given, PAPER_ALPHA),
        **_known(given, "epochs"),
        batches=BatchConfig(**batches),
        network={"filters": 32, "depth": 2, "inner_product": "pixel"}
        | _known(given, "filters", "depth", "inner_product"),
    )
    return fit(config, **_how(given))


def _fit_context(given: Mapping[str, Any]) -> ModelCard:
    sizes = whole_numbers(given["sizes"], "--sizes")
    batches = _batches(given) | _known({"sizes_px": sizes}, "sizes_px")
    added = whole_numbers(given["add_blocks"], "--add-blocks")
    data = _with_shares(given["data"], given["shares"])
    with quiet_imports():
        from stm_keras.training import fit
        from stm_keras.training.config import PAPER_ALPHA, ContextConfig
        from stm_keras.training.context_batches import ContextBatchConfig
    share = given["surrogate_share"]
    drawn = ContextBatchConfig(**batches)
    config = ContextConfig(
        data=data,
        **_training(given, PAPER_ALPHA),
        **_known(given, "steps", "init", "keep"),
        **_known({"added_blocks": added}, "added_blocks"),
        batches=drawn if share is None else drawn.with_surrogates(share),
        network=_known(given, "filters", "decoder_filters"),
    )
    return fit(config, **_how(given))


def _known(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those that were given; the rest take their defaults."""
    return {name: given[name] for name in names if given[name] is not None}


def _training(given: Mapping[str, Any], paper_alpha: float) -> dict[str, Any]:
    """What the configs of both networks have."""
    with quiet_imports():
        from stm_keras.training.precision import precision_of
    experiment = tuple(given["experiment"] or ())
    command = [a for a in sys.argv[1:] if a not in _AFRESH]
    return {
        "experiment": experiment,
        "command": shlex.join(["stmk", *command]),
        **({"alpha": paper_alpha} if experiment else {}),
        **_known(given, "out", "surface", "alpha", "learning_rate"),
        "precision": precision_of(given["precision"]),
    }


def _batches(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the batches of both networks have."""
    voltages = whole_numbers(given["voltages"], "--voltages")
    known = {**given, "voltages": voltages}
    return _known(known, "batch_size", "voltages", "seed")


def _with_shares(
    data: list[Path], shares: str | None
) -> tuple[tuple[Path, int], ...]:
    """Data sets with their shares of the batches."""
    parts = whole_numbers(shares, "--shares", count=len(data))
    return tuple(zip(data, parts or (1,) * len(data), strict=True))


def _how(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resume": given["resume"],
        "overwrite": given["overwrite"],
        "verbosity": "bar" if sys.stdout.isatty() else "lines",
        "progress": progress_bar("testing"),
    }
