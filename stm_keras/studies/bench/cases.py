"""Maps with their truth, and the cells of the table that they fill."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps

SEED_BASE = 910_000
"""First number of every seed here. Data sets are built from the seeds that
`stmk build-data --seed` takes, 0 by default: leave 910,000 to 919,999 to the
bench, and no training has had a map of it."""

MAX_SEED = 9_999
TOLERANCE_PX = 1.0


class Role(IntEnum):
    """What cases are for; each role has randomness of its own."""

    TUNE = 1
    TEST = 2


class CaseId(NamedTuple):
    """Which case: all of its randomness follows from this.

    Attributes:
        role: tuning and test cases never share a draw.
        seed: of the bench, 0 to `MAX_SEED`.
        number: of the case.
    """

    role: Role
    seed: int
    number: int

    def rng(self, stream: str) -> np.random.Generator:
        """Randomness of what a name stands for; one name, one draw.

        Raises:
            InputError: for a seed out of range.
        """
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(
                f"--seed must lie between 0 and {MAX_SEED}. Received: "
                f"{self.seed}."
            )
        word = zlib.crc32(stream.encode())
        return np.random.default_rng(
            [SEED_BASE + self.seed, word, int(self.role), self.number]
        )


class Found(NamedTuple):
    """What a finder found, the surest first.

    Attributes:
        positions: row and column [px], float64 [n, 2].
        scores: in the finder's own unit, float64 [n].
        deviations: standard deviations of row and column [px], float64
            [n, 2]; None from a finder that does not know them.
    """

    positions: np.ndarray
    scores: np.ndarray
    deviations: np.ndarray | None = None

    def where(self, keep: np.ndarray) -> "Found":
        """Those of a mask, bool [n]."""
        sizes = self.deviations
        return Found(
            self.positions[keep],
            self.scores[keep],
            None if sizes is None else sizes[keep],
        )


class File(NamedTuple):
    """A file that a case is made of.

    Attributes:
        maps: as they were read, cores perhaps blanked.
        surface: a key of `SURFACES`, given to finders.
    """

    maps: ConductanceMaps
    surface: str


@dataclass(frozen=True, eq=False)
class Case:
    """One stack of maps with its truth.

    Attributes:
        maps: float32 [V, H, W], any unit; NaN where not measured.
        wave_numbers: true k of each map, float64 [V] [rad/px]; q is 2k.
        positions: true positions, float64 [n, 2], row and column [px].
        given: k that finders are given, float64 [V] [rad/px]; None gives the
            true one.
        tolerance_px: farthest match [px].
        sigma: standard deviation of the white noise, in the maps' unit; None
            where the noise is of another kind.
        clean: the maps without noise, float32 [V, H, W]; None where the bound
            on the positions does not apply.
        given_decay: p of the waves' decay 1/r^p that finders are given: 1 far
            from a point scatterer, 2 in Eq. 3.
        ignored: places that count neither as true nor as false, float64
            [m, 2] [px].
        ignored_px: detections so near to one of these, and not at an
            impurity, do not count [px].
        file: a network's input instead, at the pixel to which `stmk predict`
            brings it, of the same frame as `maps`; None: `maps`.
    """

    maps: np.ndarray
    wave_numbers: np.ndarray
    positions: np.ndarray
    given: np.ndarray | None = None
    tolerance_px: float = TOLERANCE_PX
    sigma: float | None = None
    clean: np.ndarray | None = None
    given_decay: float = 1.0
    ignored: np.ndarray | None = None
    ignored_px: float = 0.0
    file: File | None = None

    @property
    def given_wave_numbers(self) -> np.ndarray:
        """Wave numbers as finders are given them, float64 [V] [rad/px]."""
        return self.wave_numbers if self.given is None else self.given


Make = Callable[[CaseId], Case]
"""Makes a case. A module's function or a `functools.partial` of one, so that
it reaches other processes."""


@dataclass(frozen=True)
class Cell:
    """One line of the table.

    Attributes:
        suite: what it belongs to.
        name: unique in its suite.
        make: makes test cases, and tuning cases where `make_tune` is None.
        source: cells of one source share simulations: do them together.
        beside: name of the matched cell of the same suite, for a mismatch.
        make_tune: makes tuning cases where they are others.
        tuned_on: name of what it is tuned on; by default its own.
        n_test: number of test cases where it is fixed.
        shows_best: also give the score at the best threshold on the test
            cases themselves, marked as such.
    """

    suite: str
    name: str
    make: Make
    source: str = ""
    beside: str | None = None
    make_tune: Make | None = None
    tuned_on: str = ""
    n_test: int | None = None
    shows_best: bool = False

    @property
    def label(self) -> str:
        """Suite and name."""
        return f"{self.suite}/{self.name}"

    @property
    def tuning_label(self) -> str:
        """Equal for cells whose tuning cases are the same."""
        return self.tuned_on or self.label

    def tune(self, seed: int, n: int) -> list[Case]:
        """`n` cases to tune finders on; seed of the bench."""
        make = self.make_tune or self.make
        return [make(CaseId(Role.TUNE, seed, i)) for i in range(n)]

    def test(self, seed: int, n: int, role: Role = Role.TEST) -> list[Case]:
        """`n` cases to compare finders on; seed of the bench.

        Those of `Role.TUNE` are for comparing what is still to be chosen.
        """
        count = n if self.n_test is None else self.n_test
        return [self.make(CaseId(role, seed, i)) for i in range(count)]
