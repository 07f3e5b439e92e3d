import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import (
    level,
    tiles_of,
    to_likely_pixel,
    to_network_pixel,
)
from stm_keras.qpi.dispersion import (
    given_q,
    q_of_stack,
    q_scale,
)
from stm_keras.surfaces import SURFACES

RING_RAD_PX = (1.32, 1.80)


def stack(data, bias=(0.0,), extent=(20.0, 20.0)):
    return ConductanceMaps(np.asarray(data), np.asarray(bias), extent)


def noise(n_maps=1, size=64):
    return np.random.default_rng(0).normal(size=(n_maps, size, size))


def rings(q_rad_px, size=120):
    """Standing waves of one wave number in all directions."""
    rng = np.random.default_rng(1)
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 60, 1, 1))
    rows, cols = np.indices((size, size))
    along = rows * np.sin(angle) + cols * np.cos(angle)
    return np.cos(q_rad_px * along + phase).sum(axis=0)[None]


def test_surface_gives_the_ring_of_its_dispersion():
    bias = [-0.2, 0.0]
    ring, note = q_of_stack(stack(noise(2), bias), "Au(111)")
    np.testing.assert_allclose(ring, 2 * SURFACES["au111"].wave_number(bias))
    assert "Au(111)" in note


def test_network_pixel_puts_the_ring_where_training_had_it():
    maps = stack(noise(2, 128), [-0.23, 0.02], (37.5, 30.0))
    ready = to_network_pixel(maps, RING_RAD_PX, "au111")
    ring = 2 * SURFACES["au111"].wave_number([-0.23, 0.02])
    in_px = ring * np.mean(ready.pixel_nm)
    np.testing.assert_allclose(in_px, RING_RAD_PX, rtol=0.02)
    assert ready.extent_nm == maps.extent_nm


def test_without_a_surface_the_ring_is_measured():
    maps = stack(rings(1.0), extent=(60.0, 60.0))
    ring, note = q_of_stack(maps, None)
    assert ring[0] == pytest.approx(2.0, rel=0.02)
    assert "measured in the FFT ring of 1 of 1 maps" in note


@pytest.mark.parametrize("off", [-0.07, 0.05, 0.09])
def test_rings_that_a_file_shows_correct_those_of_the_surface(off):
    maps = stack(rings(1.0), extent=(60.0, 60.0))
    scale = q_scale(maps, np.array([2.0 / (1 + off)]))
    assert scale == pytest.approx(1 + off, abs=0.02)
    assert abs(scale - 1) < abs(off) + 0.005


def test_the_correction_is_the_same_for_all_maps_and_said():
    mass = (1.0 / 5.12317) ** 2 / 0.5  # 2k is 2/nm at the bias 0
    maps = stack(np.concatenate([rings(1.06)] * 3), [0.0] * 3, (60.0, 60.0))
    ring, note = given_q(maps, f"{mass},-0.5")
    np.testing.assert_allclose(ring, ring[0])
    assert ring[0] == pytest.approx(2.12, rel=0.02)
    assert "% as the FFT rings of the maps say" in note


@pytest.mark.parametrize(
    ("data", "expected"),
    [(rings(1.0), 2.0), (rings(1.0), 2.6), (noise(size=120), 2.0)],
    ids=["as expected", "of something else", "no ring"],
)
def test_rings_that_tell_nothing_correct_nothing(data, expected):
    maps = stack(data, extent=(60.0, 60.0))
    assert q_scale(maps, np.array([expected])) == 1


def test_a_surface_that_is_not_known_is_told_by_its_numbers():
    bias = [-0.2, 0.0]
    ring, note = q_of_stack(stack(noise(2), bias), "0.26,-0.52")
    np.testing.assert_allclose(ring, 2 * SURFACES["au111"].wave_number(bias))
    assert "m* = 0.26 m_e, E0 = -0.52 eV" in note


@pytest.mark.parametrize("surface", [None, "au111"])
def test_a_network_that_is_not_given_q_gets_its_scale_all_the_same(surface):
    maps = stack(rings(1.0), extent=(60.0, 60.0))
    ready = to_likely_pixel(maps, (0.6, 2.2), surface)
    q = 2.0 if surface is None else 2 * SURFACES["au111"].wave_number(0.0)
    assert 0.6 <= q * np.mean(ready.pixel_nm) <= 2.2
    assert any("not given q" in note for note in ready.provenance)
    assert not any("warning" in note for note in ready.provenance)


def test_without_q_and_ring_the_pixel_stays_with_a_warning():
    maps = stack(noise(size=96), extent=(20.0, 40.0))
    ready = to_likely_pixel(maps, (0.6, 2.2), None)
    down, right = ready.pixel_nm
    assert down == pytest.approx(right, rel=0.02)
    assert ready.extent_nm == maps.extent_nm
    assert max(ready.pixel_nm) == pytest.approx(max(maps.pixel_nm), rel=0.01)
    warnings = [n for n in ready.provenance if n.startswith("warning")]
    assert "sides of a pixel" in warnings[0]
    assert "2.9 to 10 px" in warnings[1]


def test_no_ring_and_no_surface():
    with pytest.raises(InputError, match=r"--surface au111\|cu111\|ag111"):
        q_of_stack(stack(noise()), None)


@pytest.mark.parametrize("levelling", ["plane", "lines"])
def test_levelling_takes_the_tilt(levelling):
    tilt = np.add.outer(np.arange(64.0), 2 * np.arange(64.0))
    maps = level(stack(noise() + tilt), levelling)
    rows = np.nanmean(maps.data[0], axis=1)
    assert np.abs(rows).max() < 1
    assert maps.provenance


def test_no_levelling_changes_nothing():
    maps = stack(noise())
    assert level(maps, "none") is maps
    with pytest.raises(InputError, match=r"'curve'\. Known: none, plane"):
        level(maps, "curve")  # pyright: ignore[reportArgumentType]


def test_tiles_are_measured_and_of_one_shape():
    first, second = noise(9, 40), noise(3, 30)
    first[:, :10, :10] = np.nan
    tiles = tiles_of([first, second], size_px=20, n_voltages=5)
    assert {t.shape for t in tiles} == {(3, 20, 20)}
    assert len(tiles) == 8 + 4
    np.testing.assert_array_equal(
        tiles[0], first[[0, 4, 8], :20, 10:30].astype(np.float32)
    )
    with pytest.raises(InputError, match="20 x 20 px"):
        tiles_of([noise(2, 15)], size_px=20, n_voltages=2)
