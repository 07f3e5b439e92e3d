"""Training fields: scattering with cores and decoys, as stored examples.

Free of TFDS, so that the processes which simulate start quickly.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from stm_keras.simulation.friedel import normalise
from stm_keras.simulation.randomised import simulate_many
from stm_keras.simulation.ranges import spread
from stm_keras.simulation.scatterers import t_amplitude
from stm_keras.simulation.scattering_config import ScatteringConfig
from stm_keras.simulation.scattering_field import ScatteringField
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
    add_cores,
    add_decoys,
)

_SPLIT_STRIDE = 2**40
"""Splits take their fields from numbers that no other reaches: the first
fields of a split stay the same, however many the others have."""

_FIELDS_A_PROCESS = 32
"""Fewer take less time than the start of another process."""


@dataclass(frozen=True, kw_only=True)
class TrainingFieldConfig(ScatteringConfig):
    """What a training field is drawn from; see also `ScatteringConfig`.

    Attributes:
        cores: of the impurities.
        decoys: blobs that are no impurities.
    """

    cores: CoreRanges = field(default_factory=CoreRanges)
    decoys: DecoyRanges = field(default_factory=DecoyRanges)


def add_short_range(
    config: TrainingFieldConfig,
    field: ScatteringField,
    rng: np.random.Generator,
) -> ScatteringField:
    """Put cores and decoys into a simulated field.

    Args:
        config: what they are drawn from.
        field: waves alone.
        rng: the field's own randomness.

    Returns:
        The field with `maps` and `decoys` replaced.
    """
    k = field.wave_numbers
    scale = spread(field.maps) or 1.0  # without impurities there are no waves
    maps = add_cores(
        field.maps, field.positions, k, rng, config.cores, scale=scale
    )
    maps, decoys = add_decoys(maps, k, rng, config.decoys, scale=scale)
    return field._replace(maps=maps, decoys=decoys)


def make_examples(
    config: TrainingFieldConfig,
    seed: int,
    split: int,
    numbers: range,
    processes: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Simulate examples of the set.

    Args:
        config: what a field is drawn from.
        seed: of the set.
        split: number of the split, from 0.
        numbers: which examples of the split.
        processes: how many work at once; the examples do not depend on it.

    Yields:
        What `as_example` gives of each field.

    Raises:
        InputError: where impurities cannot be placed.
    """
    first = split * _SPLIT_STRIDE
    processes = min(processes, max(1, len(numbers) // _FIELDS_A_PROCESS))
    fields = simulate_many(
        config,
        seed,
        range(first + numbers.start, first + numbers.stop),
        processes,
        functools.partial(add_short_range, config),
    )
    return map(as_example, fields)


def as_example(field: ScatteringField) -> dict[str, np.ndarray]:
    """A field as the data set stores it.

    Args:
        field: clean field.

    Returns:
        `maps` float32 [V, H, W], each of mean 0 and largest |value| 1;
        `scale` float32 [V], which they were divided by [clean LDOS];
        `wave_numbers` float32 [V] [rad/px]; of the impurities in the frame
        `positions` float32 [n, 2] [px] and `strengths` float32 [n], |t|
        averaged over the maps, 0 to 1; `decoys` float32 [m, 2] [px];
        `mean_free_path` float32 [] [px].
    """
    maps = field.maps
    about_zero = maps - maps.mean(axis=(1, 2), keepdims=True)
    strengths = np.abs(t_amplitude(field.delta, field.absorption)).mean(axis=0)
    stored = {
        "maps": normalise(maps),
        "scale": np.abs(about_zero).max(axis=(1, 2)),
        "wave_numbers": field.wave_numbers,
        "positions": field.positions[field.in_frame],
        "strengths": strengths[field.in_frame],
        "decoys": field.decoys,
        "mean_free_path": field.mean_free_path,
    }
    return {name: np.asarray(v, np.float32) for name, v in stored.items()}
