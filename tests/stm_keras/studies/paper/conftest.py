import numpy as np
import pytest

from stm_keras.studies.paper.experiments import Draw


@pytest.fixture(scope="session")
def draw():
    """A frame with five impurities of nearly known places, made by hand."""
    rng = np.random.default_rng(3)
    positions = np.array(
        [[10.2, 12.1], [30.0, 61.4], [45.3, 20.0], [62.2, 70.1], [70.0, 33.3]]
    )
    k = np.linspace(0.66, 0.89, 4)
    row, col = np.mgrid[:80, :80]
    maps = 0.02 * rng.standard_normal((4, 80, 80))
    for y, x in positions:
        r = np.hypot(row - y, col - x)
        maps += np.cos(2 * k[:, None, None] * r + 1.0) / (r + 1)
    return Draw(
        maps=maps.astype(np.float32),
        bias_v=np.linspace(-0.23, 0.02, 4),
        wave_numbers=k,
        bound_state=np.zeros((80, 80), np.float32),
        positions=positions,
        reference=positions + 0.1,
        decoys=np.array([[5.0, 70.0]]),
    )


@pytest.fixture(scope="session")
def perfect(draw):
    """S of a network that knows where they are."""
    layer = np.zeros((80, 80))
    for y, x in draw.positions.round().astype(int):
        layer[y, x] = 5.0
    return layer
