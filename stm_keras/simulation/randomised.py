"""Scattering fields over ranges wider than any one surface, for training.

A network that has seen all of them need not have seen the user's surface:
density, strength, absorption, band, pixel and mean free path are all drawn
anew for each field. Fields are clean; noise, cores and decoys come after.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.scattering_config import ScatteringConfig
from stm_keras.simulation.scattering_field import (
    ScatteringField,
    simulate_field,
)
from stm_keras.system import end_with_parent, single_threaded

_CHUNK = 8  # fields a process is asked for at once

Finish = Callable[[ScatteringField, np.random.Generator], ScatteringField]
"""Adds what the scattering leaves out (cores, decoys) to a field, with the
field's own randomness; a module's function, so that it reaches processes."""


def field_rng(seed: int, index: int) -> np.random.Generator:
    """Randomness of field `index` of the set with this seed.

    It depends on nothing else, so a field is the same whichever process
    simulates it, and in whatever company.
    """
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(index,))
    )


def simulate_fields(
    config: ScatteringConfig, rng: np.random.Generator, n_fields: int
) -> dict[str, np.ndarray]:
    """Simulate a batch of fields as arrays of one shape.

    Args:
        config: what to draw from.
        rng: source of randomness; gives the seed of `field_rng`.
        n_fields: how many, B.

    Returns:
        The attributes of `ScatteringField`, stacked along a first axis [B];
        fields with fewer impurities than the most are filled up with NaN in
        `positions`, `delta` and `absorption`, False in `in_frame`.
    """
    seed = int(rng.integers(2**63))
    fields = list(simulate_many(config, seed, range(n_fields)))
    most = max((len(f.positions) for f in fields), default=0)
    # Axis of the impurities in each attribute that has one.
    axes = {"positions": 0, "in_frame": 0, "delta": 1, "absorption": 0}

    def padded(field: ScatteringField, name: str) -> np.ndarray:
        value = np.asarray(getattr(field, name))
        if name not in axes:
            return value
        widths = [(0, 0)] * value.ndim
        widths[axes[name]] = (0, most - len(field.positions))
        fill = False if name == "in_frame" else np.nan
        return np.pad(value, widths, constant_values=fill)

    return {
        name: np.array([padded(field, name) for field in fields])
        for name in ScatteringField._fields
    }


def simulate_many(
    config: ScatteringConfig,
    seed: int,
    indices: Iterable[int],
    processes: int = 1,
    finish: Finish | None = None,
) -> Iterator[ScatteringField]:
    """Simulate fields of a set, in the order of their indices.

    With several processes a script must keep its own work under
    `if __name__ == "__main__":`, as each process imports it (`spawn`:
    TensorFlow does not survive a fork).

    Args:
        config: what to draw from.
        seed: of the set, 0 or more.
        indices: which fields of the set, each 0 or more.
        processes: how many work at once; 1 works in this process.
        finish: applied to each field where it was simulated.

    Returns:
        The fields, one after another; they do not depend on `processes`.

    Raises:
        InputError: for a negative seed or no process; while iterating,
            where impurities cannot be placed.
    """
    if processes < 1 or seed < 0:
        raise InputError(
            "`processes` must be 1 or more and `seed` 0 or more. Received: "
            f"processes={processes}, seed={seed}."
        )
    if processes == 1:
        return (_one(config, seed, index, finish) for index in indices)
    return _spread(config, seed, iter(indices), processes, finish)


def _one(
    config: ScatteringConfig, seed: int, index: int, finish: Finish | None
) -> ScatteringField:
    rng = field_rng(seed, index)
    field = simulate_field(config, rng)
    return finish(field, rng) if finish else field


def _chunk(
    config: ScatteringConfig,
    seed: int,
    indices: list[int],
    finish: Finish | None,
) -> list[ScatteringField]:
    return [_one(config, seed, index, finish) for index in indices]


def _spread(
    config: ScatteringConfig,
    seed: int,
    indices: Iterator[int],
    processes: int,
    finish: Finish | None,
) -> Iterator[ScatteringField]:
    """Keep the processes busy a few chunks ahead of the consumer."""
    waiting: deque[Future[list[ScatteringField]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=end_with_parent
    ) as pool:
        try:
            while True:
                # Bounded, so that a slow consumer does not fill the memory.
                while len(waiting) < 3 * processes:
                    chunk = list(islice(indices, _CHUNK))
                    if not chunk:
                        break
                    with single_threaded():  # a process may start here
                        waiting.append(
                            pool.submit(_chunk, config, seed, chunk, finish)
                        )
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
