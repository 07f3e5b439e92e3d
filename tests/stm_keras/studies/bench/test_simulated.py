import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.simulation.friedel import friedel_sum, normalise
from stm_keras.simulation.instrument import Drift, OneOverFNoise, TipBlur
from stm_keras.simulation.virtual_experiment import VirtualConfig
from stm_keras.studies.bench.cases import MAX_SEED, SEED_BASE, CaseId, Role
from stm_keras.studies.bench.command import all_cells, chosen_cells
from stm_keras.studies.bench.real import FILES, real_cells
from stm_keras.studies.bench.simulated import (
    CHANGES,
    VIRTUAL_MAPS,
    SmoothNoise,
    acquisition,
    add_rim_cores,
    decaying_field,
    eq3_cells,
    evenly_spaced,
    experiment,
    mismatch_cells,
    phase_cells,
    virtual_cells,
)
from stm_keras.training.augmentation import AugmentationRanges

CHEAP = ["eq3/eta 0.5", "mismatch/m* given", "mismatch/decay 1/r^3", "eq3/iso"]


def cell(part):
    return chosen_cells(all_cells(), part)[0]


@pytest.mark.parametrize("part", CHEAP)
def test_a_cell_is_the_same_again(part):
    experiment.cache_clear()
    first = cell(part).test(0, 2)
    experiment.cache_clear()
    again = cell(part).test(0, 2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.maps, b.maps)
        np.testing.assert_array_equal(a.positions, b.positions)


@pytest.mark.parametrize("part", CHEAP)
def test_tuning_and_test_cases_are_others(part):
    cases = (
        cell(part).test(0, 2) + cell(part).tune(0, 2) + cell(part).test(1, 2)
    )
    seen = {case.positions.tobytes() for case in cases}
    assert len(seen) == 6


@pytest.mark.parametrize("part", CHEAP)
def test_cases_are_whole(part):
    case = cell(part).test(0, 1)[0]
    n_maps = len(case.wave_numbers)
    assert case.maps.dtype == np.float32
    assert case.maps.ndim == 3
    assert len(case.maps) == n_maps
    assert case.positions.dtype == np.float64
    assert case.wave_numbers.dtype == np.float64
    assert case.given_wave_numbers.shape == (n_maps,)


def test_no_data_set_draws_from_these_seeds():
    mine = CaseId(Role.TEST, 0, 0).rng("eq3").random(4)
    for seed in (0, 1, SEED_BASE):
        for more in ([0, 0], [2, 0], [0], []):
            other = np.random.default_rng([seed, *more]).random(4)
            assert not np.array_equal(mine, other)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seeds_stay_in_their_range(seed):
    with pytest.raises(InputError, match="--seed"):
        CaseId(Role.TEST, seed, 0).rng("eq3")


def test_noise_levels_share_fields_and_noise():
    low, high = (c.test(0, 1)[0] for c in eq3_cells()[:2])
    np.testing.assert_array_equal(low.clean, high.clean)
    np.testing.assert_allclose(
        (low.maps - low.clean) / low.sigma,
        (high.maps - high.clean) / high.sigma,
        atol=1e-5,
    )
    assert np.std(high.maps - high.clean) == pytest.approx(0.5, rel=0.05)


def test_isolated_is_one_impurity():
    for isolated in eq3_cells()[3:]:
        assert len(isolated.test(0, 1)[0].positions) == 1


def test_virtual_has_every_difficulty_density_and_number_of_maps():
    cells = virtual_cells()
    assert len(cells) == 45
    assert len({c.name for c in cells}) == 45
    assert "hard, medium, 32 maps" in {c.name for c in cells}


@pytest.mark.parametrize("n", VIRTUAL_MAPS)
def test_maps_are_evenly_spaced(n):
    kept = evenly_spaced(n, 126)
    assert len(set(kept)) == n
    assert kept.min() >= 0
    assert kept.max() < 126
    assert np.ptp(np.diff(kept)) <= 1 if n > 2 else True
    assert abs(kept.mean() - 62.5) < 1


def test_experiments_come_back_from_the_cache(tmp_path):
    config = VirtualConfig(
        n_impurities=4, size_px=24, extent_nm=24 * 0.47, bias_v=(-0.1, 0.0)
    )
    experiment.cache_clear()
    made = experiment(config, "s", CaseId(Role.TEST, 0, 3), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    experiment.cache_clear()
    read = experiment(config, "s", CaseId(Role.TEST, 0, 3), tmp_path)
    np.testing.assert_array_equal(made.maps, read.maps)
    np.testing.assert_array_equal(made.positions, read.positions)


def test_every_mismatch_stands_beside_its_match_on_the_same_impurities():
    cells = {c.name: c for c in mismatch_cells()}
    for one in cells.values():
        if one.beside is None:
            continue
        matched = cells[one.beside]
        assert one.source == matched.source
        assert one.tuning_label == matched.tuning_label
        a, b = one.test(0, 1)[0], matched.test(0, 1)[0]
        np.testing.assert_array_equal(a.positions, b.positions)
        changed = not np.array_equal(a.maps, b.maps)
        assert changed == (a.given is None)


def test_wrong_mass_gives_k_too_high_by_its_root():
    case = cell("m* given").test(0, 1)[0]
    ratio = case.given_wave_numbers / case.wave_numbers
    np.testing.assert_allclose(ratio, np.sqrt(1.1))


def test_mismatches_lie_beyond_what_is_trained_on():
    trained = AugmentationRanges()
    parts = {
        type(p): p
        for change in CHANGES.values()
        for p in acquisition(change).parts
        if any(p is other for _, other in change.parts)
    }
    assert parts[Drift].extent_px[0] > trained.drift_px[1]
    assert parts[TipBlur].sigma_px[0] > trained.blur_px[1]
    assert parts[OneOverFNoise].amplitude[0] > trained.correlated[1]


def test_the_field_with_exponent_2_is_equation_3():
    rng = np.random.default_rng(5)
    k = np.array([0.7, 0.8])
    maps, places = decaying_field(
        rng, size_px=20, n_impurities=3, wave_numbers=k, exponent=2.0
    )
    rng = np.random.default_rng(5)
    np.testing.assert_array_equal(rng.uniform(-0.5, 19.5, (3, 2)), places)
    amplitudes = rng.uniform(0.5, 1.5, (2, 3, 1, 1))[..., 0, 0]
    phases = rng.uniform(0, 2 * np.pi, (2, 3, 1, 1))[..., 0, 0]
    equation = friedel_sum(
        places[None],
        amplitudes[None],
        phases[None],
        k[None],
        size_px=20,
        eps_px=1.0,
    )[0]
    np.testing.assert_allclose(maps, normalise(equation), atol=2e-5)


def test_a_slower_decay_reaches_farther():
    def far(exponent):
        maps, _ = decaying_field(
            np.random.default_rng(1),
            size_px=40,
            n_impurities=1,
            wave_numbers=np.full(4, 0.8),
            exponent=exponent,
        )
        return np.median(np.abs(maps))

    assert far(1.5) > far(2.0) > far(3.0)


def test_smooth_noise_has_its_width_and_is_smooth_both_ways():
    part = SmoothNoise(amplitude=(0.5, 0.5), sigma_px=1.0)
    rng = np.random.default_rng(0)
    noise = part(np.zeros((4, 64, 64), np.float32), rng, scale=2.0)
    assert noise.std() == pytest.approx(1.0, rel=1e-3)
    for axis in (1, 2):
        near = np.mean(noise * np.roll(noise, 1, axis))
        assert near == pytest.approx(np.exp(-1 / 4), abs=0.05)


def test_rim_cores_change_nothing_far_away():
    maps = np.random.default_rng(0).normal(size=(2, 40, 40)).astype(np.float32)
    k = np.array([0.7, 0.8])
    rng = np.random.default_rng(1)
    place = np.array([[20.0, 20.0]])
    changed = add_rim_cores(maps, place, k, rng, scale=1.0)
    r = np.hypot(*(np.indices((40, 40)) - 20))
    np.testing.assert_array_equal(changed[:, r > 9], maps[:, r > 9])
    assert np.abs(changed - maps)[:, r < 1].max() > 0.5


def test_phase_has_five_by_five_cells():
    assert len({c.name for c in phase_cells()}) == 25


def test_without_real_files_the_cells_are_left_out_with_a_line(tmp_path):
    lines = []
    assert real_cells(tmp_path, report=lines.append) == []
    assert real_cells(None, report=lines.append) == []
    assert len(lines) == 2 * (len(FILES) + 1)
    assert all("--real" in line for line in lines)


def test_cells_are_chosen_by_a_part_of_their_name():
    cells = all_cells(("eq3",))
    assert [c.name for c in chosen_cells(cells, "EQ3/eta 0.2")] == ["eta 0.2"]
    with pytest.raises(InputError, match="--cells"):
        chosen_cells(cells, "gold")
    with pytest.raises(InputError, match="unknown suite"):
        all_cells(("au111",))
