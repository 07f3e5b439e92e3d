"""TFDS builder of Friedel oscillations (arXiv:2006.15898, Eq. 3)."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

_CHUNK = 64
"""Examples drawn from one random stream: the data do not depend on who draws
which chunk, or in what order."""

_SPLITS = ("train", "validation", "test")
_DIGEST_LENGTH = 8


@dataclasses.dataclass
class FriedelBuilderConfig(tfds.core.BuilderConfig):
    """One variant of the set.

    Attributes:
        simulation: what a field is drawn from.
        n_examples: number of train, validation and test fields.
        seed: of all randomness; splits draw from streams of their own.
    """

    simulation: FriedelConfig = dataclasses.field(default_factory=FriedelConfig)
    n_examples: tuple[int, int, int] = (20_000, 500, 500)
    seed: int = 0

    def changed(
        self,
        *,
        n_examples: tuple[int, int, int] | None = None,
        seed: int | None = None,
        **simulation: Any,
    ) -> "FriedelBuilderConfig":
        """This variant with some options replaced, under a name of its own.

        Args:
            n_examples: see the class; None keeps it.
            seed: likewise.
            **simulation: fields of `FriedelConfig`; None keeps a field.

        Returns:
            A variant whose name ends in a digest of all its options, or this
            one where nothing changes.
        """
        given = {k: v for k, v in simulation.items() if v is not None}
        changed = dataclasses.replace(
            self,
            simulation=dataclasses.replace(self.simulation, **given),
            n_examples=n_examples or self.n_examples,
            seed=self.seed if seed is None else seed,
        )
        if changed == self:
            return self
        options = repr((changed.simulation, changed.n_examples, changed.seed))
        digest = hashlib.sha256(options.encode()).hexdigest()
        changed.name = f"{self.name}-{digest[:_DIGEST_LENGTH]}"
        return changed


class Builder(tfds.core.GeneratorBasedBuilder):
    """Clean fields of Eq. 3 with the positions that made them."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS's own)
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
                simulation=dataclasses.asdict(simulation),
            ),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        return {
            split: self._generate_examples(i, n)
            for i, (split, n) in enumerate(
                zip(_SPLITS, self._config.n_examples, strict=True)
            )
        }

    def _generate_examples(
        self, split: int, n_examples: int
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        config = self._config
        for start in range(0, n_examples, _CHUNK):
            rng = np.random.default_rng([config.seed, split, start])
            fields = simulate_friedel(config.simulation, rng, _CHUNK)
            for i in range(min(_CHUNK, n_examples - start)):
                yield (
                    start + i,
                    {
                        "maps": fields.maps[i],
                        "positions": fields.positions[i],
                        "wave_numbers": fields.wave_numbers[i],
                    },
                )
