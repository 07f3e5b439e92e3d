"""A stack of maps made ready for a network."""

from dataclasses import dataclass

import numpy as np

from stm_keras.finding.predict_options import Companions, PredictOptions
from stm_keras.finding.preparation import (
    to_known_pixel,
    to_likely_pixel,
    to_network_pixel,
)
from stm_keras.finding.rings import told_rings
from stm_keras.io.cleaning.cleaning import clean
from stm_keras.io.cropping import crop, keep_biases
from stm_keras.io.maps import ConductanceMaps
from stm_keras.model_card import ModelCard


@dataclass(frozen=True, eq=False)
class PreparedMaps:
    """Maps as a network takes them, and what they were made of.

    Attributes:
        origin_px: row and column in the file of the part's top left pixel.
        part: the part of the file's maps that is looked at, by rising bias.
        levelled: the same, cleaned.
        ready: the same at the network's pixel.
        ring_per_nm: what the network is told of 2k [rad/nm], float64 [V], 0
            where it is not known; None for one that is told nothing.
    """

    origin_px: tuple[int, int]
    part: ConductanceMaps
    levelled: ConductanceMaps
    ready: ConductanceMaps
    ring_per_nm: np.ndarray | None

    @property
    def scale(self) -> np.ndarray:
        """The file's pixels in one of the network's, rows and columns."""
        return np.divide(self.ready.pixel_nm, self.part.pixel_nm)

    def to_file_pixels(self, positions: np.ndarray) -> np.ndarray:
        """Positions [n, 2] at the network's pixel, in pixels of the file."""
        positions = (positions + 0.5) * self.scale - 0.5
        last = np.asarray(self.part.shape[1:]) - 0.5
        # A maximum at the border may be refined to beyond the frame.
        return np.clip(positions, -0.5, last) + self.origin_px


def prepare_maps(
    maps: ConductanceMaps,
    card: ModelCard,
    options: PredictOptions,
    companions: Companions | None = None,
) -> PreparedMaps:
    """Cut, clean and resample maps for a model.

    Args:
        maps: as they were read.
        card: of the model.
        options: region, biases, cleaning and surface.
        companions: what the cleaning may need beside the maps.

    Raises:
        InputError: see `crop`, `clean` and `to_network_pixel`.
    """
    beside = companions or Companions()
    rows, cols = options.region.spans(maps)
    part = _part(maps, options)
    levelled = clean(
        part,
        options.cleaning,
        current=beside.current and _part(beside.current, options),
        reference=beside.reference and _part(beside.reference, options),
    )
    origin = rows[0], cols[0]
    if card.detection is None:
        ready = to_network_pixel(levelled, card.ring_rad_px, options.surface)
        return PreparedMaps(origin, part, levelled, ready, None)
    if not options.tell_rings:
        ready = to_likely_pixel(levelled, card.ring_rad_px, options.surface)
        untold = np.zeros(ready.shape[0])
        return PreparedMaps(origin, part, levelled, ready, untold)
    ready = to_known_pixel(levelled, card.ring_rad_px, options.surface)
    ring, note = told_rings(levelled, options.surface)
    ready = ready.with_data(ready.data, note)
    return PreparedMaps(origin, part, levelled, ready, ring)


def _part(maps: ConductanceMaps, options: PredictOptions) -> ConductanceMaps:
    """What is to be looked at, by rising bias."""
    if options.bias_range_v is not None:
        maps = keep_biases(maps, options.bias_range_v)
    return crop(maps, *options.region.spans(maps)).sorted_by_bias()
