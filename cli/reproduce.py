"""`stmk reproduce`: the paper's Figs. 3 and 4, with statistics."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.quiet import quiet_imports
from stm_keras.errors import InputError

if TYPE_CHECKING:
    from stm_keras.studies.paper.settings import Study

app = typer.Typer(
    help=(
        "Repeat the paper's Figs. 3 and 4 on virtual Au(111) experiments.\n\n"
        "Start with `stmk reproduce fig4 --quick`."
    ),
    no_args_is_help=True,
)
Out = Annotated[
    Path,
    typer.Option(
        help="Directory of the study; finished runs in it are used again."
    ),
]
Jobs = Annotated[int, typer.Option(help="Trainings at once, each on one core.")]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A small study: minutes in place of hours."),
]
Runs = Annotated[
    int | None,
    typer.Option(
        help="Trainings of each arm. By default 10, the paper's; quick: 2.",
        show_default=False,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Epochs of each training. By default 12; quick: 6.",
        show_default=False,
    ),
]
_OUT = Path("out/reproduction")
_QUICK_OUT = Path("out/reproduction-quick")
_DEFAULT_OUT = typer.Option(
    help="Directory of the study; finished runs in it are used again. By "
    f"default {_OUT}, with --quick {_QUICK_OUT}.",
    show_default=False,
)


@app.command("fig4")
def fig4(
    runs: Runs = None,
    epochs: Epochs = None,
    jobs: Jobs = 2,
    quick: Quick = False,
    only: Annotated[
        str | None,
        typer.Option(
            help="Train this run alone, ARM:RUN, such as both:3.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="With --only: fig4_points.csv of an earlier study, to say "
            "whether the numbers are the same bit for bit.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, _DEFAULT_OUT] = None,
) -> None:
    """Train four arms, score every epoch, and draw Figure 4.

    The arms: neither, noise (eta 0.8), confidence (alpha 0.03), both. Stopped,
    the same command continues with the runs that are missing.

    Example: stmk reproduce fig4 --quick
    """
    if compare is not None and only is None:
        raise InputError("--compare is for one run: name it with --only.")
    with quiet_imports():
        from stm_keras.studies.paper.fig4 import run_fig4, run_one
    study = _study(quick, runs, epochs)
    out = out or (_QUICK_OUT if quick else _OUT)
    if only is None:
        paths = run_fig4(study, out, processes=jobs, report=typer.echo)
    else:
        paths = [run_one(study, out, only, compare=compare, report=typer.echo)]
    typer.echo("\n".join(map(str, paths)))


@app.command("fig3")
def fig3(
    run: Annotated[
        str,
        typer.Option(help="Which training, ARM:RUN; arms as in fig4: noise:3."),
    ] = "both:0",
    experiment: Annotated[
        int, typer.Option(help="Which experiment of the entropy loss, from 0.")
    ] = 0,
    region: Annotated[
        int, typer.Option(help="Tile with attention weights, 0 to 15.")
    ] = 5,
    epoch: Annotated[
        int | None,
        typer.Option(
            help="From 1. By default the one that the stopping rule keeps.",
            show_default=False,
        ),
    ] = None,
    runs: Runs = None,
    epochs: Epochs = None,
    quick: Quick = False,
    out: Annotated[Path | None, _DEFAULT_OUT] = None,
) -> None:
    """Draw Figure 3: maxima of S and reference points on the bound states.

    A run that the study does not hold yet is trained first.

    Example: stmk reproduce fig3 --run both:0 --quick
    """
    with quiet_imports():
        from stm_keras.studies.paper.fig3 import run_fig3
    path = run_fig3(
        _study(quick, runs, epochs),
        out or (_QUICK_OUT if quick else _OUT),
        run=run,
        number=experiment,
        region=region,
        epoch=epoch,
        report=typer.echo,
    )
    typer.echo(path)


@app.command("sweep")
def sweep(
    over: Annotated[
        str,
        typer.Option(
            help="Setting to change: alpha, eta, difficulty, core, density or "
            "voltages."
        ),
    ],
    seeds: Annotated[
        int, typer.Option(help="Trainings of each arm and value.")
    ] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of each training.")] = 8,
    jobs: Jobs = 2,
    study: Annotated[
        Path,
        typer.Option(help="Study of fig4; its runs are used where they fit."),
    ] = _OUT,
    out: Out = Path("out/reproduction-sweeps"),
) -> None:
    """Train over the values of one setting and draw how the scores change.

    Example: stmk reproduce sweep --over alpha
    """
    with quiet_imports():
        from stm_keras.studies.paper.sweeps import run_sweep
    for path in run_sweep(
        over,
        out,
        seeds=seeds,
        epochs=epochs,
        study=study,
        processes=jobs,
        report=typer.echo,
    ):
        typer.echo(path)


def _study(quick: bool, runs: int | None, epochs: int | None) -> "Study":
    from stm_keras.studies.paper.settings import FULL, QUICK

    study = QUICK if quick else FULL
    return replace(
        study,
        runs=study.runs if runs is None else runs,
        epochs=study.epochs if epochs is None else epochs,
    )
