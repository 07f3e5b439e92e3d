"""How much of an impurity's place is in the power of its rings?

Isolated impurities of Eq. 3 off the grid, in eight maps with white noise. A
small regression is trained on the power around each (`stm_keras/nn/
ring_power.py`, summed over the maps) at whole pixels, or at half ones as well,
and tested on others: RMSE of the place, and over the Cramér-Rao bound. What
`context` can make of either is no better. From the project's folder:

    python benchmarks/ring_power.py
"""

import argparse
import datetime
import os
import platform
from typing import Any, NamedTuple

import keras
import numpy as np

from stm_keras.analysis.bounds import position_bound
from stm_keras.analysis.ring_model import fit_amplitudes
from stm_keras.bench.eq3 import ISOLATED
from stm_keras.nn.ring_power import RingPower
from stm_keras.simulation.friedel import FriedelFields, simulate_friedel

EQ3 = ((1.0, 2.0),)
AROUND_PX = 2
EDGE_PX = 8
AT_ONCE = 100
BATCH = 128
SILENT: Any = 0  # typed as a word by Keras
TOLERANCE_PX = 1.0
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=12_000)
    parser.add_argument("--test-fields", type=int, default=1_000)
    parser.add_argument("--epochs", type=int, default=50)
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.fields} fields to learn from, "
        f"{options.test_fields} to test, seed {SEED}\n"
    )
    print("| eta | power at | RMSE [px] | over the bound |\n|---|---|---|---|")
    for eta in (0.2, 0.5):
        rng = np.random.default_rng(SEED)
        keras.utils.set_random_seed(SEED)
        train = drawn(rng, options.fields, eta)
        test = drawn(rng, options.test_fields, eta)
        for name, count in (("whole pixels", 1), ("half pixels", 4)):
            off = rmse(train, test, count, options.epochs)
            print(
                f"| {eta} | {name} | {off:.3f} | {off / test.bound:.2f} |",
                flush=True,
            )


class Seen(NamedTuple):
    """Isolated impurities and what is seen around them.

    Attributes:
        power: at four places of each of 25 pixels, [n, 25, 4].
        edges: how far the frame's are from the middle one [px], [n, 4].
        places: from the middle pixel's centre [px], [n, 2].
        bound: RMS of the Cramér-Rao bound [px].
    """

    power: np.ndarray
    edges: np.ndarray
    places: np.ndarray
    bound: float

    def inputs(self, count: int) -> np.ndarray:
        """With the first places of each pixel alone, [n, c]."""
        power = self.power[..., :count].reshape(len(self.power), -1)
        return np.hstack([power, self.edges])


def drawn(rng: np.random.Generator, n_fields: int, eta: float) -> Seen:
    """New fields with noise."""
    fields = simulate_friedel(ISOLATED, rng, n_fields)
    noise = rng.standard_normal(fields.maps.shape, np.float32)
    maps = fields.maps + np.float32(eta) * noise
    maps -= maps.mean((2, 3), keepdims=True)
    maps /= maps.std((1, 2, 3), keepdims=True)
    shown = [
        around(maps[i : i + AT_ONCE], fields, i)
        for i in range(0, n_fields, AT_ONCE)
    ]
    power, edges = (np.concatenate(part) for part in zip(*shown, strict=True))
    positions = np.concatenate(fields.positions)
    places = positions - positions.round()
    return Seen(power, edges, places, rms_bound(fields, eta))


def around(
    maps: np.ndarray, fields: FriedelFields, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Power and edges as `Seen` has them, of the fields from `first` on."""
    n, voltages, size = maps.shape[:3]
    rings = 2 * fields.wave_numbers[first : first + n].reshape(-1)
    left = maps.reshape(-1, size, size)
    power = np.asarray(
        RingPower(EQ3)(left, np.zeros((*left.shape, 2), np.float32), rings)
    )
    summed = np.log1p(power.reshape(n, voltages, size, size, -1).mean(1))
    middle = np.concatenate(fields.positions[first : first + n]).round()
    offset = np.arange(-AROUND_PX, AROUND_PX + 1)
    row, col = (
        np.clip(m[:, None] + offset, 0, size - 1).astype(int) for m in middle.T
    )
    at = np.arange(n)[:, None, None], row[:, :, None], col[:, None, :]
    patch = summed[at].reshape(n, -1, summed.shape[-1])
    edges = np.minimum(np.hstack([middle, size - 1 - middle]), EDGE_PX)
    return patch, edges


def rms_bound(fields: FriedelFields, eta: float, most: int = 300) -> float:
    """Of the first fields [px]."""
    size = fields.maps.shape[-1]
    limits = []
    for maps, positions, k in list(
        zip(fields.maps, fields.positions, fields.wave_numbers, strict=True)
    )[:most]:
        wave_numbers = k.astype(np.float64)
        strengths = fit_amplitudes(maps, positions, wave_numbers)
        covariance = position_bound(
            positions, strengths, wave_numbers, shape=(size, size), sigma=eta
        )
        limits.append(np.trace(covariance[0]))
    return float(np.sqrt(np.mean(limits)))


def rmse(train: Seen, test: Seen, count: int, epochs: int) -> float:
    """Of a regression from the first places of each pixel [px]."""
    scale = keras.layers.Normalization()
    scale.adapt(train.inputs(count))
    hidden = [keras.layers.Dense(n, activation="relu") for n in (128, 64)]
    model = keras.Sequential([scale, *hidden, keras.layers.Dense(2)])
    steps = epochs * -(-len(train.places) // BATCH)
    rate: Any = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(
        train.inputs(count),
        train.places,
        batch_size=BATCH,
        epochs=epochs,
        verbose=SILENT,
    )
    off = model.predict(test.inputs(count), verbose=SILENT) - test.places
    squares = (off**2).sum(axis=1)
    return float(np.sqrt(squares[squares < TOLERANCE_PX**2].mean()))


if __name__ == "__main__":
    main()
