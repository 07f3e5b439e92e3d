import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.simulation.bound_states import BoundStateConfig
from stm_keras.simulation.instrument import (
    BackgroundTilt,
    Drift,
    EnergyResolution,
    OneOverFNoise,
    ScanLineOffsets,
    TipBlur,
    TipJumps,
    WhiteNoise,
)
from stm_keras.simulation.ranges import draw, spread
from stm_keras.simulation.short_range import CoreRanges, DecoyRanges

OWNERS_AND_RANGES = [
    (WhiteNoise, "amplitude"),
    (OneOverFNoise, "amplitude"),
    (OneOverFNoise, "exponent"),
    (ScanLineOffsets, "amplitude"),
    (TipJumps, "jumps_per_map"),
    (TipJumps, "offset"),
    (TipJumps, "contrast"),
    (BackgroundTilt, "amplitude"),
    (Drift, "extent_px"),
    (TipBlur, "sigma_px"),
    (TipBlur, "anisotropy"),
    (EnergyResolution, "temperature_k"),
    (EnergyResolution, "modulation_rms_v"),
    (CoreRanges, "amplitude"),
    (CoreRanges, "damping_radius"),
    (CoreRanges, "shift"),
    (DecoyRanges, "sigma"),
    (DecoyRanges, "density_per_px"),
    (BoundStateConfig, "amplitude"),
    (BoundStateConfig, "noise"),
]


@pytest.mark.parametrize(("owner", "name"), OWNERS_AND_RANGES)
@pytest.mark.parametrize(
    "bad", [(0.5, 0.2), (-1.0, 1.0), (0.0, math.inf), (math.nan, 1.0), 0.5]
)
def test_a_bad_range_is_refused_by_name(owner, name, bad):
    with pytest.raises(InputError, match=f"{owner.__name__}: `{name}`"):
        owner(**{name: bad})


@given(st.floats(-5, 5), st.floats(0, 5), st.integers(0, 99))
def test_draws_lie_in_the_range(low, width, seed):
    values = draw((low, low + width), np.random.default_rng(seed), 20)
    assert (values >= low).all()
    assert (values <= low + width).all()


def test_the_spread_leaves_out_the_mean_of_each_map():
    maps = np.random.default_rng(0).normal(0, 3, (4, 50, 50))
    offset = np.arange(4)[:, None, None] * 100
    assert spread(maps + offset) == pytest.approx(spread(maps))
    assert spread(maps) == pytest.approx(3, rel=0.03)
