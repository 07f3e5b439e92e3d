"""The fit recovers what fields were made of, and says what it cannot."""

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.waves.dispersion import wave_dispersion
from stm_keras.waves.fit import WaveOptions, fit_waves
from stm_keras.waves.species import find_species
from tests.stm_keras.waves.conftest import PIXEL_NM, make_field


def wrong(field, seed=0, error_nm=0.02):
    rng = np.random.default_rng(seed)
    error = error_nm / PIXEL_NM
    return field.positions + rng.normal(0, error, field.positions.shape)


def off(fit, field):
    return np.angle(fit.amplitudes / field.t)


@pytest.fixture(scope="session")
def fit(field):
    start = wrong(field)
    deviation = np.full(start.shape, 0.02 / PIXEL_NM)
    return fit_waves(field.maps, start, deviation, 1.03 * field.q_per_nm)


def test_phases(fit, field):
    error = np.abs(off(fit, field))
    assert fit.determined.all()
    assert np.median(error) < 0.04
    assert (error < 0.1).mean() > 0.8


def test_deviations_are_true():
    pulls = []
    for seed in range(1, 6):
        field = make_field(seed)
        fit = fit_waves(field.maps, wrong(field, seed), None, field.q_per_nm)
        pulls += [*(off(fit, field) / fit.std_phase_rad).ravel()]
    inside = [(np.abs(pulls) < n).mean() for n in (1, 2)]
    assert 0.6 < inside[0] < 0.8
    assert inside[1] > 0.9


def test_wave_numbers_and_dispersion(fit, field):
    assert np.abs(fit.q_per_nm / field.q_per_nm - 1).max() < 0.003
    found = wave_dispersion(fit)
    assert found is not None
    assert found.effective_mass == pytest.approx(0.26, rel=0.015)
    assert found.band_edge_ev == pytest.approx(-0.52, abs=0.006)


def test_scale_and_positions(fit, field):
    assert fit.scale == pytest.approx(1.0, abs=0.15)
    assert (np.abs(fit.scale - 1) < 3.5 * fit.std_scale).all()
    better = np.abs(fit.positions_px - field.positions).mean()
    assert better < np.abs(wrong(field) - field.positions).mean()


def test_phases_do_not_know_the_scale(fit, field):
    louder = field.maps.with_data(-3e-12 * field.maps.data + 7e-12, "")
    other = fit_waves(
        louder,
        wrong(field),
        np.full(field.positions.shape, 0.02 / PIXEL_NM),
        1.03 * field.q_per_nm,
        WaveOptions(multiple=False),
    )
    same = fit_waves(
        field.maps,
        wrong(field),
        np.full(field.positions.shape, 0.02 / PIXEL_NM),
        1.03 * field.q_per_nm,
        WaveOptions(multiple=False),
    )
    turned = np.angle(np.exp(1j * (other.phase_rad - same.phase_rad - np.pi)))
    assert np.abs(turned).max() < 0.02


def test_wider_masks_change_nothing_beyond_deviations(fit, field):
    wider = fit_waves(
        field.maps,
        wrong(field),
        np.full(field.positions.shape, 0.02 / PIXEL_NM),
        1.03 * field.q_per_nm,
        WaveOptions(core_nm=1.3),
    )
    moved = np.angle(np.exp(1j * (wider.phase_rad - fit.phase_rad)))
    assert (np.abs(moved) < 3 * wider.std_phase_rad).mean() > 0.95


def test_core_contents_change_nothing(field):
    """What lies under the masks is not looked at."""
    options = WaveOptions(core_nm=0.9)
    spoilt = field.maps.data.copy()
    rows, cols = np.indices(spoilt.shape[1:])
    for row, col in field.positions:
        core = np.hypot(rows - row, cols - col) * PIXEL_NM < 0.85
        spoilt[:, core] += 50 * spoilt.std()
    one, other = (
        fit_waves(
            field.maps.with_data(data, ""),
            field.positions,
            None,
            field.q_per_nm,
            options,
        )
        for data in (field.maps.data, spoilt)
    )
    np.testing.assert_allclose(one.phase_rad, other.phase_rad, atol=1e-3)


def test_an_impurity_that_scatters_nothing(field):
    """A place without a scatterer has no phase, and its neighbours keep."""
    empty = np.array([[3.0, 50.0]])
    places = np.concatenate([field.positions, empty])
    fit = fit_waves(field.maps, places, None, field.q_per_nm)
    assert fit.determined[:-1].all()
    assert not fit.determined[-1].all()
    weak = np.abs(fit.amplitudes[-1]) / np.abs(fit.amplitudes[:-1]).mean()
    assert weak.max() < 0.3


def test_pixels_of_the_file_are_joined(field):
    """Pixels finer than the waves need give the same phases and places."""
    few = field.maps.with_data(
        field.maps.data[:2], "", bias_v=field.maps.bias_v[:2]
    )
    fine = few.with_data(np.kron(few.data, np.ones((1, 3, 3), np.float32)), "")
    places = (field.positions + 0.5) * 3 - 0.5
    options, q = WaveOptions(core_nm=0.9), field.q_per_nm[:2]
    one = fit_waves(few, field.positions, None, q, options)
    other = fit_waves(fine, places, None, q, options)
    assert other.joined == (2, 2)
    moved = np.abs(other.phase_rad - one.phase_rad)
    assert (moved < 2 * one.std_phase_rad).all()
    apart = (other.positions_px + 0.5) / 3 - 0.5 - one.positions_px
    assert (np.abs(apart) < 2 * one.deviations_px).all()


def test_two_kinds_are_told_apart():
    kind = np.array([0, 1, 0, 1, 0, 0, 1, 0, 1, 0])
    field = make_field(3, n=10, kinds=np.where(kind, 1.3, 0.5))
    fit = fit_waves(field.maps, field.positions, None, field.q_per_nm)
    species = find_species(fit)
    assert species.counts.tolist() == [6, 4]
    assert (species.member == kind).all()


def test_one_kind_is_one():
    field = make_field(4, n=9, kinds=np.full(9, 0.9))
    fit = fit_waves(field.maps, field.positions, None, field.q_per_nm)
    assert find_species(fit).n_kinds == 1


class TestBadInput:
    def test_outside(self, field):
        places = np.array([[10.0, 10.0], [10.0, 60.0]])
        with pytest.raises(InputError, match=r"position 2 .* outside"):
            fit_waves(field.maps, places, None, field.q_per_nm)

    def test_two_at_one_place(self, field):
        places = np.array([[10.0, 10.0], [30.0, 9.0], [10.1, 10.1]])
        with pytest.raises(InputError, match="positions 1 and 3"):
            fit_waves(field.maps, places, None, field.q_per_nm)

    @pytest.mark.parametrize("none", [[], np.empty((0, 2))])
    def test_none(self, field, none):
        with pytest.raises(InputError, match="no position"):
            fit_waves(field.maps, none, None, field.q_per_nm)

    def test_no_positions_at_all(self, field):
        with pytest.raises(InputError, match=r"\[n, 2\]"):
            fit_waves(field.maps, np.ones(3), None, field.q_per_nm)

    def test_more_unknowns_than_pixels(self, field):
        rows, cols = np.meshgrid(np.arange(2, 55, 2), np.arange(2, 55, 2))
        places = np.stack([rows.ravel(), cols.ravel()], -1)
        with pytest.raises(InputError, match="more unknowns than the"):
            fit_waves(
                field.maps,
                places,
                None,
                field.q_per_nm,
                WaveOptions(core_nm=0.1),
            )

    def test_cores_cover_the_frame(self, field):
        with pytest.raises(InputError, match="leave 0 of"):
            fit_waves(
                field.maps,
                field.positions,
                None,
                field.q_per_nm,
                WaveOptions(core_nm=30.0),
            )

    def test_q_unknown_and_no_ring(self, field):
        rng = np.random.default_rng(0)
        noise = field.maps.with_data(rng.normal(size=field.maps.shape), "")
        with pytest.raises(InputError, match="no ring"):
            fit_waves(noise, field.positions)

    def test_wrong_number_of_q(self, field):
        with pytest.raises(InputError, match="one q for each of 4 maps"):
            fit_waves(field.maps, field.positions, None, [3.0])

    def test_wrong_deviations(self, field):
        with pytest.raises(InputError, match="deviations_px"):
            fit_waves(field.maps, field.positions, [0.1], field.q_per_nm)

    @pytest.mark.parametrize("bad", [{"core_nm": -1}, {"q_uncertainty": 2.0}])
    def test_options(self, bad):
        with pytest.raises(InputError, match=next(iter(bad))):
            WaveOptions(**bad)


def test_one_map_has_phases_and_no_dispersion():
    field = make_field(5, n_maps=1)
    fit = fit_waves(field.maps, field.positions, None, field.q_per_nm)
    assert fit.determined.mean() > 0.8
    assert wave_dispersion(fit) is None
    assert find_species(fit).n_kinds <= 2


def test_below_the_band_edge_is_not_determined(field):
    q = field.q_per_nm.copy()
    q[0] = np.nan
    fit = fit_waves(field.maps, field.positions, None, q)
    assert np.isnan(fit.phase_rad[:, 0]).all()
    assert np.isnan(fit.q_per_nm[0])
    assert not fit.determined[:, 0].any()
    assert fit.determined[:, 1:].all()
    assert any("1 of 4 maps have no known q" in note for note in fit.notes)
    found = wave_dispersion(fit)
    assert found is not None
    assert found.n_rings == 3


def test_bands_of_nan(fit, field):
    data = field.maps.data.copy()
    data[1, 20:24] = np.nan
    data[:, 40:43] = np.nan
    holed = field.maps.with_data(data, "")
    other = fit_waves(holed, field.positions, None, field.q_per_nm)
    error = np.abs(off(other, field))
    assert np.median(error) < 0.05
    assert np.isnan(other.residual[1, 21]).all()


def test_a_map_measured_nowhere_outside_of_the_cores(field):
    data = field.maps.data.copy()
    rows, cols = np.indices(data.shape[1:])
    row, col = field.positions[0]
    data[2, np.hypot(rows - row, cols - col) > 5] = np.nan
    fit = fit_waves(
        field.maps.with_data(data, ""), field.positions, None, field.q_per_nm
    )
    assert np.isnan(fit.phase_rad[:, 2]).all()
    assert fit.determined[:, [0, 1, 3]].all()
