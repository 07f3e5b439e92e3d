import numpy as np
import pytest

from stm_keras.io.selection import differentiate


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_biases", [4, 7])
def test_a_hole_stays_where_it_is(hole, n_biases):
    """It spoils the points that rest on it, and no other pixel."""
    bias = np.linspace(-0.3, 0.3, n_biases)
    current = np.tile(2e-9 * bias[:, None, None], (1, 2, 3))
    current[1, 0, 0] = hole
    slope, _ = differentiate(current, bias)
    assert not np.isfinite(slope[:2, 0, 0]).any()
    slope[:, 0, 0] = 2e-9
    np.testing.assert_allclose(slope, 2e-9)
