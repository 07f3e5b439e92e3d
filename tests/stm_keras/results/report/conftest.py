from dataclasses import replace

import numpy as np
import pytest

from stm_keras.detections import Detections


@pytest.fixture
def sure(prediction) -> Detections:
    """Three impurities of a known probability, and two candidates more."""
    found = prediction(certainty={"expected_false": 0.5})
    found = replace(
        found,
        scores=np.array([0.98, 0.9, 0.62]),
        threshold=0.62,
        physics={
            "species": np.array(["A", "B", "A"]),
            "phase_rad": np.array([0.5, np.nan, -1.25]),
        },
    )
    left_out = replace(
        found,
        positions_px=np.array([[20.0, 20.0], [28.0, 41.0]]),
        scores=np.array([0.4, 0.05]),
        deviations_px=np.full((2, 2), 0.3),
        physics={
            "species": np.array(["B", "B"]),
            "phase_rad": np.array([np.nan, 0.0]),
        },
    )
    return replace(found, left_out=left_out)
