import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.studies.paper.experiments import (
    draw_experiment,
    load_experiments,
    surrogate,
)
from stm_keras.studies.paper.settings import CORES, ExperimentSettings

SMALL = ExperimentSettings(n_voltages=2, n_shown=1, n_unseen=1, n_tuning=0)


@given(seed=st.integers(0, 2**31))
def test_a_surrogate_keeps_every_spectrum_and_mean(seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(2.0, 1.0, (3, 16, 20)).astype(np.float32)
    fake = surrogate(maps, rng)
    before, after = (np.abs(np.fft.rfft2(m)) for m in (maps, fake))
    # Where a term is its own conjugate the phase can only be 0 or pi.
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(
        fake.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), rtol=1e-4
    )


def test_a_surrogate_has_no_rings_where_they_were(draw):
    fake = surrogate(draw.maps, np.random.default_rng(1))
    at = tuple(draw.positions.round().astype(int).T)
    loud = np.abs(draw.maps[:, *at]).mean() / draw.maps.std()
    quiet = np.abs(fake[:, *at]).mean() / fake.std()
    assert loud > 2 * quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


def test_experiments_are_simulated_once_and_read_again(folder):
    first = load_experiments(SMALL, folder)
    times = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    again = load_experiments(SMALL, folder)
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == times
    for one, other in zip(first.shown[0], again.shown[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_shown_and_unseen_are_different_experiments(folder):
    experiments = load_experiments(SMALL, folder)
    shown, unseen = experiments.shown[0], experiments.unseen[0]
    assert not np.array_equal(shown.maps, unseen.maps)
    assert shown.tiles.shape == (16, 2, 20, 20)


def test_the_reference_is_near_the_truth(folder):
    draw = load_experiments(SMALL, folder).shown[0]
    gaps = np.linalg.norm(draw.reference[:, None] - draw.positions, axis=-1)
    assert np.median(gaps.min(axis=1)) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_cores_change_the_maps_and_not_the_impurities(core):
    plain = draw_experiment(SMALL, 0)
    other = draw_experiment(ExperimentSettings(n_voltages=2, core=core), 0)
    np.testing.assert_array_equal(plain.positions, other.positions)
    assert np.array_equal(plain.maps, other.maps) == (core == "default")


@pytest.mark.parametrize(
    "wrong", [{"core": "soft"}, {"difficulty": "easy"}, {"n_voltages": 1}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        ExperimentSettings(**wrong)
