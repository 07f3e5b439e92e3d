"""Simulated topographs of molecules, which benchmarks tune on.

One map, high cores that are alike, most of them in clusters, least distance
2.7/2k: what real topographs of CO on Cu(111) look like, without a molecule of
them. Lengths of 1/2k play the part of nanometres: on Cu(111) at the Fermi
energy 1/2k is 0.23 nm.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.detections import Detections
from stm_keras.detector import ContextDetector
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.resampling import resample
from stm_keras.preprocessing.preparation import MIDDLE_RAD_PX
from stm_keras.scoring import Score, score_positions
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
)
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    field_rng,
    simulate_field,
)
from stm_keras.studies.bench.real import blank

SEED = 77_000_000
"""Of no training set."""

TOLERANCE_RAD = 1.3
"""0.3 nm on Cu(111), in units of 1/2k."""

BLANKED_TOLERANCE_RAD = 1.6
BLANKED_RADIUS_RAD = 2.15
"""0.37 and 0.5 nm there."""

NOISE = (0.05, 0.3)
"""White and line noise, in units of the map's spread."""

FILE_RAD_PX = 0.35
FIELDS = ScatteringConfig(
    size_px=190,
    n_voltages=2,
    margin_px=60.0,
    density_per_px2=(4e-4, 1.4e-3),
    min_distance_px=2.7 / FILE_RAD_PX,
    clustered_share=0.7,
    cluster_size=(3.0, 10.0),
    cluster_spread_px=(2 / FILE_RAD_PX, 5 / FILE_RAD_PX),
    ring_rad_px=(0.34, 0.36),
    ring_ratio=(1.05, 1.05),
    mean_free_path_px=(100.0, 1000.0),
    cores=CoreRanges(
        amplitude=(5.0, 12.0),
        sigma=(0.4, 0.9),
        shift=(0.0, 0.1),
        anisotropy=(1.0, 1.2),
        alike_share=1.0,
    ),
    decoys=DecoyRanges(density_per_px=(0.0, 0.0)),
)


class Seen(NamedTuple):
    """What was detected in one stack, and what is there.

    Attributes:
        found: detections [px].
        truth: [n, 2] [px].
        tolerance: [px].
    """

    found: Detections
    truth: np.ndarray
    tolerance: float

    def score(self, least: float) -> Score:
        """Of what is at least so probable."""
        kept = self.found.positions[self.found.probabilities >= least]
        return score_positions(kept, self.truth, tolerance=self.tolerance)


def topograph(number: int) -> tuple[ConductanceMaps, np.ndarray]:
    """One map whose "nm" are 1/2k, and the positions [px]."""
    rng = field_rng(SEED, number)
    field = simulate_field(FIELDS, rng)
    image = field.maps[0] / field.maps[0].std()
    white, lines = rng.uniform(*NOISE, 2)
    image = image + white * rng.standard_normal(image.shape)
    image += lines * rng.standard_normal((len(image), 1)) / 3
    ring = 2 * float(field.wave_numbers[0])
    side = ring * FIELDS.size_px
    maps = ConductanceMaps(
        image[None].astype(np.float32), np.zeros(1), (side, side)
    )
    return maps, field.positions


def seen_topograph(
    finder: ContextDetector,
    number: int,
    ring_rad_px: float = MIDDLE_RAD_PX,
    blanked: bool = False,
) -> Seen:
    """What a network detects in one of them.

    Args:
        finder: the network.
        number: of the topograph.
        ring_rad_px: 2k at the pixel that it is brought to [rad/px]; by default
            the one to which `stmk predict` brings files.
        blanked: whether the cores are, as those of the bench's real files.
    """
    maps, truth = topograph(number)
    tolerance = TOLERANCE_RAD
    if blanked:
        shown = blank(
            maps.data, truth, maps.pixel_nm, radius_nm=BLANKED_RADIUS_RAD
        )
        maps = maps.with_data(shown, "cores blanked")
        tolerance = BLANKED_TOLERANCE_RAD
    ready = resample(maps, ring_rad_px)
    pixel = float(np.mean(ready.pixel_nm))
    scale = np.divide(ready.shape[1:], maps.shape[1:])
    return Seen(
        finder.detect(ready.data, np.array([pixel])),
        (truth + 0.5) * scale - 0.5,
        tolerance / ring_rad_px,
    )
