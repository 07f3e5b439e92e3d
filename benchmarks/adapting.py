"""Does the paper's entropy loss adapt `context` to an experiment?

Takes virtual experiments of the bench's suite `mismatch`, adapts a trained
network to the maps of each alone, as `stmk fit --init MODEL --experiment FILE`
does, and scores it against the truth on those same maps. Beside it stand the
network before, and a control: as many steps on the same simulated batches with
alpha = 0, which tells what the entropy does from what more training does. All
three are calibrated alike, on held-out fields, and the guard of `stmk fit` is
asked, but not obeyed. Run from the project's folder:

    python benchmarks/adapting.py --data data/scattering/molecules \
        --data data/friedel/context

The table's columns are explained in `adapting_table.py`.
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
from adapting_table import HEADING, Outcome, Outcomes, line
from stm_keras.bench.case import TOLERANCE_PX, Role

from stm_keras.data.context_pipeline import ContextBatchConfig
from stm_keras.detector import ContextDetector
from stm_keras.fitting.adaptation import (
    figures_of,
    finder_of,
    held_out_loss,
    surrogates_each,
)
from stm_keras.fitting.adaptation_figures import Adaptation
from stm_keras.fitting.context_calibration import calibrate
from stm_keras.fitting.context_config import CHECKPOINT_STEPS, ContextFitConfig
from stm_keras.fitting.context_start import read_start
from stm_keras.fitting.context_training import train, validation_batches
from stm_keras.fitting.experiment import Experiment, Stack
from stm_keras.fitting.fit_config import PAPER_ALPHA
from stm_keras.fitting.training_log import TrainingLog
from stm_keras.nn.model import ImpurityFinder
from stm_keras.preprocessing.preparation import tiles_of
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.cases import Case
from stm_keras.studies.bench.finders import (
    ContextDefaultFinder,
    tuned_threshold,
)
from stm_keras.studies.bench.simulated import mismatch_cells

CONDITIONS = {
    "matched: typical instrument, Gaussian cores": 1,
    "m* told 10 % too high": 1,
    "cores: discs with a rim": 1,
    "1/f noise 1.0": 1,
    "decay 1/r^3": 8,
    "tip blur 0.9 px": 1,
}
"""Cells of the suite, each with how many of its cases make an experiment:
80 x 80 px of Au(111), or eight fields of 32 x 32 px."""

SIZE_PX = 32


class Trained(NamedTuple):
    """A network, calibrated, and its loss on held-out batches [nat]."""

    model: ImpurityFinder
    finder: ContextDetector
    loss: float


def experiment_of(cases: Sequence[Case], n_voltages: int) -> Experiment:
    """Cases as the bench shows them to a network, and tiles of them."""
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
        n_voltages=n_voltages,
    )
    return Experiment(stacks, tuple(tiles))


class Adapter:
    """Trains from one model; what was trained on the same maps, once.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._start = read_start(options.model)
        config = self._config(0.0)
        model = self._start.ready.model
        loss = held_out_loss(model, validation_batches(config))
        # Calibrated anew, so that all differ in their weights alone.
        self.before = self._calibrated(model, config, loss)
        self._done: dict[bytes, Trained] = {}

    def after(self, experiment: Experiment | None) -> Trained:
        """The network adapted to an experiment; None for the control."""
        key = b"control"
        if experiment is not None:
            key = np.stack(experiment.tiles).tobytes()
        if key not in self._done:
            self._done[key] = self._trained(experiment)
        return self._done[key]

    def _trained(self, experiment: Experiment | None) -> Trained:
        started = time.monotonic()
        config = self._config(self._options.alpha if experiment else 0.0)
        with tempfile.TemporaryDirectory() as directory:
            log = TrainingLog(Path(directory), {}, CHECKPOINT_STEPS)
            model = train(config, log, self._start, experiment)
        trained = self._calibrated(
            model, config, log.kept(config.keep)["val_l0"]
        )
        print(f"trained in {time.monotonic() - started:.0f} s", file=sys.stderr)
        return trained

    def _calibrated(
        self, model: ImpurityFinder, config: ContextFitConfig, loss: float
    ) -> Trained:
        ready = calibrate(model, config)
        return Trained(model, finder_of(ready, self._start.card), loss)

    def _config(self, alpha: float) -> ContextFitConfig:
        options = self._options
        voltages, size = tuple(options.voltages), options.batch_size
        return ContextFitConfig(
            data=tuple((path, 1) for path in options.data),
            out=Path("unused"),
            steps=options.steps,
            learning_rate=options.learning_rate,
            init=options.model,
            experiment=(Path("of the bench"),) if alpha else (),
            alpha=alpha,
            held_out_batches=1,  # as many as the calibration needs
            batches=ContextBatchConfig(
                size, voltages, (SIZE_PX,), seed=options.seed
            ),
        )


def outcomes_on(
    cases: Sequence[Case], adapter: Adapter, n_voltages: int
) -> Outcomes:
    """Before, control and adapted, on one experiment."""
    experiment = experiment_of(cases, n_voltages)
    networks = (
        adapter.before,
        adapter.after(None),
        adapter.after(experiment),
    )
    first, *rest = (
        figures_of(n.finder, n.model, n.loss, experiment) for n in networks
    )
    each = surrogates_each(experiment)
    changes = [Adaptation(first, now, each) for now in (first, *rest)]
    return [
        Outcome(*scores(network.finder, cases), change)
        for network, change in zip(networks, changes, strict=True)
    ]


def scores(
    network: ContextDetector, cases: Sequence[Case]
) -> tuple[Score, float]:
    """At the network's threshold; Jaccard index at the best of all."""
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
    return score, best.score.jaccard if best else 0.0


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
    parser.add_argument("--voltages", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--lines", type=int, default=len(CONDITIONS))
    parser.add_argument("--experiments", type=int, default=2)
    parser.add_argument("--seed", type=int, default=61, help="of the bench")
    parser.add_argument("--out", type=Path, help="file for the table")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    lines = [
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.model}, {options.steps} steps of "
        f"{options.batch_size} fields and {options.batch_size} tiles, "
        f"{', '.join(map(str, options.voltages))} maps, alpha "
        f"{options.alpha:g}, learning rate {options.learning_rate:g}, "
        f"{options.experiments} experiments a line, seed {options.seed}",
        "",
        *HEADING,
    ]
    print("\n".join(lines), flush=True)
    cells = {cell.name: cell for cell in mismatch_cells()}
    adapter = Adapter(options)
    for name, count in list(CONDITIONS.items())[: options.lines]:
        outcomes = []
        for number in range(options.experiments):
            first = number * count
            cases = [
                cells[name].make(Role.TEST, options.seed, n)
                for n in range(first, first + count)
            ]
            outcomes.append(outcomes_on(cases, adapter, max(options.voltages)))
        lines.append(line(name, outcomes))
        print(lines[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
