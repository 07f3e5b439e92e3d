"""TFDS builder of randomised multiple-scattering fields, for training."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_builders.building import (
    Make,
    SimulatedBuilder,
    SimulatedConfig,
    recorded,
)
from stm_keras.simulation.friedel import normalise
from stm_keras.simulation.scene import Arrangement, ContourRanges, Scene
from stm_keras.simulation.short_range import CoreRanges
from stm_keras.simulation.surface_features import (
    CLUSTER_OBJECTS,
    NARROW_BLOBS,
    TALL_OBJECTS,
    AtomicLattice,
    Creep,
    Herringbone,
    SetPoint,
    Steps,
)
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    simulate_many,
)

_SPLIT_STRIDE = 2**40
"""Splits take their fields from numbers that no other reaches: the first
fields of a split stay the same, however many the others have."""

_FIELDS_A_PROCESS = 32
"""Fewer take less time than the start of another process."""


SURFACES = ScatteringConfig(
    density_per_px2=(5e-4, 2e-2),
    min_distance_px=1.5,
    clustered_share=0.2,
    cores=CoreRanges(
        amplitude=(0.0, 14.0),
        shift=(0.0, 0.6),
        anisotropy=(1.0, 2.0),
        alike_share=0.3,
    ),
    bound_share=0.3,
    n_species=(0, 3),
    contour=ContourRanges(axis_ratio=(1.0, 1.3), warping=(0.0, 0.1), share=0.2),
    # 2k of the widest contour must stay below pi rad/px.
    ring_rad_px=(0.6, 2.2),
    arrangement=Arrangement(
        pair_share=0.15, chain_share=0.1, site_share=0.3, least_px=1.0
    ),
    features=(
        dataclasses.replace(NARROW_BLOBS, share=0.25),
        dataclasses.replace(TALL_OBJECTS, share=0.1),
        dataclasses.replace(CLUSTER_OBJECTS, share=0.1),
        Steps(number=(1, 2), height=(0.0, 1.0), share=0.25),
        Herringbone(amplitude=(0.2, 4.5), share=0.3),
        AtomicLattice(share=0.05),
        SetPoint(share=0.15),
        Creep(share=0.15),
    ),
    empty_share=0.08,
)
"""What real surfaces add, each in a share of the fields, over ranges wider
than any one surface; terraces as high as what levelling leaves of them."""

_HOMEPAGE = "https://doi.org/10.1103/RevModPhys.75.933"
"""TFDS would name a page of its catalogue, where these sets are not."""


@dataclasses.dataclass
class ScatteringBuilderConfig(SimulatedConfig):
    """One variant of the set; see `SimulatedConfig`."""

    simulation: ScatteringConfig = dataclasses.field(
        default_factory=ScatteringConfig
    )
    n_examples: tuple[int, int, int] = (5_000, 250, 250)


def make_examples(
    config: ScatteringConfig,
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
    )
    return map(as_example, fields)


def as_example(scene: Scene) -> dict[str, np.ndarray]:
    """A field as the data set stores it.

    Args:
        scene: a clean field.

    Returns:
        `maps` float32 [V, H, W], each of mean 0 and largest |value| 1;
        `scale` float32 [V], which they were divided by [clean LDOS];
        `spread` float32 [], standard deviation of the maps before steps and
        the like were added [clean LDOS]; `covered` bool [H, W], where these
        hide the waves;
        `wave_numbers` float32 [V] [rad/px]; of the impurities in the frame
        `positions` float32 [n, 2] [px] and `strengths` float32 [n], |t|
        averaged over the maps, 0 to 1; `decoys` float32 [m, 2] [px];
        `mean_free_path` float32 [] [px].
    """
    maps = scene.maps
    about_zero = maps - maps.mean(axis=(1, 2), keepdims=True)
    covered = np.zeros(scene.shape, bool)
    for mask in scene.masks.values():
        covered |= mask
    stored = {
        "maps": normalise(maps),
        "spread": scene.bare_spread,
        "scale": np.abs(about_zero).max(axis=(1, 2)),
        "wave_numbers": scene.wave_numbers,
        "positions": scene.positions,
        "strengths": scene.strengths,
        "decoys": scene.decoys,
        "mean_free_path": scene.mean_free_path_px,
    }
    floats = {name: np.asarray(v, np.float32) for name, v in stored.items()}
    return {**floats, "covered": covered}


class Builder(SimulatedBuilder):
    """Clean fields of many surfaces with the impurities that made them."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {  # noqa: RUF012 (TFDS's own)
        "1.0.0": "First version.",
        "1.1.0": "Adds `spread` and `covered`, and real surfaces.",
    }
    CHUNK: ClassVar[int] = 16
    DEFAULT_BUILDER_CONFIG_NAME = "default"
    BUILDER_CONFIGS = [  # noqa: RUF012
        ScatteringBuilderConfig(
            name="default",
            description="48 x 48 px, 16 voltages, wider than any one surface.",
        ),
        ScatteringBuilderConfig(
            name="context",
            description="The same, up to twice as dense, cores of any shape.",
            simulation=ScatteringConfig(
                density_per_px2=(5e-4, 2e-2),
                # From none at all, for a finder must read the waves, to those
                # of a topograph, which are much higher than they.
                cores=CoreRanges(
                    amplitude=(0.0, 8.0),
                    shift=(0.0, 0.8),
                    anisotropy=(1.0, 2.0),
                ),
            ),
            n_examples=(16_000, 500, 500),
        ),
        ScatteringBuilderConfig(
            name="molecules",
            description="The same; in half of the fields all cores are alike.",
            simulation=ScatteringConfig(
                density_per_px2=(5e-4, 2e-2),
                # As high above the waves as those of molecules in a topograph.
                cores=CoreRanges(
                    amplitude=(0.0, 14.0),
                    shift=(0.0, 0.4),
                    anisotropy=(1.0, 2.0),
                    alike_share=0.5,
                ),
            ),
            n_examples=(16_000, 500, 500),
        ),
        ScatteringBuilderConfig(
            name="crowded",
            description="Molecules in clusters, in most of the fields.",
            simulation=ScatteringConfig(
                density_per_px2=(1e-3, 2e-2),
                clustered_share=0.7,
                cores=CoreRanges(
                    amplitude=(0.0, 14.0),
                    shift=(0.0, 0.4),
                    anisotropy=(1.0, 1.6),
                    alike_share=0.6,
                ),
            ),
            n_examples=(12_000, 500, 500),
        ),
        ScatteringBuilderConfig(
            name="surfaces",
            description="Steps, herringbone, tall things, pairs, bent bands.",
            simulation=SURFACES,
            n_examples=(16_000, 500, 500),
        ),
        ScatteringBuilderConfig(
            name="demo",
            description="24 x 24 px, 8 voltages, rings of the paper's maps.",
            simulation=ScatteringConfig(
                size_px=24,
                n_voltages=8,
                margin_px=16.0,
                density_per_px2=(2e-3, 1e-2),
                ring_rad_px=(1.2, 1.9),
                ring_ratio=(1.05, 1.5),
            ),
            n_examples=(2_500, 100, 100),
        ),
        ScatteringBuilderConfig(
            name="tiny",
            description="24 x 24 px, 4 voltages, few fields: to try things.",
            simulation=ScatteringConfig(
                size_px=24,
                n_voltages=4,
                margin_px=12.0,
                density_per_px2=(2e-3, 1e-2),
            ),
            n_examples=(64, 16, 16),
        ),
    ]

    @property
    def _config(self) -> ScatteringBuilderConfig:
        config = self.builder_config
        if not isinstance(config, ScatteringBuilderConfig):
            raise TypeError(f"not a ScatteringBuilderConfig: {config!r}")
        return config

    def _info(self) -> tfds.core.DatasetInfo:
        config = self._config
        return self.dataset_info_from_configs(
            homepage=_HOMEPAGE,
            features=tfds.features.FeaturesDict(_features(config.simulation)),
            metadata=tfds.core.MetadataDict(
                seed=config.seed,
                simulation=recorded(config.simulation),
            ),
        )

    def _make(self) -> Make:
        config = self._config
        return functools.partial(make_examples, config.simulation, config.seed)


def _features(simulation: ScatteringConfig) -> dict[str, Any]:
    size, n_voltages = simulation.size_px, simulation.n_voltages

    def floats(*shape: int | None, doc: str, **options: Any) -> Any:
        return tfds.features.Tensor(
            shape=shape, dtype=np.float32, doc=doc, **options
        )

    return {
        "maps": floats(
            n_voltages,
            size,
            size,
            # Raw bytes: quicker to write and read than TFDS's list of floats.
            encoding="bytes",
            doc="LDOS by rising energy, mean 0, largest |value| 1",
        ),
        "scale": floats(
            n_voltages, doc="each map was divided by this [clean LDOS]"
        ),
        "spread": floats(
            doc="deviation of the maps before steps and the like [clean LDOS]"
        ),
        "covered": tfds.features.Tensor(
            shape=(size, size),
            dtype=np.bool_,
            encoding="bytes",
            doc="where steps and tall objects hide the waves",
        ),
        "wave_numbers": floats(n_voltages, doc="k of every map [rad/px]"),
        "positions": floats(
            None, 2, doc="row, column [px] of every impurity in the field"
        ),
        "strengths": floats(
            None, doc="|t| of every impurity, averaged over the maps, 0 to 1"
        ),
        "decoys": floats(
            None, 2, doc="row, column [px] of blobs that are no impurities"
        ),
        "mean_free_path": floats(doc="l of the waves [px]"),
    }
