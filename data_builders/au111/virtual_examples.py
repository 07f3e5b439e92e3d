"""Examples of virtual experiments; free of TFDS, so that helpers start soon."""

import functools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from stm_keras.bound_states import find_bound_states
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)
from stm_keras.system import deaf_to_stops, end_with_parent


def make_examples(
    simulation: VirtualConfig,
    seed: int,
    split: int,
    numbers: range,
    processes: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Simulate examples of the set.

    Args:
        simulation: what an experiment is drawn from.
        seed: of the set.
        split: number of the split, from 0.
        numbers: which examples of the split.
        processes: how many work at once; the examples do not depend on it.

    Yields:
        The features of `au111_dataset_builder.virtual_features`.
    """
    make = functools.partial(make_example, simulation, seed, split)
    if min(processes, len(numbers)) < 2:
        yield from map(make, numbers)
        return
    # TensorFlow, which the calling process has loaded, does not survive a
    # fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=end_with_parent
    ) as pool:
        with deaf_to_stops():  # processes start here
            examples = pool.map(make, numbers)
        yield from examples


def make_example(
    simulation: VirtualConfig, seed: int, split: int, number: int
) -> dict[str, np.ndarray]:
    """Simulate one example; see `make_examples`."""
    rng = np.random.default_rng([seed, split, number])
    experiment = simulate_virtual(simulation, rng)
    reference = find_bound_states(experiment.bound_state)
    return {
        "maps": experiment.maps,
        "bias_v": experiment.bias_v,
        "wave_numbers": experiment.wave_numbers.astype(np.float32),
        "extent_nm": np.full(2, simulation.extent_nm),
        "positions": experiment.positions.astype(np.float32),
        "decoys": experiment.decoys.astype(np.float32),
        "bound_state": experiment.bound_state,
        "reference_positions": reference.positions.astype(np.float32),
    }
