import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.nn.decoding import find_detections


def empty(height=8, width=9):
    output = np.zeros((height, width, 5))
    output[..., 0], output[..., 3:] = -12.0, 0.2
    return output


def logit(p):
    return np.log(p / (1 - p))


@given(
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.integers(0, 7),
    st.integers(0, 8),
)
def test_one_sure_pixel(d_row, d_col, row, col):
    output = empty()
    output[row, col, :3] = logit(0.9), d_row, d_col
    found = find_detections(output, 0.5)
    np.testing.assert_allclose(
        found.positions, [[row + d_row, col + d_col]], atol=1e-3
    )
    np.testing.assert_allclose(found.probabilities, 0.9, atol=1e-3)
    np.testing.assert_allclose(found.deviations, 0.2, atol=2e-2)


def test_pixels_that_share_an_impurity_are_joined():
    output = empty()
    output[3, 4, :3] = logit(0.45), 0.0, 0.5
    output[3, 5, :3] = logit(0.45), 0.0, -0.5
    found = find_detections(output, 0.5)
    np.testing.assert_allclose(found.positions, [[3, 4.5]], atol=1e-3)
    np.testing.assert_allclose(found.probabilities, 1 - 0.55**2, atol=1e-3)
    assert len(find_detections(output, 0.8).positions) == 0


def test_two_impurities_on_neighbouring_pixels_stay_two():
    output = empty()
    output[3, 4, :3] = logit(0.9), 0.0, -0.5
    output[3, 6, :3] = logit(0.8), 0.0, 0.2
    found = find_detections(output, 0.5)
    np.testing.assert_allclose(found.positions, [[3, 3.5], [3, 6.2]], atol=1e-3)
    assert (np.diff(found.probabilities) < 0).all()


def test_disagreement_shows_in_the_deviation():
    output = empty()
    output[3, 4, :3] = logit(0.6), 0.4, 0.0
    output[3, 5, :3] = logit(0.6), -0.4, -1.0
    found = find_detections(output, 0.5)
    assert found.deviations[0, 0] > 0.4


@pytest.mark.parametrize(
    ("row", "inside"), [(-0.55, 0), (-0.45, 1), (7.45, 1), (7.55, 0)]
)
def test_what_lies_beside_the_frame_is_left_out(row, inside):
    output = empty()
    pixel = int(np.clip(round(row), 0, 7))
    output[pixel, 4, :3] = logit(0.9), row - pixel, 0.0
    # A neighbour's second, weaker word of the same impurity.
    output[pixel, 6, :3] = logit(0.6), np.clip(row, 0, 7) - pixel, -1.5
    assert len(find_detections(output, 0.5).positions) == inside


def test_nothing_and_nonsense():
    assert find_detections(empty(), 0.5).positions.shape == (0, 2)
    with pytest.raises(InputError, match=r"\[H, W, 5\]"):
        find_detections(np.zeros((3, 3)), 0.5)
    with pytest.raises(InputError, match="threshold"):
        find_detections(empty(), 1.0)
