"""Physics of what a real surface adds: wave lengths, decays, angles, places."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate

from stm_keras.simulation.scattering import Scatterers, ldos
from stm_keras.simulation.scene import Scene, scattering_scene
from stm_keras.simulation.short_range import BlobRanges
from stm_keras.simulation.surface_features import (
    CLUSTER_OBJECTS,
    NARROW_BLOBS,
    TALL_OBJECTS,
    TERRACES,
    AtomicLattice,
    Creep,
    Herringbone,
    Objects,
    SetPoint,
    Steps,
    Zigzag,
    step_wave,
)

SIZE = 96
K = np.linspace(0.5, 0.8, 4)


def rng(seed=0):
    return np.random.default_rng(seed)


def empty(size=SIZE, k=K) -> Scene:
    maps = np.zeros((len(k), size, size), np.float32)
    return Scene(
        maps=maps, q=2 * np.asarray(k), positions=np.empty((0, 2)), waves=maps
    )


def of_impurities(positions, k=K, size=64, seed=0) -> Scene:
    positions = np.asarray(positions, float)
    delta = rng(seed).uniform(0.4, 1.4, len(positions)) + 0 * k[:, None]
    scatterers = Scatterers(positions, delta, np.zeros(len(positions)))
    maps = ldos(scatterers, wave_number=k, shape=(size, size)) - 1
    return scattering_scene(scatterers, maps, k)


@pytest.mark.parametrize("phase", [math.pi, 2.3, 0.4])
@pytest.mark.parametrize("x", [0.0, 0.7, 5.0, 40.0])
def test_a_step_wave_is_the_sum_over_all_directions(phase, x):
    whole, _ = integrate.quad(
        lambda angle: np.cos(x * np.cos(angle) + phase), 0, np.pi / 2
    )
    expected = 0.6 * 2 / np.pi * whole
    assert step_wave(np.array(x), 0.6, phase) == pytest.approx(
        expected, abs=1e-6
    )


def test_a_hard_wall_has_no_electrons_on_it():
    assert step_wave(np.array(0.0)) == pytest.approx(-1.0)


@pytest.mark.parametrize("phase", [math.pi, 2.5])
def test_a_step_wave_has_the_length_of_q_and_falls_as_one_over_root(phase):
    x = np.linspace(30, 3000, 400_000)
    # The non-oscillating part of Struve's function is 2 / (pi x).
    wave = step_wave(x, 1.0, phase) + np.sin(phase) * 2 / (np.pi * x)
    crossings = x[1:][np.diff(np.sign(wave)) != 0]
    np.testing.assert_allclose(np.diff(crossings), np.pi, rtol=4e-3)
    peaks = (np.abs(wave[1:-1]) > np.abs(wave[:-2])) & (
        np.abs(wave[1:-1]) > np.abs(wave[2:])
    )
    slope = np.polyfit(
        np.log(x[1:-1][peaks]), np.log(np.abs(wave[1:-1][peaks])), 1
    )[0]
    assert slope == pytest.approx(-0.5, abs=0.005)


BARE_STEP = Steps(
    rim_amplitude=(0, 0),
    meander=(0, 0),
    height=(0, 0),
    decoration_px=(0, 0),
    dispersion=(0, 0),
    reflection=(0.8, 0.8),
)


@pytest.mark.parametrize("seed", range(4))
def test_waves_off_a_step_have_q_in_every_map(seed):
    scene = BARE_STEP(empty(), rng(seed))
    window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
    frequency = 2 * np.pi * np.fft.fftfreq(4 * SIZE)
    for image, q in zip(scene.maps, scene.q, strict=True):
        power = np.abs(np.fft.fft2(image * window, (4 * SIZE, 4 * SIZE)))
        size = np.hypot(*np.meshgrid(frequency, frequency))
        power[size < 0.6] = 0
        at = np.unravel_index(power.argmax(), power.shape)
        assert size[at] == pytest.approx(q, abs=0.05)


def test_a_straight_step_leaves_maps_alike_along_it():
    scene = replace(BARE_STEP, number=(1, 1))(empty(), rng(2))
    gradient = np.stack(np.gradient(scene.maps[0].astype(float)))
    inner = gradient[:, 8:-8, 8:-8].reshape(2, -1)
    across, along = np.linalg.svd(inner, compute_uv=False)
    assert along < 0.12 * across


def test_terraces_descend_by_their_height_and_the_mask_holds_the_edges():
    config = replace(
        TERRACES,
        number=(2, 2),
        height=(50.0, 50.0),
        reflection=(0, 0),
        rim_amplitude=(0, 0),
        decoration_px=(0, 0),
    )
    scene = config(empty(), rng(3))
    image = scene.maps[0] / scene.wave_spread
    heights = np.round(image[~scene.masks["step"]] / 50, 1)
    assert set(np.unique(heights)) <= {0.0, 1.0, 2.0}
    assert {0.0, 1.0, 2.0} == set(np.unique(heights))
    assert 0.02 < scene.masks["step"].mean() < 0.3


def test_a_rim_is_bright_or_dark_along_the_step_and_masked():
    config = replace(BARE_STEP, reflection=(0, 0), rim_amplitude=(8, 8))
    signs = set()
    for seed in range(8):
        scene = config(empty(), rng(seed))
        rim = scene.maps[1] / scene.wave_spread
        assert np.abs(rim).max() == pytest.approx(8, rel=0.15)
        assert np.abs(rim[~scene.masks["step"]]).max() <= 3.01
        signs.add(np.sign(rim.flat[np.abs(rim).argmax()]))
    assert signs == {-1, 1}


def test_decorated_steps_name_their_adsorbates():
    config = replace(BARE_STEP, decoration_px=(0.1, 0.1), rim_amplitude=(9, 9))
    scene = config(empty(), rng(1))
    assert len(scene.decoys) > 2
    rows, cols = np.clip(np.rint(scene.decoys).astype(int), 0, SIZE - 1).T
    assert scene.masks["step"][rows, cols].mean() > 0.9


HERRINGBONE = Herringbone(
    period=(7.0, 7.0), domain=(40.0, 40.0), dispersion=(0, 0)
)


@pytest.mark.parametrize("seed", range(3))
def test_the_herringbone_has_its_period_in_domains_60_degrees_apart(seed):
    """Turned by 120 degrees, stripes differ by 60 as lines."""
    scene = empty(256)
    wide = replace(HERRINGBONE, domain=(60.0, 60.0))
    pattern = wide(scene, rng(seed)).maps[0].astype(float)
    window = np.hanning(256)[:, None] * np.hanning(256)
    power = np.abs(np.fft.fft2((pattern - pattern.mean()) * window)) ** 2
    q = 2 * np.pi * np.fft.fftfreq(256)
    row, col = np.meshgrid(q, q, indexing="ij")
    size, angle = np.hypot(row, col), np.arctan2(row, col) % np.pi
    period = 7.0 * scene.unit_px
    ring = np.abs(size * period / (2 * np.pi) - 1) < 0.15
    # Nearly all of what is below the second harmonic lies on the ring.
    low = (size > 0) & (size * period / (2 * np.pi) < 1.6)
    assert power[ring].sum() > 0.8 * power[low].sum()
    course, edges = np.histogram(
        angle[ring], 36, (0, np.pi), weights=power[ring]
    )
    first = int(course.argmax())
    far = np.minimum(
        np.abs(np.arange(36) - first), 36 - np.abs(np.arange(36) - first)
    )
    second = int(np.where(far > 5, course, 0).argmax())
    turn = abs(edges[first] - edges[second])
    assert min(turn, np.pi - turn) == pytest.approx(np.pi / 3, abs=0.18)
    assert course[second] > 0.1 * course[first]


def test_the_herringbone_has_two_walls_a_period():
    zigzag = Zigzag(20.0, 1e6, 0.0, np.array([0.0, 500.0]))
    row, col = np.indices((101, 1))
    phase = zigzag.phase(row, col)
    # Along the normal of the axis a period is 1 / cos 30 as long.
    steps = np.diff(phase[:, 0])
    np.testing.assert_allclose(steps, math.cos(math.pi / 6) / 20, rtol=1e-6)
    config = replace(HERRINGBONE, wall_width=(0.06, 0.06), domain=(1e4, 1e4))
    image = config(empty(), rng(4)).maps[0].astype(float)
    spectrum = np.abs(np.fft.fft2(image - image.mean())) ** 2
    q = 2 * np.pi * np.fft.fftfreq(SIZE)
    size = np.hypot(*np.meshgrid(q, q)) * 7 / (2 * np.pi) / K.mean()
    first = spectrum[np.abs(size - 1) < 0.3].sum()
    second = spectrum[np.abs(size - 2) < 0.3].sum()
    assert second > 0.1 * first


def test_the_herringbone_has_its_amplitude_and_changes_with_the_bias():
    config = replace(HERRINGBONE, amplitude=(2, 2), dispersion=(1, 1))
    scene = config(empty(), rng(5))
    assert scene.maps.std() == pytest.approx(2 * scene.wave_spread, rel=0.05)
    contrast = np.array([m.std() for m in scene.maps])
    assert contrast.max() > 1.1 * contrast.min()


def test_elbows_are_where_stripes_turn_and_a_domain_apart():
    zigzag = Zigzag(9.0, 25.0, 0.4, np.array([20.0, 30.0]))
    elbows = zigzag.elbows((64, 64))
    assert len(elbows) > 5
    apart = np.linalg.norm(elbows[:, None] - elbows, axis=-1)
    rise = 9.0 / math.cos(math.pi / 6)
    nearest = apart[apart > 0.1].min()
    assert nearest == pytest.approx(rise, rel=0.01)
    # The direction of the stripes' normal turns there and nowhere else.
    h = 1e-3

    def normal(place):
        row, col = place
        slope = [
            (zigzag.phase(row + h, col) - zigzag.phase(row - h, col)),
            (zigzag.phase(row, col + h) - zigzag.phase(row, col - h)),
        ]
        return math.atan2(*slope)

    axis = np.array([math.sin(0.4), math.cos(0.4)])
    for elbow in elbows:
        turn = normal(elbow + 6 * axis) - normal(elbow - 6 * axis)
        turn = abs((turn + np.pi) % (2 * np.pi) - np.pi)
        assert turn == pytest.approx(np.pi / 3, abs=0.12)


@pytest.mark.parametrize(
    ("config", "low", "high"),
    [(NARROW_BLOBS, 5, 16), (TALL_OBJECTS, 10, 60), (CLUSTER_OBJECTS, 4, 30)],
)
def test_objects_have_their_heights_no_waves_and_a_mask(config, low, high):
    scene = of_impurities([(20.0, 30.0)])
    one = replace(
        config,
        density_per_px=(5e-4, 5e-4),
        kind=replace(config.kind, dispersion=(0, 0)),
    )
    changed = one(scene, rng(1))
    added = (changed.maps - scene.maps) / scene.wave_spread
    assert 0.5 * low < np.abs(added).max() < high * max(one.members)
    assert len(changed.decoys) >= 1
    np.testing.assert_array_equal(changed.positions, scene.positions)
    outside = ~changed.masks["tall"]
    assert np.abs(added[:, outside]).max() <= 3.0 + 1e-4
    assert outside.mean() > 0.5


def test_a_narrow_blob_is_as_narrow_as_asked():
    kind = BlobRanges(sigma=(0.3, 0.3), anisotropy=(1, 1), dispersion=(0, 0))
    one = Objects(kind=kind, density_per_px=(1e-9, 1e-9))
    scene = one(empty(64, np.full(2, 0.1)), rng(5))
    image = np.abs(scene.maps[0].astype(float))
    row, col = np.indices(image.shape)
    at = [(image * axis).sum() / image.sum() for axis in (row, col)]
    width = (image * (row - at[0]) ** 2).sum() / image.sum()
    assert math.sqrt(width) == pytest.approx(0.3 / 0.1, rel=0.05)


def test_the_lattice_has_six_spots_60_degrees_apart():
    lattice = AtomicLattice(amplitude=(0.5, 0.5), wave_vector_rad_px=(2, 2))
    scene = lattice(empty(), rng(2))
    assert scene.maps.std() == pytest.approx(0.5 * scene.wave_spread, rel=0.01)
    window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
    power = np.abs(np.fft.fft2(scene.maps[0] * window)) ** 2
    q = 2 * np.pi * np.fft.fftfreq(SIZE)
    row, col = np.meshgrid(q, q, indexing="ij")
    size = np.hypot(row, col)
    strong = power > 0.2 * power.max()
    np.testing.assert_allclose(size[strong], 2.0, atol=0.1)
    angles = np.sort(np.degrees(np.arctan2(row, col)[strong]) % 60)
    spread = (angles - angles[0] + 30) % 60
    assert np.ptp(spread) < 8


def brute_mean(scene, start, ends, n=400):
    """Mean of LDOS - 1 from E_F to each end, summed in small steps."""
    means = []
    for end in ends:
        grid = np.linspace(start, end, n)
        delta = np.tile(scene.scatterers.delta[0], (n, 1))
        others = Scatterers(
            scene.scatterers.positions, delta, scene.scatterers.absorption
        )
        maps = ldos(others, wave_number=np.sqrt(grid), shape=scene.shape) - 1
        means.append(integrate.trapezoid(maps, grid, axis=0) / (end - start))
    return np.stack(means)


CENTRES = [(20.3, 30.1), (45.7, 12.2)]


def test_the_set_point_divides_by_the_mean_of_the_waves():
    scene = of_impurities(CENTRES)
    low, high = scene.wave_numbers[[0, -1]] ** 2
    start = low + 0.2 * (high - low)
    part = SetPoint(own_bias_share=1.0, fermi=(0.2, 0.2))
    recorded = part(scene, rng()).maps
    current = (1 + scene.maps) / (1 + recorded) - 1
    expected = brute_mean(scene, start, scene.wave_numbers**2)
    np.testing.assert_allclose(current, expected, atol=2e-3)


def test_a_common_set_point_leaves_one_ghost_in_all_maps():
    scene = of_impurities(CENTRES)
    part = SetPoint(own_bias_share=0.0, fermi=(0.0, 0.0), set_point=(1.0, 1.0))
    recorded = part(scene, rng()).maps
    ghost = (1 + scene.maps) / (1 + recorded)
    np.testing.assert_allclose(ghost, ghost[:1].repeat(4, 0), rtol=1e-5)
    assert np.abs(ghost - 1).max() > 0.02


def test_the_ghost_of_a_maps_own_set_point_disperses():
    """Its ring moves with the map's q: 1/(E - E_F) times an edge at E."""
    k = np.linspace(0.45, 0.75, 6)
    scene = of_impurities([(47.5, 47.5)], k, 96)
    part = SetPoint(own_bias_share=1.0, fermi=(-0.5, -0.5), n_nodes=120)
    recorded = part(scene, rng()).maps
    ghost = (1 + scene.maps) / (1 + recorded) - 1
    r = np.hypot(*(np.indices((96, 96)) - 47.5)).ravel()
    far = (r > 10) & (r < 46)
    # The edge of the integral at E falls as 1/r^2; so does that at E_F, which
    # stands still and whose q of 0.3 the window keeps apart.
    window = np.sin(np.pi * (r[far] - 10) / 36) ** 2 * r[far] ** 2 / r[far]
    fine = np.linspace(0.6, 1.8, 241)
    turns = np.exp(-1j * fine[:, None] * r[far])
    found = [
        fine[np.argmax(abs(turns @ (window * image.ravel()[far])))]
        for image in ghost
    ]
    np.testing.assert_allclose(found, scene.q, atol=0.08)


@pytest.mark.parametrize("seed", range(4))
def test_creep_takes_positions_along(seed):
    scene = empty(80)
    places = rng(seed).uniform(8, 70, (12, 2))
    row, col = np.indices((80, 80))
    spots = sum(
        np.exp(-((row - y) ** 2 + (col - x) ** 2) / 4) for y, x in places
    )
    scene = scene.with_(
        maps=np.tile(spots, (4, 1, 1)).astype(np.float32), positions=places
    )
    creep = Creep(creep_px=(2, 2), relaxation=(0.2, 0.2), shear=(0.05, 0.05))
    bent = creep(scene, rng(seed + 9))
    assert np.linalg.norm(bent.positions - places, axis=1).max() > 0.5
    for y, x in bent.positions:
        near = (row - y) ** 2 + (col - x) ** 2 < 6
        weight = bent.maps[0] * near
        alone = np.linalg.norm(bent.positions - (y, x), axis=1)
        if np.sort(alone)[1] < 8:
            continue
        at = [(weight * axis).sum() / weight.sum() for axis in (row, col)]
        np.testing.assert_allclose(at, (y, x), atol=0.25)
        value = bent.maps[0][round(y), round(x)]
        assert value > 0.75


def test_features_leave_out_what_chance_leaves_out():
    scene = empty()
    never = replace(HERRINGBONE, share=0.0)
    assert never(scene, rng()) is scene
    seen = [
        replace(BARE_STEP, share=0.5)(scene, rng(s)) is scene for s in range(60)
    ]
    assert 15 < sum(seen) < 45
