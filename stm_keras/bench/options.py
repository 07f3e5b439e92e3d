"""How the bench is run, and what its results depend on."""

import datetime
import os
import platform
from dataclasses import dataclass, field
from typing import Any

from stm_keras.bench.case import MAX_SEED
from stm_keras.bench.roster import FINDERS, Roster
from stm_keras.errors import InputError


@dataclass(frozen=True)
class BenchOptions:
    """How the bench is run.

    Attributes:
        finders: names, of `FINDERS`.
        n_test: test cases of a cell.
        n_tune: tuning cases of a cell.
        seed: of all cases, see `stm_keras.bench.case.case_rng`.
        processes: how many work at once, each single-threaded; 1 works in
            this process.
        roster: makes the finders.

    Raises:
        InputError: for a number out of range.
    """

    finders: tuple[str, ...] = FINDERS
    n_test: int = 20
    n_tune: int = 8
    seed: int = 0
    processes: int = 1
    roster: Roster = field(default_factory=Roster)

    def __post_init__(self) -> None:
        for option, value, most in (
            ("--maps", self.n_test, 100_000),
            ("--tune-maps", self.n_tune, 100_000),
            ("--processes", self.processes, 1_000),
        ):
            if not 1 <= value <= most:
                raise InputError(
                    f"{option} must lie between 1 and {most}. Received: "
                    f"{value}."
                )
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(
                f"--seed must lie between 0 and {MAX_SEED}. Received: "
                f"{self.seed}."
            )

    def conditions(self, finder: str) -> dict[str, Any]:
        """What a finder's results depend on beside the code."""
        return {
            "maps": self.n_test,
            "tune_maps": self.n_tune,
            "seed": self.seed,
            "weights": self.roster.version(finder),
        }

    def circumstances(self) -> dict[str, Any]:
        """When and on what results are made: only times depend on it."""
        return {
            "date": str(datetime.date.today()),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "processes": self.processes,
        }
