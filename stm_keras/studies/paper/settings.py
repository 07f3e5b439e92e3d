"""What a study, its trainings and its experiments are made from."""

from dataclasses import asdict, dataclass, field
from typing import Any

from stm_keras.errors import InputError
from stm_keras.simulation.short_range import CoreRanges, DecoyRanges
from stm_keras.simulation.virtual_experiment import (
    DIFFICULTIES,
    ShortRange,
    VirtualConfig,
)
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_SIZE_PX

TILE_PX = 20
"""L of the paper: its 80 x 80 px are cut into sixteen such tiles."""

PAPER_RUNS = 10
PAPER_NOISE = 0.8
PAPER_ALPHA = 0.03


@dataclass(frozen=True)
class Arm:
    """One of the four ways of training that Fig. 4 compares.

    Attributes:
        name: on the command line and in tables.
        noise: eta, width of the white noise on the simulated fields.
        alpha: weight of the entropy on the experiment.
        colour: of its curve; the paper's.
    """

    name: str
    noise: float
    alpha: float
    colour: str


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm("neither", 0.0, 0.0, "#1f5fbf"),
        Arm("noise", PAPER_NOISE, 0.0, "#8e3fb0"),
        Arm("confidence", 0.0, PAPER_ALPHA, "#e0a100"),
        Arm("both", PAPER_NOISE, PAPER_ALPHA, "#2e8b3d"),
    )
}
"""Blue, purple, yellow and green in the paper."""

_FOUR = 4 / PAPER_SIZE_PX**2
_DECOYS = DecoyRanges(density_per_px=(_FOUR, _FOUR))

CORES: dict[str, ShortRange | None] = {
    "default": None,
    "none": ShortRange(None, _DECOYS),
    "hole": ShortRange(CoreRanges(amplitude=(0.0, 0.0)), _DECOYS),
    "round": ShortRange(CoreRanges(), _DECOYS),
    "odd": ShortRange(
        CoreRanges(shift=(0.0, 0.8), anisotropy=(1.0, 2.0)), _DECOYS
    ),
    "wide": ShortRange(
        CoreRanges(sigma=(0.9, 1.5), damping_radius=(1.0, 2.0)), _DECOYS
    ),
}
"""Kinds of short-range core. `default` is that of the difficulty; the others
all have four decoys: `none` keeps the formulas up to the centre, `hole` damps
the wave there and puts nothing in its place, `round` puts a round spot of
either sign, `odd` one that is off-centre and long, `wide` a large one."""


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """Virtual Au(111) experiments in the paper's frame.

    Attributes:
        n_impurities: to be expected in a frame.
        difficulty: of noise and, with `core="default"`, of the cores.
        core: a key of `CORES`.
        n_voltages: maps kept of the paper's 126, evenly spaced.
        n_shown: experiments whose tiles feed the entropy loss and that are
            scored, as the paper trains on and scores one experiment.
        n_unseen: experiments that are only scored.
        n_tuning: experiments that thresholds of the methods without a
            network are chosen on, and nothing else.
        seed: of all of them.
    """

    n_impurities: float = 30.0
    difficulty: str = "hard"
    core: str = "default"
    n_voltages: int = 6
    n_shown: int = 4
    n_unseen: int = 4
    n_tuning: int = 4
    seed: int = 2020

    def __post_init__(self) -> None:
        for name, known in (("core", CORES), ("difficulty", DIFFICULTIES)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"Unknown {name}: {getattr(self, name)!r}. Known: "
                    f"{', '.join(known)}."
                )
        if not 2 <= self.n_voltages <= len(PAPER_BIAS_V):
            raise InputError(
                "The number of voltages must lie from 2 (two halves are "
                f"compared) to {len(PAPER_BIAS_V)}. "
                f"Received: {self.n_voltages}."
            )

    def virtual(self) -> VirtualConfig:
        """What each experiment is drawn from."""
        return VirtualConfig(
            n_impurities=self.n_impurities,
            difficulty=self.difficulty,
            short_range=CORES[self.core],
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """One training; everything that its result depends on.

    Attributes:
        noise: eta.
        alpha: weight of the entropy; 0 leaves the experiment out.
        seed: of weights, fields, noise and the choice of tiles. Runs of
            several arms with one seed start from the same weights and train
            on the same fields in the same order.
        epochs: of `steps` steps, each with new fields.
        steps: in an epoch.
        batch_size: simulated fields a step.
        experiment_batch: experimental tiles a step, where alpha > 0.
        learning_rate: of Adam, constant.
        network: arguments of `Wang2020`.
        experiment: what is scored.
    """

    noise: float
    alpha: float
    seed: int
    epochs: int = 12
    steps: int = 20
    batch_size: int = 32
    experiment_batch: int = 8
    learning_rate: float = 3e-3
    network: dict[str, int] = field(
        default_factory=lambda: {
            "filters": 16,
            "depth": 3,
            "kernel_size": 3,
            "attention_filters": 4,
        }
    )
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "experiment_batch"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"`{name}` must be 1 or more. "
                    f"Received: {getattr(self, name)}."
                )
        if min(self.noise, self.alpha, self.seed) < 0:
            raise InputError(
                "`noise`, `alpha` and `seed` must be 0 or more. Received: "
                f"{self.noise:g}, {self.alpha:g}, {self.seed}."
            )

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunSettings":
        """Undo `as_dict`."""
        made = dict(values)
        made["experiment"] = ExperimentSettings(**made["experiment"])
        return cls(**made)


def settings_of(arm: Arm, run: int, **changes: Any) -> RunSettings:
    """Settings of one of an arm's runs; the run's number is its seed."""
    return RunSettings(noise=arm.noise, alpha=arm.alpha, seed=run, **changes)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A size of the study of Fig. 4.

    Attributes:
        runs: trainings of each arm; run r has seed r.
        epochs: of each training.
        steps: of an epoch.
        experiment: what is scored.
    """

    runs: int = PAPER_RUNS
    epochs: int = 12
    steps: int = 20
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise InputError(f"--runs must be 1 or more. Received: {self.runs}")

    def jobs(self) -> dict[str, RunSettings]:
        """Settings of every run by its name, `ARM-RUN`.

        Run by run and not arm by arm: a study that is stopped has about as
        many runs of each arm.
        """
        size = {"epochs": self.epochs, "steps": self.steps}
        return {
            f"{name}-{run}": settings_of(
                arm, run, **size, experiment=self.experiment
            )
            for run in range(self.runs)
            for name, arm in ARMS.items()
        }


FULL = Study()
QUICK = Study(
    runs=2,
    epochs=6,
    experiment=ExperimentSettings(n_shown=2, n_unseen=1, n_tuning=2),
)
"""A few minutes: enough to see the arms part, not to measure by how much."""


def parse_run(text: str, runs: int, option: str = "--only") -> str:
    """Name of the run that ARM:RUN asks for.

    Args:
        text: such as "both:3".
        runs: of each arm.
        option: that it was given with, for the error.

    Raises:
        InputError: for another form, an unknown arm, or a run beyond `runs`.
    """
    name, _, number = text.partition(":")
    if not number.isdecimal() or int(number) >= runs or name not in ARMS:
        raise InputError(
            f"{option} {text!r}: write ARM:RUN, such as both:3, with an arm of "
            f"{', '.join(ARMS)} and a run from 0 to {runs - 1}."
        )
    return f"{name}-{int(number)}"
