import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from stm_keras.bound_states import Mixture, Spots, find_bound_states, render
from stm_keras.errors import InputError
from stm_keras.simulation.bound_states import BoundStateConfig, bound_state_map

SHAPE = (48, 48)
GRID = np.array(
    [[9.2, 8.7], [10.0, 30.4], [24.6, 18.1], [36.3, 39.8], [38.0, 12.5]]
)


def rng(seed=0):
    return np.random.default_rng(seed)


def spots_at(places, amplitude=1.0, width=1.3):
    places = np.asarray(places, float).reshape(-1, 2)
    n = len(places)
    return Spots(places, np.full(n, amplitude), np.full(n, width))


def image_of(places, noise=0.03, seed=0, **spot):
    return render(spots_at(places, **spot), SHAPE) + rng(seed).normal(
        0, noise, SHAPE
    )


def distances(found, true):
    """Distances of pairs matched one to one; all of both must have one."""
    assert len(found) == len(true)
    apart = np.linalg.norm(found[:, None] - true, axis=-1)
    return apart[linear_sum_assignment(apart)]


def test_spots_are_found_with_place_amplitude_and_width():
    found = find_bound_states(image_of(GRID, amplitude=0.8))
    assert distances(found.positions, GRID).max() < 0.12
    np.testing.assert_allclose(found.amplitudes, 0.8, rtol=0.15)
    np.testing.assert_allclose(found.widths, 1.3, rtol=0.15)
    assert found.background.shape == SHAPE
    assert np.abs(found.background).max() < 0.03


def test_spots_come_in_the_order_of_rows():
    rows = find_bound_states(image_of(GRID)).positions[:, 0]
    assert (np.diff(rows) > 0).all()


def test_one_spot():
    found = find_bound_states(image_of([[20.3, 31.8]]))
    assert distances(found.positions, np.array([[20.3, 31.8]])).max() < 0.1


@pytest.mark.parametrize("seed", range(8))
def test_pure_noise_holds_no_spot(seed):
    found = find_bound_states(rng(seed).normal(0, 1, SHAPE))
    assert found.positions.shape == (0, 2)
    assert np.isfinite(found.bic)


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_a_constant_map_holds_no_spot(level):
    assert not len(find_bound_states(np.full(SHAPE, level)).positions)


def test_smooth_background_is_not_taken_for_spots():
    row, col = np.mgrid[: SHAPE[0], : SHAPE[1]]
    hill = np.exp(-((row - 20) ** 2 + (col - 30) ** 2) / (2 * 15**2))
    found = find_bound_states(image_of(GRID) + hill + 0.01 * row)
    assert distances(found.positions, GRID).max() < 0.25


def test_areas_that_were_not_measured_are_left_out():
    image = image_of(GRID)
    image[:, 28:34] = np.nan  # over the second spot
    image[0:2] = np.inf
    found = find_bound_states(image)
    assert distances(found.positions, GRID[[0, 2, 3, 4]]).max() < 0.15
    assert np.isfinite(found.background).all()


def test_a_spot_half_hidden_is_not_moved():
    image = image_of([[24.0, 20.0]], noise=0.02)
    image[:, 21:30] = np.nan
    found = find_bound_states(image)
    assert distances(found.positions, np.array([[24.0, 20.0]])).max() < 0.3


def test_a_spot_at_the_edge_is_not_moved_inwards():
    true = np.array([[0.0, 20.0], [25.0, 47.2]])
    found = find_bound_states(image_of(true, noise=0.02))
    assert distances(found.positions, true).max() < 0.15


def test_spots_beyond_the_frame_are_not_reported():
    assert not len(find_bound_states(image_of([[-1.5, 20.0]])).positions)


@pytest.mark.parametrize("apart", [3.0, 3.5, 5.0])
@pytest.mark.parametrize("angle", [0.0, 0.8])
def test_close_pairs_are_told_apart(apart, angle):
    step = apart / 2 * np.array([np.sin(angle), np.cos(angle)])
    true = np.array([[24.2, 23.7]]) + np.array([-step, step])
    found = find_bound_states(image_of(true, width=1.2))
    assert distances(found.positions, true).max() < 0.25


def test_a_dim_spot_beside_a_bright_one():
    image = image_of([[20.0, 20.0]]) + image_of([[20.0, 26.0]], amplitude=0.25)
    true = np.array([[20.0, 20.0], [20.0, 26.0]])
    assert distances(find_bound_states(image).positions, true).max() < 0.4


@pytest.mark.parametrize("factor", [1e-12, 1e6])
def test_the_unit_of_the_map_does_not_count(factor):
    plain, scaled = (find_bound_states(image_of(GRID) * f) for f in (1, factor))
    np.testing.assert_allclose(scaled.positions, plain.positions, atol=1e-6)
    np.testing.assert_allclose(
        scaled.amplitudes, plain.amplitudes * factor, rtol=1e-6
    )


def test_turning_the_map_turns_the_positions():
    image = image_of(GRID)
    plain = find_bound_states(image).positions
    turned = find_bound_states(image.T).positions[:, ::-1]
    assert distances(turned, plain).max() < 1e-3


def test_an_em_step_moves_towards_the_truth_and_keeps_it():
    true = spots_at(GRID)
    image = render(true, SHAPE)
    mixture = Mixture(image, np.zeros(SHAPE), 0.01, (0.6, 3.0))
    kept = mixture.step(true)
    np.testing.assert_allclose(kept.positions, GRID, atol=1e-3)
    np.testing.assert_allclose(kept.amplitudes, 1.0, rtol=1e-3)
    moved = true._replace(positions=GRID + 0.4)
    after = mixture.step(moved)
    before = np.linalg.norm(moved.positions - GRID, axis=1)
    assert (np.linalg.norm(after.positions - GRID, axis=1) < before).all()


def test_virtual_experiments_are_read_as_the_paper_reads_its_own():
    paired = found_count = true_count = 0
    squared = 0.0
    for seed in range(4):
        draw = rng(seed)
        true = draw.uniform(3, 45, (40, 2))
        apart = np.linalg.norm(true[:, None] - true, axis=-1)
        apart += np.triu(np.full((40, 40), 99.0))
        true = true[apart.min(axis=1) > 4.0][:12]
        config = BoundStateConfig(noise=(0.04, 0.04))
        image = bound_state_map(true, SHAPE, 0.46875, draw, config)
        found = find_bound_states(image).positions
        gaps = np.linalg.norm(found[:, None] - true, axis=-1)
        pairs = linear_sum_assignment(np.where(gaps < 1, gaps, 1e3))
        near = gaps[pairs][gaps[pairs] < 1]
        paired += len(near)
        squared += float((near**2).sum())
        found_count += len(found)
        true_count += len(true)
    assert paired / true_count > 0.94
    assert paired / found_count > 0.94
    assert np.sqrt(squared / paired) < 0.2


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros(50), {}, "shape"),
        (np.zeros((5, 5)), {}, "25 measured pixels"),
        (np.full(SHAPE, np.nan), {}, "0 measured pixels"),
        (np.zeros(SHAPE), {"width_px": (3.0, 1.0)}, "width_px"),
        (np.zeros(SHAPE), {"width_px": (-1.0, 1.0)}, "width_px"),
        (np.zeros(SHAPE), {"background_px": 2.0}, "background_px"),
    ],
)
def test_bad_input_is_refused(image, options, message):
    with pytest.raises(InputError, match=message):
        find_bound_states(image, **options)
