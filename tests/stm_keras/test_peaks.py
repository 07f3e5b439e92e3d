import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_keras import baselines
from stm_keras.baselines import find_peaks
from stm_keras.errors import InputError

layers = arrays(
    np.float64,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(-3, 3).map(float),
)


def gaussian(shape, centre, sigma):
    row, col = np.indices(shape)
    square = (row - centre[0]) ** 2 + (col - centre[1]) ** 2
    return np.exp(-square / (2 * sigma**2))


def plateaus_by_flooding(layer):
    """Maxima by the definition: flood each pixel's plateau, look around it."""
    found, seen = [], set()
    for start in np.ndindex(layer.shape):
        if start in seen:
            continue
        plateau, todo, is_peak = {start}, [start], True
        while todo:
            row, col = todo.pop()
            for r in range(max(row - 1, 0), min(row + 2, layer.shape[0])):
                for c in range(max(col - 1, 0), min(col + 2, layer.shape[1])):
                    if layer[r, c] > layer[start]:
                        is_peak = False
                    if layer[r, c] == layer[start] and (r, c) not in plateau:
                        plateau.add((r, c))
                        todo.append((r, c))
        seen |= plateau
        if is_peak and layer[start] > layer.min():
            found.append(plateau)
    return found


def test_doctest():
    result = doctest.testmod(baselines)
    assert result.attempted > 5
    assert result.failed == 0


@settings(deadline=None, max_examples=60)
@given(layers)
def test_one_peak_for_each_plateau(layer):
    expected = plateaus_by_flooding(layer)
    found = find_peaks(layer, refine=False).positions
    pixels = [tuple(p) for p in found.astype(int).tolist()]
    assert len(pixels) == len(expected)
    for plateau in expected:
        assert len(plateau.intersection(pixels)) == 1


@settings(deadline=None, max_examples=60)
@given(layers, st.integers(1, 4))
def test_order_distance_and_limits(layer, distance):
    everything = find_peaks(layer, min_distance_px=distance, refine=False)
    positions, scores = everything
    assert (np.diff(scores) <= 0).all()
    gaps = np.abs(positions[:, None] - positions[None]).max(axis=2)
    assert (gaps[~np.eye(len(gaps), dtype=bool)] > distance).all()
    first = find_peaks(
        layer, min_distance_px=distance, refine=False, max_peaks=2
    )
    np.testing.assert_array_equal(first.positions, positions[:2])
    high = find_peaks(
        layer, min_distance_px=distance, refine=False, threshold=0
    )
    np.testing.assert_array_equal(high.scores, scores[scores > 0])


@settings(deadline=None, max_examples=60)
@given(layers, st.floats(0.1, 10), st.floats(-5, 5))
def test_refinement_stays_in_the_pixel_and_ignores_scale(layer, scale, offset):
    refined = find_peaks(layer)
    whole = find_peaks(layer, refine=False)
    shifts = refined.positions - whole.positions
    assert (np.abs(shifts) <= 0.5).all()
    np.testing.assert_array_equal(refined.scores, whole.scores)
    other = find_peaks(layer * scale + offset)
    np.testing.assert_allclose(
        other.positions, refined.positions, atol=1e-6, rtol=0
    )


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.floats(-0.45, 0.45), st.floats(-0.45, 0.45)),
    st.floats(0.2, 3.0),
    st.floats(0.2, 3.0),
    st.floats(-0.4, 0.4),
)
def test_a_paraboloid_is_refined_exactly(shift, a, b, tilt):
    row, col = np.indices((7, 7)) - 3.0
    row, col = row - shift[0], col - shift[1]
    layer = -(a * row**2 + b * col**2 + 2 * tilt * np.sqrt(a * b) * row * col)
    found = find_peaks(layer)
    top = np.argmax(layer)
    distance = np.subtract(np.unravel_index(top, layer.shape), 3) - shift
    if (np.abs(distance) <= 0.5).all():
        np.testing.assert_allclose(
            found.positions[0], np.add(shift, 3), atol=1e-9
        )


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.floats(4.5, 6.5), st.floats(4.5, 6.5)), st.floats(1.0, 3.0))
def test_a_gaussian_is_refined(centre, sigma):
    layer = gaussian((12, 12), centre, sigma)
    found = find_peaks(layer)
    whole = find_peaks(layer, refine=False)
    assert len(found.positions) == 1
    error = np.abs(found.positions[0] - centre).max()
    assert error < 0.15 / sigma**2
    assert error <= np.abs(whole.positions[0] - centre).max() + 1e-9


def test_refinement_at_the_border_and_beside_nan_uses_the_other_axis():
    layer = gaussian((9, 9), (0.0, 4.3), 2.0)
    np.testing.assert_allclose(
        find_peaks(layer).positions, [[0.0, 4.3]], atol=0.02
    )
    layer = gaussian((9, 9), (4.3, 4.0), 2.0)
    layer[:, 5:] = np.nan
    np.testing.assert_allclose(
        find_peaks(layer).positions, [[4.3, 4.0]], atol=0.02
    )


def test_no_fit_without_a_maximum():
    # A ridge falls off to both sides only: the fit has no maximum along it.
    layer = np.zeros((5, 9))
    layer[2, 2:7] = 1.0
    np.testing.assert_allclose(find_peaks(layer).positions, [[2.0, 4.0]])


def test_a_plateau_of_two_pixels_is_refined_to_its_middle():
    layer = np.zeros((5, 6))
    layer[2, 2:4] = 1.0
    np.testing.assert_allclose(find_peaks(layer).positions, [[2.0, 2.5]])


@pytest.mark.parametrize("corner", [(0, 0), (0, 6), (4, 0), (4, 6), (0, 3)])
def test_peaks_on_the_border(corner):
    layer = np.zeros((5, 7))
    layer[corner] = 1.0
    np.testing.assert_allclose(find_peaks(layer).positions, [corner], atol=1e-9)


def test_nan_is_masked_and_hides_nothing():
    layer = np.zeros((7, 7))
    layer[3, 3], layer[3, 4] = 5.0, 1.0
    layer[3, 3] = np.nan
    found = find_peaks(layer, refine=False)
    np.testing.assert_array_equal(found.positions, [[3, 4]])
    assert len(find_peaks(np.full((4, 4), np.nan)).scores) == 0


def test_a_flat_layer_has_no_peak_with_or_without_nan():
    layer = np.full((5, 5), 2.5)
    assert len(find_peaks(layer).scores) == 0
    layer[0, 0] = np.nan
    assert len(find_peaks(layer).scores) == 0


def test_exclude_takes_the_peak_but_not_its_slope():
    layer = gaussian((9, 9), (4, 4), 2.0)
    exclude = np.zeros((9, 9), dtype=bool)
    exclude[3:6, 3:6] = True
    assert len(find_peaks(layer, exclude=exclude).scores) == 0
    assert len(find_peaks(layer, exclude=~exclude).scores) == 1


def test_equal_peaks_come_in_reading_order():
    layer = np.zeros((9, 9))
    layer[7, 1] = layer[1, 7] = layer[1, 1] = 1.0
    np.testing.assert_allclose(
        find_peaks(layer).positions, [[1, 1], [1, 7], [7, 1]]
    )


def test_float32_and_the_input_stays_as_it_is():
    layer = gaussian((9, 9), (4.2, 4.2), 1.5).astype(np.float32)
    layer[0, 0] = np.nan
    before = layer.copy()
    found = find_peaks(layer)
    assert found.positions.dtype == found.scores.dtype == np.float64
    np.testing.assert_array_equal(layer, before)


@pytest.mark.parametrize(
    ("layer", "options", "words"),
    [
        (np.zeros(5), {}, "shape"),
        (np.full((3, 3), np.inf), {}, r"\+inf"),
        (np.zeros((3, 3)), {"min_distance_px": 0}, "min_distance_px"),
        (np.zeros((3, 3)), {"max_peaks": 0}, "max_peaks"),
        (np.zeros((3, 3)), {"exclude": np.zeros((2, 3))}, "exclude"),
    ],
)
def test_bad_input(layer, options, words):
    with pytest.raises(InputError, match=words):
        find_peaks(layer, **options)
