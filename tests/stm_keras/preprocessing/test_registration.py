import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.drift import (
    measure_drift,
    move_back,
    register,
)


def _rings(path, seed=0, noise=0.2, side=64):
    """Rings of a rising wave number, exactly where the path puts them."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-8, side + 8, (30, 2))
    k = np.linspace(0.7, 0.8, len(path))
    rows, cols = np.indices((side, side))
    data = np.zeros((len(path), side, side))
    for image, step, number in zip(data, path, k, strict=True):
        for row, col in places + step:
            distance = np.hypot(rows - row, cols - col)
            image += np.cos(2 * number * distance) / (1 + distance)
            image -= 2 * np.exp(-(distance**2) / 3)
    return data + noise * data.std() * rng.normal(size=data.shape)


def _maps(data):
    return ConductanceMaps(data, np.arange(len(data)) * 0.1, (5.0, 5.0))


def _path(kind, n=12):
    rng = np.random.default_rng(3)
    path = {
        "still": np.zeros((n, 2)),
        "linear": np.linspace(0, 1, n)[:, None] * (3.3, -2.1),
        "walk": np.cumsum(rng.normal(0, 0.4, (n, 2)), axis=0),
        "jump": (np.arange(n)[:, None] > 6) * np.array([4.4, -5.7]),
    }[kind]
    return path - path.mean(axis=0)


@pytest.mark.parametrize("kind", ["still", "linear", "walk", "jump"])
def test_a_known_path_is_found_to_a_tenth_of_a_pixel(kind):
    path = _path(kind)
    result = measure_drift(_rings(path))
    assert result.failure == ""
    error = np.sqrt(((result.path_px - path) ** 2).mean())
    assert error < 0.1
    assert error / 4 < result.uncertainty_px < 0.15


def test_moved_maps_are_those_that_did_not_drift():
    path = _path("walk")
    drifted = _rings(path, noise=0.0)
    result = register(_maps(drifted))
    still = _rings(np.zeros_like(path), noise=0.0)
    kept = ~np.isnan(result.data)
    assert kept.mean() > 0.85
    spread = still.std()
    assert np.sqrt(((result.data - still)[kept] ** 2).mean()) < 0.2 * spread
    before = np.sqrt(((drifted - still)[kept] ** 2).mean())
    assert before > 0.4 * spread
    assert result.provenance[-1].startswith("drift taken out: ")
    assert "uncertain by" in result.provenance[-1]


def test_noisy_lines_offsets_gaps_and_units_do_not_mislead():
    path = _path("linear")
    data = _rings(path)
    rng = np.random.default_rng(8)
    data += rng.normal(size=(len(path), 64, 1)) * data.std()
    data[:, 30:33] = np.nan  # a gap that stands still
    data *= np.geomspace(1e-10, 1e-8, len(path))[:, None, None]
    result = measure_drift(data)
    assert result.failure == ""
    assert np.sqrt(((result.path_px - path) ** 2).mean()) < 0.1


def test_noise_is_left_as_it_was_with_a_warning():
    data = np.random.default_rng(0).normal(size=(10, 64, 64))
    result = register(_maps(data))
    assert result.provenance[-1].startswith("warning: drift not taken out")
    np.testing.assert_array_equal(result.data, data.astype(np.float32))


def test_one_foreign_map_stops_it():
    data = _rings(_path("linear"))
    data[5] = np.random.default_rng(0).normal(size=(64, 64))
    assert "map 5" in measure_drift(data).failure


def test_a_reference_shows_the_drift():
    path = _path("linear")
    noise = np.random.default_rng(0).normal(size=(len(path), 64, 64))
    result = register(_maps(noise), reference=_maps(_rings(path)))
    assert result.provenance[-1].startswith("drift taken out: ")
    with pytest.raises(InputError, match="reference has the shape"):
        register(_maps(noise), reference=_maps(noise[:3]))


@pytest.mark.parametrize("shape", [(1, 64, 64), (4, 20, 64)])
def test_too_little_to_go_by(shape):
    data = np.random.default_rng(0).normal(size=shape)
    result = register(_maps(data))
    assert "warning: drift not taken out" in result.provenance[-1]
    np.testing.assert_array_equal(result.data, data.astype(np.float32))


@settings(deadline=None, max_examples=30)
@given(
    step=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    seed=st.integers(0, 10**6),
)
def test_nothing_is_made_up_when_moving(step, seed):
    """A pixel has a value only where all around its origin was measured."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(20, 24))
    image[rng.random(image.shape) < 0.03] = np.nan
    moved = move_back(image[None], np.array([step]))[0]
    for row, col in np.argwhere(~np.isnan(moved)):
        down, right = row + step[0], col + step[1]
        assert -1e-6 < down < 19 + 1e-6
        assert -1e-6 < right < 23 + 1e-6
        rows = {int(np.floor(down + 1e-6)), int(np.ceil(down - 1e-6))}
        cols = {int(np.floor(right + 1e-6)), int(np.ceil(right - 1e-6))}
        assert not any(np.isnan(image[r, c]) for r in rows for c in cols)


def test_whole_pixels_are_moved_exactly():
    image = np.random.default_rng(0).normal(size=(20, 24))
    moved = move_back(image[None], np.array([[2.0, -3.0]]))[0]
    np.testing.assert_allclose(moved[:18, 3:], image[2:, :-3], atol=1e-6)
    assert np.isnan(moved[18:]).all()
    assert np.isnan(moved[:, :3]).all()
