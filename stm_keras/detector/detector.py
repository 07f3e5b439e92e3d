"""A trained network in use: preprocess, network, decode, select."""

import abc
import importlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from stm_keras.detections import Detections, Search
from stm_keras.errors import InputError
from stm_keras.files import atomic_directory
from stm_keras.maps import ConductanceMaps
from stm_keras.models.card import ModelCard, OtherVersionError
from stm_keras.models.checks import check_options
from stm_keras.models.shipped import find_card
from stm_keras.models.trust import check_trusted
from stm_keras.preprocessing.preparation import (
    Companions,
    PredictOptions,
    PreparedMaps,
    cut_and_clean,
)
from stm_keras.preprocessing.quality import map_quality, without_bad_maps
from stm_keras.system import Progress, made_by_newer, no_progress


class Detector(abc.ABC):
    """A trained network with its card.

    A subclass a network says how maps are prepared, what the network answers,
    how that is decoded and what is kept. `load_detector` gives the right one.

    Args:
        card: how the network was made and what it expects.
        signatures: the SavedModel's, by name; see `export_saved_model`.
        directory: that it was loaded from; None for a network in memory.
    """

    network: ClassVar[str]
    """Class of the network, as cards name it."""
    keeps: ClassVar[type[Any]]
    """Section of a card that says what a detection must reach."""

    def __init__(
        self,
        card: ModelCard,
        signatures: Mapping[str, Any],
        directory: Path | None = None,
    ) -> None:
        self.card = card
        self.signatures = signatures
        self.directory = directory

    def predict(
        self,
        maps: ConductanceMaps,
        options: PredictOptions | None = None,
        *,
        companions: Companions | None = None,
        progress: Progress = no_progress,
    ) -> Detections:
        """Find the impurities in a stack of maps.

        Args:
            maps: as they were read.
            options: how.
            companions: what the cleaning may need beside the maps.
            progress: told the number of tiles done and of all.

        Returns:
            Positions in pixels of `maps`, with what was searched.

        Raises:
            InputError: see `prepare`, and where an option is not for this
                network.
        """
        options = options or PredictOptions()
        check_options(self.card, options)
        prepared = self.prepare(self.card, maps, options, companions)
        check_size(prepared.ready, self.least_px(self.card), self.card.name)
        found = self.search(prepared, options, progress)
        search = Search(
            origin_px=prepared.origin_px,
            levelled=prepared.levelled,
            maps=prepared.ready,
            score=found.search.score,
            needs_every_map=found.search.needs_every_map,
            model=self.described,
            options=options.as_fields(),
            layers=found.search.layers,
        )
        return found.placed_in(
            maps,
            prepared.to_file_pixels,
            prepared.scale,
            search,
            notes=(
                *prepared.ready.provenance,
                *found.notes,
                *_gaps(found, prepared.ready),
            ),
        )

    @classmethod
    def prepare(
        cls,
        card: ModelCard,
        maps: ConductanceMaps,
        options: PredictOptions,
        companions: Companions | None = None,
    ) -> PreparedMaps:
        """Cut, clean and resample maps for a network, which is not loaded.

        Args:
            card: of the model.
            maps: as they were read.
            options: region, biases, cleaning and surface.
            companions: what the cleaning may need beside the maps.

        Raises:
            InputError: see `crop`, `clean` and `to_network_pixel`.
        """
        cut = cut_and_clean(maps, options, companions or Companions())
        ready, q_per_nm = cls.at_network_pixel(card, cut.levelled, options)
        prepared = PreparedMaps(*cut, ready, q_per_nm)
        if q_per_nm is None or not options.cleaning.leave_out:
            return prepared
        quality = map_quality(ready.data, q_per_nm * np.mean(ready.pixel_nm))
        return replace(
            prepared,
            levelled=without_bad_maps(cut.levelled, quality),
            ready=without_bad_maps(ready, quality),
            q_per_nm=q_per_nm[~quality.bad],
        )

    @classmethod
    @abc.abstractmethod
    def at_network_pixel(
        cls, card: ModelCard, levelled: ConductanceMaps, options: PredictOptions
    ) -> tuple[ConductanceMaps, np.ndarray | None]:
        """Maps at a pixel that the network knows, and q of each.

        Args:
            card: of the model.
            levelled: cleaned maps.
            options: the surface.

        Returns:
            The maps; and q [rad/nm], float64 [V], 0 where it is unknown, or
            None for a network that does not take it.
        """

    @classmethod
    @abc.abstractmethod
    def least_px(cls, card: ModelCard) -> int:
        """The least side of a frame at the network's pixel [px]."""

    @abc.abstractmethod
    def search(
        self,
        prepared: PreparedMaps,
        options: PredictOptions,
        progress: Progress = no_progress,
    ) -> Detections:
        """What the network finds in prepared maps.

        Args:
            prepared: see `prepare`.
            options: what counts as a detection.
            progress: told the number of tiles done and of all.

        Returns:
            Positions in pixels of `prepared.ready`.
        """

    @abc.abstractmethod
    def warm_up(self) -> None:
        """Ask the signatures once, so that a damaged model shows."""

    @property
    def described(self) -> dict[str, Any]:
        """What a result says of the model, as JSON has it."""
        return {
            "name": self.card.name,
            "made": self.card.made,
            "versions": self.card.versions,
            "q_rad_px": list(self.card.ring_rad_px),
        }

    @classmethod
    def fit(cls, config: Any, **how: Any) -> "Detector":
        """Train a network, write its model directory, and load it.

        Args:
            config: of `stm_keras.training.config`, of this network or another.
            **how: see `stm_keras.training.fit`.

        Raises:
            InputError: see `stm_keras.training.fit`.
        """
        # By name: trainings are built upon detectors, not these upon them.
        importlib.import_module("stm_keras.training").fit(config, **how)
        return cls.load(config.out)

    @classmethod
    def load(cls, directory: str | Path) -> "Detector":
        """Load a model directory; see `stm_keras.load_detector`."""
        return importlib.import_module("stm_keras.detector").load_detector(
            directory
        )

    def save(self, directory: str | Path) -> None:
        """Copy the model directory: card, weights, SavedModel, checksums.

        Args:
            directory: where to; must not exist, or be empty.

        Raises:
            InputError: where it holds anything, or the network was never
                written (`stmk fit` writes it).
        """
        target = Path(directory)
        if self.directory is None:
            raise InputError(
                "The network is in memory alone: `stmk fit --out` writes it."
            )
        if target.exists() and (target.is_file() or any(target.iterdir())):
            raise InputError(f"{target} is not empty: choose another place.")
        with atomic_directory(target) as temporary:
            shutil.copytree(
                self.directory,
                temporary,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("training"),
            )


def check_size(maps: ConductanceMaps, least_px: int, name: str) -> None:
    """Refuse a frame of little but edge.

    Args:
        maps: at the network's pixel.
        least_px: see `Detector.least_px`.
        name: of the model.

    Raises:
        InputError: for a frame that is too small.
    """
    _, height, width = maps.shape
    if min(height, width) < least_px:
        raise InputError(
            f"{maps.source}: at the network's pixel of "
            f"{maps.pixel_nm[0]:.3g} nm the frame is only {height} x {width} "
            f"px, and {name} needs {least_px}: give a larger frame."
        )


def _gaps(found: Detections, ready: ConductanceMaps) -> list[str]:
    missing = 1 - found.search.searched(ready).mean()
    if not missing:
        return []
    where = "every" if found.search.needs_every_map else "any"
    return [
        f"warning: {missing:.1%} of the frame is not measured in {where} map; "
        "nothing is found there"
    ]


class _Signatures(dict[str, Any]):
    """A module's signatures, which keep the module."""

    def __init__(self, module: Any) -> None:
        super().__init__(module.signatures)
        self.module = module


def load_detector_as(
    kinds: Mapping[str, type[Detector]],
    directory: str | Path,
    *,
    trust: bool = False,
) -> Detector:
    """Load a model directory; see `stm_keras.detector.load_detector`.

    Args:
        kinds: of detectors, by the class of their network.
        directory: what `stmk fit --out` wrote.
        trust: see `stm_keras.models.trust.check_trusted`.

    Raises:
        OtherVersionError: where a newer version made it and this one cannot
            use it; a model of an older version works.
        InputError: where it is missing, is no model directory, or is damaged.
    """
    path, card = find_card(directory)
    kind = kinds.get(str(card.network.get("class")))
    if kind is None:
        raise InputError(
            f"The model in {path} has the network "
            f"{card.network.get('class')!r}. Known: {', '.join(kinds)}."
        )
    try:
        if not isinstance(card.selection, kind.keeps):
            raise TypeError(f"the card is not of a {kind.network}")
        check_trusted(path, trust=trust)
        module = tf.saved_model.load(str(path))
        # The module owns the weights: it must live as long as they are used.
        detector = kind(card, _Signatures(module), path)
        detector.warm_up()
    except InputError:
        raise
    except (
        OSError,
        LookupError,  # weights cut short; a signature that is not there
        ValueError,
        TypeError,
        AttributeError,
        tf.errors.OpError,
    ) as error:
        raise _unusable(path, card, error) from error
    return detector


def _unusable(path: Path, card: ModelCard, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    newer = made_by_newer(card.versions)
    if newer:
        return OtherVersionError(
            f"The model in {path} cannot be used ({reason}). {newer}"
        )
    return InputError(
        f"The model in {path} is damaged ({reason}). Restore it or train it "
        "again."
    )
