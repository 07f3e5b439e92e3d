"""`stmk fit`: train a network."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import Overwrite, Surface, whole_numbers
from cli.progress import progress_bar
from cli.quiet import quiet_imports
from stm_keras.errors import InputError

_AFRESH = ("--resume", "--overwrite")
"""Not part of the command that makes the model again."""

_NETWORKS = ("wang2020", "context")


def fit(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Prepared data set; repeatable with --network context."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the new model.")],
    network: Annotated[
        str,
        typer.Option(
            help="wang2020, the paper's, or context, which sees further and "
            "says how sure it is."
        ),
    ] = "wang2020",
    shares: Annotated[
        str | None,
        typer.Option(
            help="context: how many batches of every turn come from each "
            "--data, such as 3,1. By default 1 each.",
            show_default=False,
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(
            help="context: model directory whose weights to start from.",
            show_default=False,
        ),
    ] = None,
    experiment: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or prepared data set for the entropy loss; repeatable.",
            show_default=False,
        ),
    ] = None,
    surface: Surface = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="wang2020: width eta of the white noise. By default 0.8, the "
            "paper's; context draws noise of many kinds.",
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="Weight of the entropy loss. By default 0.03, the paper's, "
            "with an experiment, and 0 without.",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="wang2020: passes over the data. By default 10.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="context: optimizer steps, in hundreds. By default 8000.",
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Fields a step. By default 32; context: 16.",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="The highest. By default 0.002; context: 0.0015.",
            show_default=False,
        ),
    ] = None,
    voltages: Annotated[
        str | None,
        typer.Option(
            help="Numbers of maps to train with, such as 1,4,16: each batch "
            "draws one. By default all maps, always; context: 1,1,2,4,8,16.",
            show_default=False,
        ),
    ] = None,
    filters: Annotated[
        int | None,
        typer.Option(
            help="Channels, d_v, by default 32; of context's encoder, 16.",
            show_default=False,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="wang2020: convolutions before Q, K, V. By default 2.",
            show_default=False,
        ),
    ] = None,
    inner_product: Annotated[
        str | None,
        typer.Option(
            help="wang2020: <Q,K> of Eq. 1 sums over a pixel (default) or "
            "the image.",
            show_default=False,
        ),
    ] = None,
    decoder_filters: Annotated[
        int | None,
        typer.Option(
            help="context: channels of the decoder. By default 40.",
            show_default=False,
        ),
    ] = None,
    surrogate_share: Annotated[
        float | None,
        typer.Option(
            help="context: share of samples with phases turned at random, and "
            "so no impurity. By default 0.2.",
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="context: sides of the crops [px]. By default 48,40,32.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, noise.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a stopped training.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a network on data sets, test it and write its SavedModel.

    Examples: stmk fit --data data/friedel --out saved_models/mine --epochs 5;
    stmk fit --network context --data data/scattering --data data/friedel
    --shares 3,1 --out saved_models/mine;
    stmk fit --network context --data data/scattering --init
    saved_models/context --experiment scan.sxm --steps 500 --out adapted
    """
    if network not in _NETWORKS:
        raise InputError(
            f"Unknown --network {network!r}. Known: {', '.join(_NETWORKS)}."
        )
    _refuse_foreign(network, locals())
    shared = {
        "out": out,
        "experiment": tuple(experiment or ()),
        "surface": surface,
        "alpha": alpha,
        "learning_rate": learning_rate,
        "command": shlex.join(
            ["stmk", *(a for a in sys.argv[1:] if a not in _AFRESH)]
        ),
    }
    batches = {
        "batch_size": batch_size,
        "voltages": whole_numbers(voltages, "--voltages"),
        "seed": seed,
    }
    how: dict[str, Any] = {
        "resume": resume,
        "overwrite": overwrite,
        "verbosity": "bar" if sys.stdout.isatty() else "lines",
        "progress": progress_bar("testing"),
    }
    if network == "context":
        sized = whole_numbers(sizes, "--sizes")
        card = _fit_context(
            shared | {"steps": steps, "init": init},
            batches | {"sizes_px": sized, "surrogate_share": surrogate_share},
            {
                "filters": filters,
                "decoder_filters": decoder_filters,
            },
            _shared_out(data, shares),
            how,
        )
    else:
        if len(data) > 1:
            raise InputError(
                "wang2020 trains on one data set: give one --data, or "
                "--network context."
            )
        card = _fit_wang2020(
            shared | {"data": data[0], "epochs": epochs},
            batches | {"noise": noise},
            {
                "filters": filters,
                "depth": depth,
                "inner_product": inner_product,
            },
            how,
        )
    with quiet_imports():
        from stm_keras.fitting.publication import report
    typer.echo(report(card, out))


_OF_ONE = {
    "wang2020": ("noise", "epochs", "depth", "inner_product"),
    "context": (
        "shares",
        "init",
        "steps",
        "decoder_filters",
        "surrogate_share",
        "sizes",
    ),
}
"""Options that only one of the networks has."""


def _refuse_foreign(network: str, given: dict[str, Any]) -> None:
    for owner, names in _OF_ONE.items():
        for name in names:
            if owner != network and given[name] is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} is an option of --network "
                    f"{owner}, and this is {network}: leave it out."
                )


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Those that were given; the rest take their defaults."""
    return {k: v for k, v in options.items() if v is not None}


def _shared_out(
    data: list[Path], shares: str | None
) -> tuple[tuple[Path, int], ...]:
    """Data sets with their shares of the batches."""
    parts = whole_numbers(shares, "--shares", count=len(data))
    return tuple(zip(data, parts or (1,) * len(data), strict=True))


def _fit_wang2020(
    shared: dict[str, Any],
    batches: dict[str, Any],
    network: dict[str, Any],
    how: dict[str, Any],
) -> Any:
    with quiet_imports():
        from stm_keras.data.batch_config import BatchConfig
        from stm_keras.fitting.fit_config import PAPER_ALPHA, FitConfig
        from stm_keras.fitting.training import fit
    if shared["experiment"] and shared["alpha"] is None:
        shared["alpha"] = PAPER_ALPHA
    config = FitConfig(
        **_known(shared),
        batches=BatchConfig(**_known(batches)),
        network={"filters": 32, "depth": 2, "inner_product": "pixel"}
        | _known(network),
    )
    return fit(config, **how)


def _fit_context(
    shared: dict[str, Any],
    batches: dict[str, Any],
    network: dict[str, Any],
    data: tuple[tuple[Path, int], ...],
    how: dict[str, Any],
) -> Any:
    with quiet_imports():
        from stm_keras.data.context_pipeline import ContextBatchConfig
        from stm_keras.fitting.context_config import ContextFitConfig
        from stm_keras.fitting.context_training import fit_context
        from stm_keras.fitting.fit_config import PAPER_ALPHA
    if shared["experiment"] and shared["alpha"] is None:
        shared["alpha"] = PAPER_ALPHA
    share = batches.pop("surrogate_share")
    drawn = ContextBatchConfig(**_known(batches))
    config = ContextFitConfig(
        data=data,
        **_known(shared),
        batches=drawn if share is None else drawn.with_surrogates(share),
        network=_known(network),
    )
    return fit_context(config, **how)
