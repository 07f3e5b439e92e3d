"""Lattices, pickup and noise are no rings; scattered waves are."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import level
from stm_keras.qpi.dispersion import given_q, visible_rings
from stm_keras.qpi.ring import measure_ring
from stm_keras.qpi.spots import MOST_Q_PER_NM, ring_or_spots
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)

_SIDE_NM = 14.0


def lattice(q_per_nm, *, faults_px, shift_nm=0.05, directions=(10, 70, 130)):
    """Plane waves whose atoms are shifted as by faults of a lattice."""
    rng = np.random.default_rng(0)
    n = 256
    y, x = np.mgrid[:n, :n] * _SIDE_NM / n
    right, down = (
        gaussian_filter(rng.normal(size=(n, n)), faults_px) for _ in range(2)
    )
    x, y = (
        axis + shift_nm * shift / shift.std()
        for axis, shift in ((x, right), (y, down))
    )
    image = 0.01 * rng.normal(size=(n, n))
    for direction in np.radians(directions):
        along = x * np.cos(direction) + y * np.sin(direction)
        image += np.cos(q_per_nm * along)
    return ConductanceMaps(image[None], [0.1], (_SIDE_NM, _SIDE_NM))


@pytest.mark.parametrize(
    ("q_per_nm", "faults_px", "said"),
    [
        (15, 12, "3 directions: a lattice"),
        (15, 6, "of a lattice at 15.1 rad/nm"),  # what its faults scatter
        (5, 6, "of a lattice at 5"),  # molecules
        (15, 4, "beyond any surface state's"),
    ],
)
def test_a_lattice_is_no_ring(q_per_nm, faults_px, said):
    maps = lattice(q_per_nm, faults_px=faults_px)
    assert measure_ring(maps.data[0], maps.pixel_nm) is not None
    ring, spots = ring_or_spots(maps)
    assert ring is None
    assert said in spots


@pytest.mark.parametrize("difficulty", ["typical", "hard"])
def test_scattered_waves_are_a_ring(difficulty):
    config = VirtualConfig(difficulty=difficulty, bias_v=(-0.2, -0.1))
    for seed in range(3):
        made = simulate_virtual(config, np.random.default_rng(seed))
        for image, bias in zip(made.maps, made.bias_v, strict=True):
            extent = (config.extent_nm, config.extent_nm)
            maps = level(ConductanceMaps(image[None], [bias], extent), "lines")
            plain = measure_ring(maps.data[0], maps.pixel_nm)
            ring, spots = ring_or_spots(maps)
            assert spots == ""
            assert (ring is None) == (plain is None)
            assert ring is None or ring.q_per_nm == plain.q_per_nm


def test_a_ring_below_a_lattice_is_found():
    """Atoms at 29 rad/nm beside the waves of a virtual experiment."""
    config = VirtualConfig(difficulty="typical", bias_v=(-0.2,))
    made = simulate_virtual(config, np.random.default_rng(1))
    n, side = made.maps.shape[-1], config.extent_nm
    waves = ConductanceMaps(made.maps, made.bias_v, (side, side))
    expected, _ = ring_or_spots(waves)
    assert expected is not None
    assert expected.q_per_nm < MOST_Q_PER_NM
    y, x = np.mgrid[:n, :n] * side / n
    wave = 2.5 * expected.q_per_nm
    rng = np.random.default_rng(2)
    shift = gaussian_filter(rng.normal(size=(2, n, n)), (0, 5, 5))
    atoms = sum(
        np.cos(wave * ((x + 0.3 * shift[0]) * c + (y + 0.3 * shift[1]) * s))
        for c, s in ((1, 0), (0.5, 0.866), (-0.5, 0.866))
    )
    both = waves.with_data(
        waves.data + 3 * waves.data.std() * atoms, "with atoms"
    )
    ring, _ = ring_or_spots(both)
    assert ring is not None
    assert ring.q_per_nm == pytest.approx(expected.q_per_nm, rel=0.05)


@pytest.fixture
def shared_file():
    """The path of a real file beside the repository, or a skip."""

    def find(name):
        path = Path(__file__).resolve().parents[4] / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"the real file ../shared/data/{name} is not here")
        return path

    return find


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("readers/2014Mar01-093225--7_100.Z_mtrx", "a lattice of atoms"),
        ("ag111_corral/corral_045mV.dat", "beyond any surface state's 25"),
        ("ag111_corral/corral_008mV.dat", "in one direction"),
        ("cu111_co/Topo002.sxm", ""),
        ("cu111_co/Topo312.sxm", ""),
    ],
)
def test_real_maps(shared_file, name, said):
    ring, spots = ring_or_spots(level(read_maps(shared_file(name)), "lines"))
    assert (ring is None) == bool(said)
    assert said in spots


def test_a_lattice_is_no_ring_to_predict_with():
    maps = lattice(15.0, faults_px=12)
    assert visible_rings(maps) == []
    assert (given_q(maps, None)[0] == 0).all()
