import functools
from types import SimpleNamespace

import numpy as np
import pytest

from stm_keras.studies.bench.cases import Case, Cell, Found
from stm_keras.studies.bench.finders import Finder, Roster


class Perfect(Finder):
    """Knows the truth, and that it does."""

    name = "context"
    probabilities = True

    def tune(self, cases):
        self.threshold = 0.5

    def detect(self, case, setting):
        n = len(case.positions)
        return Found(case.positions, np.full(n, 0.99), np.ones((n, 2)))


class Empty(Finder):
    """Finds nothing."""

    name = "log"

    def tune(self, cases):
        self.threshold = 0.0

    def detect(self, case, setting):
        return Found(np.empty((0, 2)), np.empty(0))


class Near(Finder):
    """Off by a known Gaussian error, and says so."""

    name = "context-tuned"
    probabilities = True

    def __init__(self, deviation=0.1):
        super().__init__()
        self.deviation = deviation
        self.threshold = 0.0

    def detect(self, case, setting):
        rng = np.random.default_rng(len(case.positions))
        error = rng.normal(0, self.deviation, case.positions.shape)
        n = len(error)
        return Found(
            case.positions + error,
            np.full(n, 0.9),
            np.full((n, 2), self.deviation),
        )


class FakeRoster(Roster):
    """Finders that need no model."""

    made = 0

    def missing(self, name):
        known = ("log", "context", "context-tuned")
        return None if name in known else "not in this test"

    def make(self, name):
        FakeRoster.made += 1
        kinds = {"log": Empty, "context": Perfect, "context-tuned": Near}
        return kinds[name]()

    def version(self, name):
        return ""


def scattered(n, which):
    """`n` places in 64 x 64 px, and maps that say nothing."""
    rng = which.rng("scattered")
    grid = np.stack(np.divmod(rng.permutation(144)[:n], 12), axis=1) * 5.0 + 3
    return Case(
        rng.normal(size=(2, 64, 64)).astype(np.float32),
        np.array([0.7, 0.8]),
        grid + rng.uniform(-0.4, 0.4, grid.shape),
    )


@pytest.fixture
def roster():
    FakeRoster.made = 0
    return FakeRoster()


@pytest.fixture
def fakes():
    return SimpleNamespace(Perfect=Perfect, Empty=Empty, Near=Near)


@pytest.fixture
def cells():
    return [
        Cell("eq3", f"eta {eta}", functools.partial(scattered, n), source="a")
        for eta, n in (("0.2", 5), ("0.5", 20))
    ]
