"""TFDS builder of experiments: virtual ones with known truth, or a user's."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_builders.au111.virtual_examples import make_examples
from data_builders.building import (
    Make,
    SimulatedBuilder,
    SimulatedConfig,
    recorded,
)
from stm_keras.preprocessing.measured import MeasuredExperiment, read_experiment
from stm_keras.simulation.surface_kinds import named_kind
from stm_keras.simulation.virtual_experiment import (
    DENSITIES,
    DIFFICULTIES,
    VirtualConfig,
    named_virtual,
)

_DIGEST_LENGTH = 8

_HOMEPAGE = "https://arxiv.org/abs/2006.15898"
"""TFDS would name a page of its catalogue, where these sets are not."""


@dataclasses.dataclass
class VirtualBuilderConfig(SimulatedConfig):
    """Virtual experiments; see `SimulatedConfig`."""

    simulation: VirtualConfig = dataclasses.field(default_factory=VirtualConfig)
    n_examples: tuple[int, int, int] = (4, 2, 4)


@dataclasses.dataclass
class MeasuredBuilderConfig(tfds.core.BuilderConfig):
    """A user's own experiment, read and checked before anything is written.

    Attributes:
        experiment: what was read.
        n_examples: one stack, in the split `train`.
    """

    experiment: MeasuredExperiment | None = dataclasses.field(
        default=None, repr=False
    )
    n_examples: tuple[int] = (1,)


def measured_config(
    sources: Sequence[Path],
    *,
    bound_state: Path | None = None,
    surface: str | None = None,
) -> MeasuredBuilderConfig:
    """Read a user's files; arguments and errors as in `read_experiment`.

    Returns:
        A variant whose name ends in a digest of the files' contents and the
        options.
    """
    experiment = read_experiment(
        sources, bound_state=bound_state, surface=surface
    )
    digest = hashlib.sha256(repr((surface, bound_state is None)).encode())
    for path in (*sources, *([bound_state] if bound_state else [])):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return MeasuredBuilderConfig(
        name=f"measured-{digest.hexdigest()[:_DIGEST_LENGTH]}",
        description=f"Measured maps: {experiment.maps.source}",
        experiment=experiment,
    )


def _grid() -> list[VirtualBuilderConfig]:
    """One variant for each density and difficulty."""
    return [
        VirtualBuilderConfig(
            name=f"virtual_{density}_{difficulty}",
            description=f"{count:g} impurities in the frame, {difficulty}.",
            simulation=named_virtual(density, difficulty),
        )
        for density, count in DENSITIES.items()
        for difficulty in DIFFICULTIES
    ]


def _surfaces() -> list[VirtualBuilderConfig]:
    """What no Au(111) is without, beside the bare variants.

    The bare ones stay as they are: figures of the bench rest on them.
    """
    return [
        VirtualBuilderConfig(
            name=f"{prefix}_{density}",
            description=f"{DENSITIES[density]:g} impurities, {difficulty}; "
            f"{text}.",
            simulation=named_kind(kind, named_virtual(density, difficulty)),
        )
        for density in DENSITIES
        for prefix, difficulty, kind, text in (
            ("herringbone", "typical", "real", "with the herringbone"),
            ("step", "hard", "real, with a step", "herringbone and steps"),
        )
    ]


class Builder(SimulatedBuilder):
    """Experiments in the paper's geometry, or measured ones."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012 (TFDS's own)
    CHUNK: ClassVar[int] = 1  # an experiment takes seconds
    DEFAULT_BUILDER_CONFIG_NAME = "virtual"
    BUILDER_CONFIGS = [  # noqa: RUF012
        VirtualBuilderConfig(
            name="virtual",
            description="The paper's geometry, medium density, typical.",
        ),
        *_grid(),
        *_surfaces(),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        if isinstance(config, VirtualBuilderConfig):
            simulation = config.simulation
            return self.dataset_info_from_configs(
                homepage=_HOMEPAGE,
                features=virtual_features(
                    len(simulation.bias_v), simulation.size_px
                ),
                metadata=tfds.core.MetadataDict(
                    seed=config.seed,
                    simulation=recorded(simulation),
                    bound_state_bias_v=simulation.bound_state_bias_v,
                ),
            )
        return self.dataset_info_from_configs(
            homepage=_HOMEPAGE,
            features=measured_features(self._experiment.maps.shape),
        )

    @property
    def _experiment(self) -> MeasuredExperiment:
        experiment = getattr(self.builder_config, "experiment", None)
        if experiment is None:
            raise TypeError(f"no config of this set: {self.builder_config!r}")
        return experiment

    def _make(self) -> Make:
        config = self.builder_config
        if not isinstance(config, VirtualBuilderConfig):
            raise TypeError(f"not a VirtualBuilderConfig: {config!r}")
        return functools.partial(make_examples, config.simulation, config.seed)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        if isinstance(self.builder_config, VirtualBuilderConfig):
            return super()._split_generators(dl_manager)
        maps, wave_numbers, positions = self._experiment
        example = {
            "maps": maps.data,
            "bias_v": maps.bias_v,
            "wave_numbers": wave_numbers.astype(np.float32),
            "extent_nm": np.asarray(maps.extent_nm),
            "reference_positions": positions.astype(np.float32),
            "source": maps.source,
            "provenance": "\n".join(maps.provenance),
        }
        return {"train": iter([(0, example)])}


def virtual_features(n_maps: int, size_px: int) -> tfds.features.FeaturesDict:
    """Features of a virtual experiment.

    Args:
        n_maps: number V of maps.
        size_px: side of the frame [px].
    """
    return tfds.features.FeaturesDict(
        {
            **_common_features((n_maps, size_px, size_px)),
            "positions": _positions("true position of every impurity"),
            "decoys": _positions("positions of blobs that are no impurities"),
            "bound_state": tfds.features.Tensor(
                shape=(size_px, size_px),
                dtype=np.float32,
                encoding="bytes",
                doc="map of bound states, brightest possible spot = 1",
            ),
        }
    )


def measured_features(
    shape: tuple[int, int, int],
) -> tfds.features.FeaturesDict:
    """Features of a user's own experiment.

    Args:
        shape: of its maps, (V, H, W).
    """
    return tfds.features.FeaturesDict(
        {
            **_common_features(shape),
            "source": tfds.features.Text(doc="files that the maps came from"),
            "provenance": tfds.features.Text(doc="what was done, by line"),
        }
    )


def _common_features(
    shape: tuple[int, int, int],
) -> dict[str, tfds.features.FeatureConnector]:
    return {
        "maps": tfds.features.Tensor(
            shape=shape,
            dtype=np.float32,
            encoding="bytes",
            doc="dI/dV by bias; virtual: LDOS - 1 in units of the clean LDOS",
        ),
        "bias_v": _float64(shape[:1], "bias of every map [V]"),
        "wave_numbers": tfds.features.Tensor(
            shape=shape[:1],
            dtype=np.float32,
            doc="k of every map [rad/px]; FFT rings have q = 2k",
        ),
        "extent_nm": _float64((2,), "height and width [nm]"),
        "reference_positions": _positions(
            "spots that expectation-maximisation found in the map of bound "
            "states; empty without such a map"
        ),
    }


def _float64(shape: tuple[int, ...], doc: str) -> tfds.features.Tensor:
    # As raw bytes: TFDS's list of floats would cut them to float32.
    return tfds.features.Tensor(
        shape=shape, dtype=np.float64, encoding="bytes", doc=doc
    )


def _positions(doc: str) -> tfds.features.Tensor:
    return tfds.features.Tensor(
        shape=(None, 2), dtype=np.float32, doc=f"row, column [px]: {doc}"
    )
