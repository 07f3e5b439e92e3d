import numpy as np
import pytest

from stm_keras.detections import Detections, Search
from stm_keras.io.cropping import crop
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.placement import Placement
from stm_keras.preprocessing.preparation import PredictOptions

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
        search = Search(
            origin_px=(4, 6),
            levelled=part,
            maps=part,
            score=score,
            needs_every_map=True,
            model={"name": "little", "made": {}, "versions": {}},
            options=PredictOptions(surface="cu111").as_fields(),
        )
        return Detections(
            maps,
            positions,
            SCORES[: len(positions)],
            3.5,
            search=search,
            floor=0.2,
            deviations_px=certainty and 0.1 * np.ones_like(positions),
            notes=(*maps.provenance, "a note", "warning: b.sxm: odd"),
            **{k: v for k, v in (certainty or {}).items() if k != "deviations"},
        )

    return make
