import numpy as np
import pytest

from stm_keras.detections import Found
from stm_keras.detector.card import ModelCard
from stm_keras.finding.prediction import Prediction, PredictOptions
from stm_keras.io.cropping import crop
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.placement import Placement

CARD = ModelCard(
    name="little",
    network={},
    command="stmk fit",
    data={},
    training={},
    tile_px=20,
    reach_px=3,
    ring_rad_px=(1.3, 1.8),
    thresholds={1: 3.5},
    floors={1: 0.2},
    scores={},
    made={"date": "2026-11-25"},
    versions={"stm-keras": "0.1.0"},
)
POSITIONS = np.array([[12.25, 30.5], [5.0, 8.75], [33.125, 16.0]])
SCORES = np.array([9.5, 6.25, 4.0])


@pytest.fixture
def prediction():
    """What was found in rows 4:40, columns 6:50 of a frame of 40 x 50 px."""

    def make(
        positions=POSITIONS, *, placed=True, hole=True, unit="m", certainty=None
    ):
        rng = np.random.default_rng(3)
        data = rng.normal(size=(2, 40, 50))
        if hole:
            data[1, 20:22] = np.nan
        maps = ConductanceMaps(
            data,
            [0.02, -0.1],
            (8.0, 5.0),
            channel="Z",
            unit=unit,
            source="scan µ.sxm",
            provenance=("warning: unfinished: half a scan", "read"),
            placement=Placement((100.0, 50.0), 90.0) if placed else None,
        )
        part = crop(maps, (4, 40), (6, 50)).sorted_by_bias()
        score = rng.normal(size=(18, 11)).astype(np.float32)
        score[0, 0] = np.nan
        return Prediction(
            maps,
            (4, 6),
            part,
            part,
            Found(
                score,
                positions,
                SCORES[: len(positions)],
                3.5,
                0.2,
                **(certainty or {}),
            ),
            positions,
            certainty and 0.1 * np.ones_like(positions),
            PredictOptions(surface="cu111"),
            CARD,
            (*maps.provenance, "a note", "warning: b.sxm: odd"),
        )

    return make
