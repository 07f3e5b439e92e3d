"""TFDS builder of Friedel oscillations (arXiv:2006.15898, Eq. 3)."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_builders.building import (
    Example,
    Make,
    SimulatedBuilder,
    SimulatedConfig,
    recorded,
)
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

_CHUNK = 64
"""Examples drawn from one random stream: the data do not depend on who draws
which chunk, or in what order."""

_HOMEPAGE = "https://arxiv.org/abs/2006.15898"
"""TFDS would name a page of its catalogue, where these sets are not."""


@dataclasses.dataclass
class FriedelBuilderConfig(SimulatedConfig):
    """One variant of the set; see `SimulatedConfig`."""

    simulation: FriedelConfig = dataclasses.field(default_factory=FriedelConfig)


def make_examples(
    simulation: FriedelConfig,
    seed: int,
    split: int,
    numbers: range,
    processes: int = 1,
) -> Iterator[Example]:
    """Simulate examples of the set.

    Args:
        simulation: what a field is drawn from.
        seed: of the set.
        split: number of the split, from 0.
        numbers: which examples of the split, from a multiple of 64 on.
        processes: not used: writing takes longer than the simulation.

    Yields:
        `maps` float32 [V, L, L], `positions` float32 [n, 2] [px] and
        `wave_numbers` float32 [V] [rad/px] of each field.
    """
    del processes
    for start in range(numbers.start, numbers.stop, _CHUNK):
        rng = np.random.default_rng([seed, split, start])
        # Whole chunks always: a shorter one would draw other numbers.
        fields = simulate_friedel(simulation, rng, _CHUNK)
        for i in range(min(_CHUNK, numbers.stop - start)):
            yield {
                "maps": fields.maps[i],
                "positions": fields.positions[i],
                "wave_numbers": fields.wave_numbers[i],
            }


class Builder(SimulatedBuilder):
    """Clean fields of Eq. 3 with the positions that made them."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS's own)
    CHUNK: ClassVar[int] = _CHUNK
    DEFAULT_BUILDER_CONFIG_NAME = "au111"
    BUILDER_CONFIGS = [  # noqa: RUF012
        FriedelBuilderConfig(
            name="au111",
            description="Au(111) at the paper's pixel and biases, 16 voltages.",
        ),
        FriedelBuilderConfig(
            name="demo",
            description="The same with 8 voltages and few fields.",
            simulation=FriedelConfig(n_voltages=8),
            n_examples=(4_000, 200, 200),
        ),
        FriedelBuilderConfig(
            name="bench32",
            description="32 x 32 px, 8 voltages, 3 to 8 impurities anywhere.",
            simulation=FriedelConfig(
                size_px=32,
                n_voltages=8,
                n_impurities=(3, 8),
                on_grid=False,
            ),
            n_examples=(4_000, 200, 200),
        ),
        FriedelBuilderConfig(
            name="context",
            description="48 x 48 px, 16 voltages, rings of 0.6 to 2.2 rad/px.",
            simulation=FriedelConfig(
                size_px=48,
                n_impurities=(2, 24),
                k0_rad_px=0.7,
                k_spread_rad_px=0.4,
                on_grid=False,
                margin_px=8,
            ),
            n_examples=(6_000, 200, 200),
        ),
    ]

    @property
    def _config(self) -> FriedelBuilderConfig:
        config = self.builder_config
        if not isinstance(config, FriedelBuilderConfig):
            raise TypeError(f"not a FriedelBuilderConfig: {config!r}")
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        simulation = config.simulation
        size, n_voltages = simulation.size_px, simulation.n_voltages
        return self.dataset_info_from_configs(
            homepage=_HOMEPAGE,
            features=tfds.features.FeaturesDict(
                {
                    "maps": tfds.features.Tensor(
                        shape=(n_voltages, size, size),
                        dtype=np.float32,
                        # Raw bytes: quicker to write and read than TFDS's
                        # list of floats, and as small.
                        encoding="bytes",
                        doc="dn of Eq. 3, mean 0, largest |value| 1",
                    ),
                    "positions": tfds.features.Tensor(
                        shape=(None, 2),
                        dtype=np.float32,
                        doc="row, column [px] of every impurity in the field",
                    ),
                    "wave_numbers": tfds.features.Tensor(
                        shape=(n_voltages,),
                        dtype=np.float32,
                        doc="k of every map [rad/px]",
                    ),
                }
            ),
            metadata=tfds.core.MetadataDict(
                seed=config.seed,
                simulation=recorded(simulation),
            ),
        )

    def _make(self) -> Make:
        config = self._config
        return functools.partial(make_examples, config.simulation, config.seed)
