"""A user's own files: one frame, one stack, positions of the bound states."""

from pathlib import Path

import numpy as np
import pytest

from stm_keras.detections import match
from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.measured import paper_rings, read_experiment
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)

REAL = Path("../shared/data/cu111_co/Topo102.sxm")


def save(path, data, bias_v, extent_nm=15.0, unit="S"):
    data = np.asarray(data, np.float32)
    extent = (extent_nm, extent_nm * data.shape[2] / data.shape[1])
    write_npz(
        ConductanceMaps(data, np.asarray(bias_v), extent, "LI X", unit), path
    )
    return path


@pytest.fixture(scope="module")
def experiment():
    """Half the paper's frame on pixels half as wide as the paper's."""
    config = VirtualConfig(
        size_px=80,
        extent_nm=18.75,
        bias_v=(-0.1, 0.0, -0.2),
        n_impurities=10,
        min_distance_px=8.0,
    )
    return simulate_virtual(config, np.random.default_rng(5))


@pytest.fixture
def files(tmp_path, experiment):
    maps, bias = experiment.maps, experiment.bias_v
    return (
        save(tmp_path / "a.npz", maps[:2], bias[:2], 18.75),
        save(tmp_path / "b.npz", maps[2:], bias[2:], 18.75),
        save(
            tmp_path / "bound.npz", experiment.bound_state[None], [-0.52], 18.75
        ),
    )


def test_files_of_one_frame_make_one_stack_by_bias(files, experiment):
    found = read_experiment(files[:2], surface="au111")
    np.testing.assert_allclose(found.maps.bias_v, [-0.2, -0.1, 0.0])
    assert found.maps.extent_nm == (18.75, 18.75)
    assert found.reference_positions.shape == (0, 2)
    both = read_experiment(files[1::-1], surface="au111")
    np.testing.assert_array_equal(found.maps.data, both.maps.data)
    assert all(str(path) in found.maps.source for path in files[:2])


def test_the_rings_come_to_the_middle_of_the_training(files):
    k = read_experiment(files[:2], surface="au111").wave_numbers
    low, high = paper_rings()
    assert (low, high) == pytest.approx((1.32, 1.80), abs=0.01)
    assert k.min() + k.max() == pytest.approx((low + high) / 2, rel=0.03)
    other = read_experiment(
        files[:2], surface="au111", q_range_rad_px=(2.0, 2.2)
    ).wave_numbers
    assert other.min() + other.max() == pytest.approx(2.1, rel=0.03)


def test_without_a_surface_the_ring_is_measured(files):
    told = read_experiment(files[:2], surface="au111")
    measured = read_experiment(files[:2])
    assert any("measured" in line for line in measured.maps.provenance)
    assert measured.maps.shape[1] == pytest.approx(told.maps.shape[1], rel=0.15)


def test_bound_states_become_positions_in_the_new_pixels(files, experiment):
    found = read_experiment(files[:2], bound_state=files[2], surface="au111")
    factor = found.maps.shape[1] / 80
    truth = (experiment.positions + 0.5) * factor - 0.5
    pairs = match(found.reference_positions, truth, 1.0).pairs
    assert len(pairs) >= 0.8 * len(truth)
    assert len(pairs) >= 0.8 * len(found.reference_positions)


def test_refuses_files_that_do_not_belong_together(files, tmp_path):
    a = files[0]
    noise = np.random.default_rng(0).normal(size=(1, 80, 80))
    wide = save(tmp_path / "wide.npz", noise, [0.1], 25.0)
    small = save(tmp_path / "small.npz", noise[:, :40, :40], [0.1], 18.75)
    height = save(tmp_path / "height.npz", noise, [0.1], 18.75, unit="m")
    with pytest.raises(InputError, match=r"wide.npz spans 25 x 25 nm.*18.75"):
        read_experiment([a, wide], surface="au111")
    with pytest.raises(InputError, match=r"small.npz has 40 x 40 px.*80"):
        read_experiment([a, small], surface="au111")
    with pytest.raises(InputError, match="one quantity"):
        read_experiment([a, height], surface="au111")
    for other in (wide, small):
        with pytest.raises(InputError, match="of one frame"):
            read_experiment([a], bound_state=other, surface="au111")
    with pytest.raises(InputError, match=r"a.npz holds 2 maps: --bound-state"):
        read_experiment([a], bound_state=a, surface="au111")
    with pytest.raises(InputError, match=r"a.npz and .*twice.npz both hold"):
        read_experiment([a, save(tmp_path / "twice.npz", noise, [-0.1], 18.75)])
    with pytest.raises(InputError, match="--source"):
        read_experiment([])


def test_refuses_energies_without_waves_and_coarse_pixels(tmp_path):
    noise = np.random.default_rng(0).normal(size=(1, 40, 40))
    below = save(tmp_path / "below.npz", noise, [-0.6])
    coarse = save(tmp_path / "coarse.npz", noise, [0.02], 60.0)
    with pytest.raises(InputError, match="band edge"):
        read_experiment([below], surface="au111")
    with pytest.raises(InputError, match=r"coarse.npz: .* 0\.8\d* nm wide"):
        read_experiment([coarse], surface="au111")


def test_a_real_topograph():
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here")
    found = read_experiment([REAL], surface="cu111")
    assert found.maps.shape == (1, 41, 41)
    assert found.maps.extent_nm == pytest.approx((15.0, 15.0))
