"""Does the paper's entropy loss adapt `context` to an experiment?

Takes virtual experiments of the bench's suite `mismatch`, adapts a trained
network to the maps of each alone, as `stmk fit --init MODEL --experiment FILE`
does, and scores it against the truth on those same maps. Beside it stand the
network before, and a control: as many steps on the same simulated batches with
alpha = 0, which tells what the entropy does from what more training does. All
three are calibrated alike, on held-out fields. Run from the project's folder:

    python benchmarks/adapting.py --data data/scattering/molecules \
        --data data/friedel/context

Cells of the table are before / control / adapted.
"""

import argparse
import datetime
import functools

import operator
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.analysis.metrics import Score, score_positions
from stm_keras.bench.case import Case, Role
from stm_keras.bench.mismatch import mismatch_cells
from stm_keras.bench.networks import ContextDefaultFinder
from stm_keras.bench.tuning import tuned_threshold
from stm_keras.data.context_pipeline import ContextBatchConfig
from stm_keras.finding.preparation import tiles_of
from stm_keras.fitting.adaptation import Guard, finder_of, held_out_loss
from stm_keras.fitting.adaptation_figures import Adaptation
from stm_keras.fitting.context_calibration import Calibrated, calibrate
from stm_keras.fitting.context_config import CHECKPOINT_STEPS, ContextFitConfig
from stm_keras.fitting.context_start import Start, read_start
from stm_keras.fitting.context_training import train, validation_batches
from stm_keras.fitting.experiment import Experiment, Stack
from stm_keras.fitting.fit_config import PAPER_ALPHA
from stm_keras.fitting.training_log import TrainingLog

CONDITIONS = {
    "matched: typical instrument, Gaussian cores": 1,
    "cores: discs with a rim": 1,
    "1/f noise 1.0": 1,
    "tip blur 0.9 px": 1,
    "m* told 10 % too high": 1,
    "matched: decay 1/r^2": 8,
    "decay 1/r^3": 8,
}
"""Cells of the suite, each with how many of its cases make an experiment:
80 x 80 px of Au(111), or eight fields of 32 x 32 px."""

TOLERANCE_PX = 1.0
SIZE_PX = 32
VOLTAGES = (1, 4, 8)
HELD_OUT_BATCHES = 20


class Trained(NamedTuple):
    """A network after its steps, calibrated, and its held-out loss [nat]."""

    ready: Calibrated
    loss: float


class Outcome(NamedTuple):
    """One network on one experiment."""

    score: Score
    best: float
    figures: Adaptation


def experiment_of(cases: Sequence[Case]) -> Experiment:
    """Cases as the bench shows them to a network."""
    stacks = tuple(
        Stack(
            case.maps.astype(np.float32),
            np.float32(2) * case.told_wave_numbers.astype(np.float32),
        )
        for case in cases
    )
    tiles = tiles_of(
        [stack.maps for stack in stacks],
        size_px=SIZE_PX,
        n_voltages=max(VOLTAGES),
    )
    return Experiment(stacks, tuple(tiles))


class Adapter:
    """Trains from one model; what was trained on the same maps, once.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        start = read_start(options.model)
        config = self.config(0.0)
        loss = held_out_loss(start.ready.model, validation_batches(config))
        # Anew, so that all differ in their weights alone.
        ready = calibrate(start.ready.model, config)
        self.start = Start(ready, start.card)
        self.before = Trained(ready, loss)
        self._done: dict[bytes, Trained] = {}

    def config(self, alpha: float) -> ContextFitConfig:
        """Of a training."""
        options = self._options
        return ContextFitConfig(
            data=tuple((path, 1) for path in options.data),
            out=Path("unused"),
            steps=options.steps,
            learning_rate=options.learning_rate,
            init=options.model,
            experiment=(Path("of the bench"),) if alpha else (),
            alpha=alpha,
            held_out_batches=HELD_OUT_BATCHES,
            batches=ContextBatchConfig(
                options.batch_size,
                VOLTAGES,
                (SIZE_PX,),
                seed=options.seed,
            ),
        )

    def after(self, experiment: Experiment | None) -> Trained:
        """The network adapted to an experiment; None for the control."""
        key = b"control"
        if experiment is not None:
            key = np.stack(experiment.tiles).tobytes()
        if key not in self._done:
            alpha = 0.0 if experiment is None else self._options.alpha
            self._done[key] = self._trained(self.config(alpha), experiment)
        return self._done[key]

    def _trained(
        self, config: ContextFitConfig, experiment: Experiment | None
    ) -> Trained:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            log = TrainingLog(Path(directory), {}, CHECKPOINT_STEPS)
            model = train(config, log, self.start, experiment)
            ready = calibrate(model, config)
        print(f"trained in {time.monotonic() - started:.0f} s", file=sys.stderr)
        return Trained(ready, log.best["val_l0"])


def outcome(
    trained: Trained,
    cases: Sequence[Case],
    experiment: Experiment,
    adapter: Adapter,
) -> Outcome:
    """Score a network on an experiment, and let the guard look at it."""
    network = finder_of(trained.ready, adapter.start.card)
    finder = ContextDefaultFinder(network)
    score = functools.reduce(
        operator.add,
        (
            score_positions(
                finder.find(case).positions,
                case.positions,
                tolerance=TOLERANCE_PX,
            )
            for case in cases
        ),
    )
    every = [finder.everything(case) for case in cases]
    best = tuned_threshold(every, cases, tolerance_px=TOLERANCE_PX)
    losses = adapter.before.loss, trained.loss
    guard = Guard(adapter.start, losses, experiment)
    figures = guard.choose(trained.ready)[1]
    return Outcome(score, best.score.jaccard if best else np.nan, figures)


def line(name: str, outcomes: Sequence[Sequence[Outcome]]) -> str:
    """A line of the table, from (before, control, adapted) by experiment."""
    kinds = list(zip(*outcomes, strict=True))
    pooled = [
        functools.reduce(operator.add, (o.score for o in k)) for k in kinds
    ]
    figures = [[o.figures.after for o in kind] for kind in kinds]

    def triple(values: Sequence[float], form: str = ".3f") -> str:
        return " / ".join(format(float(v), form) for v in values)

    def means(field: str, form: str) -> str:
        return triple(
            [np.mean([getattr(f, field) for f in kind]) for kind in figures],
            form,
        )

    changes = ", ".join(
        f"{last.score.jaccard - control.score.jaccard:+.3f}"
        for _, control, last in outcomes
    )
    kept = sum(o.figures.shipped == "adapted" for o in kinds[-1])
    cells = (
        name,
        triple([score.jaccard for score in pooled]),
        changes,
        triple([np.mean([o.best for o in kind]) for kind in kinds]),
        triple([score.rmse for score in pooled]),
        means("entropy", ".2f"),
        means("in_surrogates", ".2f"),
        means("held_out_loss", ".2f"),
        f"{kept} of {len(outcomes)}",
    )
    return f"| {' | '.join(cells)} |"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=Path("saved_models/context")
    )
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--alpha", type=float, default=PAPER_ALPHA)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--experiments", type=int, default=2)
    parser.add_argument("--seed", type=int, default=61, help="of the bench")
    parser.add_argument("--out", type=Path, help="file for the table")
    return parser.parse_args()


HEADING = """\
| | Jaccard | by the entropy, each | Jaccard, best threshold | RMSE [px] \
| entropy [nat] | in a surrogate | held-out loss [nat] | guard lets pass |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    options = parsed()
    lines = [
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.model}, {options.steps} steps of "
        f"{options.batch_size} fields and {options.batch_size} tiles, alpha "
        f"{options.alpha:g}, learning rate {options.learning_rate:g}, "
        f"{options.experiments} experiments a line, seed {options.seed}",
        "",
        *HEADING.splitlines(),
    ]
    print("\n".join(lines), flush=True)
    cells = {cell.name: cell for cell in mismatch_cells()}
    adapter = Adapter(options)
    for name, count in CONDITIONS.items():
        outcomes = []
        for number in range(options.experiments):
            numbers = range(number * count, (number + 1) * count)
            cases = [
                cells[name].make(Role.TEST, options.seed, n) for n in numbers
            ]
            experiment = experiment_of(cases)
            networks = (
                adapter.before,
                adapter.after(None),
                adapter.after(experiment),
            )
            outcomes.append(
                [outcome(n, cases, experiment, adapter) for n in networks]
            )
        lines.append(line(name, outcomes))
        print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
