"""The options of `stmk fit`, with their help."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path],
    typer.Option(help="Prepared data set; repeatable with --network context."),
]
Out = Annotated[Path, typer.Option(help="Directory of the new model.")]
Network = Annotated[
    str | None,
    typer.Option(
        help="wang2020, the paper's, or context, two-stage, with a "
        "larger receptive field and probabilities. By default wang2020; "
        "context with --init.",
        show_default=False,
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        help="context: mixture weights of the --data, in whole batches of "
        "every turn, such as 3,1. By default 1 each.",
        show_default=False,
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="context: model to start from, by name or directory. With an "
        "experiment its weights ship unchanged where fine-tuning made them "
        "worse.",
        show_default=False,
    ),
]
AddBlocks = Annotated[
    str | None,
    typer.Option(
        help="context, with --init: dilations of blocks put behind the "
        "decoder's, such as 1,2,4; they change nothing until trained.",
        show_default=False,
    ),
]
Experiment = Annotated[
    list[Path] | None,
    typer.Option(
        help="File or prepared data set for the entropy loss; repeatable.",
        show_default=False,
    ),
]
Noise = Annotated[
    float | None,
    typer.Option(
        help="wang2020: width eta of the white noise. By default 0.8, the "
        "paper's; context draws noise of many kinds.",
        show_default=False,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="Weight of the entropy loss. By default 0.03, the paper's, "
        "with an experiment, and 0 without.",
        show_default=False,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="wang2020: passes over the data. By default 10.",
        show_default=False,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="context: optimizer steps, in hundreds. By default 8000. With "
        "--init 0 calibrates, tests and writes a model anew.",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help="Fields a step. By default 32; context: 16.",
        show_default=False,
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        help="The highest. By default 0.002; context: 0.0015, too much for "
        "a trained network: with --init 0.001 or less, with an experiment "
        "0.0003 or less.",
        show_default=False,
    ),
]
Voltages = Annotated[
    str | None,
    typer.Option(
        help="Numbers of maps to train with, such as 1,4,16: each batch "
        "draws one. By default all maps, always; context: 1,1,2,4,8,16.",
        show_default=False,
    ),
]
Filters = Annotated[
    int | None,
    typer.Option(
        help="Channels, d_v, by default 32; of context's encoder, 16.",
        show_default=False,
    ),
]
Depth = Annotated[
    int | None,
    typer.Option(
        help="wang2020: convolutions before Q, K, V. By default 2.",
        show_default=False,
    ),
]
InnerProduct = Annotated[
    str | None,
    typer.Option(
        help="wang2020: <Q,K> of Eq. 1 sums over a pixel (default) or "
        "the image.",
        show_default=False,
    ),
]
DecoderFilters = Annotated[
    int | None,
    typer.Option(
        help="context: channels of the decoder. By default 40.",
        show_default=False,
    ),
]
SurrogateShare = Annotated[
    float | None,
    typer.Option(
        help="context: fraction of samples that are phase-randomised surrogate "
        "maps, without an impurity. By default 0.2.",
        show_default=False,
    ),
]
Sizes = Annotated[
    str | None,
    typer.Option(
        help="context: sides of the crops [px]. By default 46,40,32.",
        show_default=False,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the convolutions: float32, bfloat16, float16, or auto: "
        "bfloat16 where the processor has it.",
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="context: checkpoint that ships: best on held-out fields "
        "(default), or last.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Of weights, order, noise.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a stopped training.")
]
