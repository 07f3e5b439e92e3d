"""How many impurities of Eq. 3 could any finder tell from the noise?

Samples what the maps of the bench's test fields leave possible, for one who is
given all but the positions, the amplitudes and the phases: k, the decay, the
noise, the range of the number and each map's strength. Reversible jumps (P. J.
Green, Biometrika 82, 711 (1995), DOI 10.1093/biomet/82.4.711) add, remove and
move impurities; amplitudes are integrated out, as if they were normal (they
are uniform between 0.5 and 1.5). Prints the Jaccard index of the likeliest
places at the threshold that is best for these very fields, and at a
probability of 0.5. From the project's folder, on one thread:

    OMP_NUM_THREADS=1 python benchmarks/eq3_limit.py
"""

import argparse
import functools
import math
import multiprocessing
import operator

import numpy as np
from header import machine
from scipy.spatial import KDTree

from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.ring_model import EQ3, pixel_grid, rays, ring_columns
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.baselines.pursuit import find_by_pursuit
from stm_keras.studies.bench.cases import TOLERANCE_PX, Case, CaseId, Role
from stm_keras.studies.bench.simulated import FIELDS, eq3_cells

SEED = 0
"""Of the bench."""

LEAST, MOST = FIELDS.n_impurities
GRID_PX = 0.5
"""Of the places that jumps are proposed to."""

KEPT_EVERY, BURN_IN = 20, 0.2


class Likelihood:
    """ln p of the maps, given positions; amplitudes are integrated out."""

    def __init__(self, case: Case) -> None:
        assert case.clean is not None
        assert case.sigma is not None
        self._maps = case.maps.reshape(len(case.maps), -1)
        self._k = case.given_wave_numbers
        self._pixels = pixel_grid(case.maps.shape[1:]).astype(np.float32)
        self._noise = case.sigma**2
        fit = RingFit(case.clean.astype(np.float64), self._k, EQ3)
        fit.add(case.positions)
        strength = np.square(fit.coefficients[:, 1:]).mean(axis=1)
        self._ratio = self._noise / strength

    def columns(self, place: np.ndarray) -> np.ndarray:
        """Of an impurity at a place, [V, 2, P]."""
        way = rays(self._pixels, place[None])
        return ring_columns(way.distance, self._k, EQ3)[:, 0]

    @property
    def offset(self) -> np.ndarray:
        """Of none, [V, 1, P]."""
        return np.ones((len(self._maps), 1, self._maps.shape[1]), np.float32)

    def __call__(self, columns: np.ndarray) -> float:
        """Up to a constant; columns [V, M, P], the first the offset's."""
        size = columns.shape[1]
        penalty = np.repeat(self._ratio[:, None], size, axis=1)
        penalty[:, 0] = self._noise
        gram = (columns @ columns.swapaxes(1, 2)).astype(np.float64)
        gram += penalty[:, :, None] * np.eye(size)
        right = columns @ self._maps[:, :, None]
        explained = (right * np.linalg.solve(gram, right)).sum() / self._noise
        volume = np.linalg.slogdet(gram)[1].sum() - np.log(penalty).sum()
        return float(explained - volume) / 2


class Places:
    """Where jumps are proposed: likelier where one impurity alone would be."""

    def __init__(self, likelihood: Likelihood, size_px: int) -> None:
        self._n = round(size_px / GRID_PX)
        axis = (np.arange(self._n) + 0.5) * GRID_PX - 0.5
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
        self._grid = grid.reshape(-1, 2)
        none = likelihood.offset
        alone = np.array(
            [
                likelihood(np.concatenate([none, likelihood.columns(p)], 1))
                for p in self._grid
            ]
        )
        weights = np.exp((alone - alone.max()) / 2)
        weights /= weights.sum()
        self._weights = weights / 2 + 0.5 / len(weights)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A place, [2] [px]."""
        cell = rng.choice(len(self._grid), p=self._weights)
        return self._grid[cell] + rng.uniform(-0.5, 0.5, 2) * GRID_PX

    def log_density(self, place: np.ndarray) -> float:
        """Logarithm of the density [1/px^2], times the frame's area."""
        row, col = np.clip((place + 0.5) // GRID_PX, 0, self._n - 1).astype(int)
        return math.log(self._weights[row * self._n + col] * len(self._grid))


def sample(
    case: Case, n_steps: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Positions that the maps allow, [n, 2] [px], one draw after the other."""
    likelihood = Likelihood(case)
    size = case.maps.shape[1]
    places = Places(likelihood, size)
    now = list(
        find_by_pursuit(
            case.maps, case.given_wave_numbers, threshold=3.0
        ).positions[:MOST]
    )
    now += [rng.uniform(-0.5, size - 0.5, 2) for _ in range(LEAST - len(now))]
    columns = [likelihood.columns(place) for place in now]

    def value(every: list[np.ndarray]) -> float:
        return likelihood(np.concatenate([likelihood.offset, *every], axis=1))

    level, draws = value(columns), []
    for step in range(n_steps):
        kind, ratio = rng.random(), 0.0
        new, at = None, int(rng.integers(len(now)))
        if kind < 0.25:
            new, at = places.draw(rng), len(now)
            ratio = -places.log_density(new)
        elif kind < 0.5:
            ratio = places.log_density(now[at])
        elif kind < 0.85:
            new = now[at] + rng.normal(0, rng.choice((0.1, 0.3, 0.8)), 2)
        else:
            new = places.draw(rng)
            ratio = places.log_density(now[at]) - places.log_density(new)
        changed = now[:at] + now[at + 1 :] + ([] if new is None else [new])
        inside = new is None or (abs(new + 0.5 - size / 2) <= size / 2).all()
        if inside and LEAST <= len(changed) <= MOST:
            others = columns[:at] + columns[at + 1 :]
            added = [] if new is None else [likelihood.columns(new)]
            after = value(others + added)
            if math.log(rng.random()) < after - level + ratio:
                now, columns, level = changed, others + added, after
        if step >= BURN_IN * n_steps and step % KEPT_EVERY == 0:
            draws.append(np.array(now))
    return draws


def likeliest(
    draws: list[np.ndarray], size_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places that hold an impurity in most draws, and in how many of them.

    One after the other: the place with most draws within the tolerance, whose
    points then count no more.
    """
    points = np.concatenate(draws)
    draw = np.repeat(np.arange(len(draws)), list(map(len, draws)))
    axis = np.arange(-0.5, size_px, GRID_PX / 2)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    places, shares = [np.zeros((0, 2))], []
    while len(points):
        near = KDTree(points).query_ball_point(grid, TOLERANCE_PX)
        counts = [len(np.unique(draw[n])) for n in near]
        share = max(counts) / len(draws)
        if share < 0.05:
            break
        here = near[int(np.argmax(counts))]
        places.append(points[here].mean(axis=0, keepdims=True))
        shares.append(share)
        points, draw = np.delete(points, here, 0), np.delete(draw, here)
    return np.concatenate(places), np.array(shares)


def test_field(
    eta: str, n_steps: int, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, their probabilities and the truth of a test field."""
    cell = next(cell for cell in eq3_cells() if cell.name == eta)
    case = cell.make(CaseId(Role.TEST, SEED, number))
    draws = sample(case, n_steps, np.random.default_rng(number))
    return *likeliest(draws, case.maps.shape[1]), case.positions


def jaccard(
    fields: list[tuple[np.ndarray, np.ndarray, np.ndarray]], least: float
) -> float:
    """Jaccard index of all fields, see `test_field`, from a probability on."""
    scores = (
        score_positions(places[p >= least], truth, tolerance=TOLERANCE_PX)
        for places, p, truth in fields
    )
    return functools.reduce(operator.add, scores, Score()).jaccard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(
        f"{machine()}; {options.fields} test fields, bench's seed "
        f"{SEED}, {options.steps} steps each\n\n"
        "| | Jaccard index, best threshold | at 0.5 |\n|---|---|---|"
    )
    with multiprocessing.Pool(options.processes) as pool:
        for eta in (c.name for c in eq3_cells() if c.name.startswith("eta")):
            fields = pool.map(
                functools.partial(test_field, eta, options.steps),
                range(options.fields),
                chunksize=1,
            )

            tried = np.geomspace(0.05, 0.95, 40)
            best = max(jaccard(fields, least) for least in tried)
            half = jaccard(fields, 0.5)
            print(f"| {eta} | {best:.3f} | {half:.3f} |", flush=True)


if __name__ == "__main__":
    main()
