from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.studies.bench.cases import CaseId, Role
from stm_keras.studies.bench.command import all_cells
from stm_keras.studies.bench.real import (
    BARE,
    FILES,
    VIEWS,
    blank,
    blanked,
    decoy_centres,
    real_cells,
)

PIXEL = (0.1, 0.1)


def molecules(seed=0, n=12, size=150):
    rng = np.random.default_rng(seed)
    return rng.uniform(8, size - 8, (n, 2))


def test_discs_are_filled_with_the_level_around_them():
    row, col = np.indices((60, 60))
    maps = np.full((1, 60, 60), 3.0, np.float32)
    centre = np.array([[30.0, 20.0]])
    r = np.hypot(row - 30, col - 20)
    maps[:, r <= 4] = -5.0
    filled = blank(maps, centre, PIXEL)
    assert (filled[:, r <= 5] == 3.0).all()
    np.testing.assert_array_equal(filled[:, r > 5], maps[:, r > 5])
    assert maps.min() == -5.0


def test_a_disc_is_round_in_nm():
    maps = np.random.default_rng(0).normal(size=(1, 80, 80)).astype(np.float32)
    filled = blank(maps, np.array([[40.0, 40.0]]), (0.1, 0.2))
    changed = np.argwhere(filled[0] != maps[0]) - 40
    assert np.abs(changed[:, 0]).max() == 5
    assert np.abs(changed[:, 1]).max() == 2


def test_one_disc_does_not_fill_another():
    row, col = np.indices((60, 60))
    maps = np.zeros((1, 60, 60), np.float32)
    centres = np.array([[30.0, 25.0], [30.0, 33.0]])
    for r, c in centres:
        maps[:, np.hypot(row - r, col - c) <= 5] = 100.0
    assert np.abs(blank(maps, centres, PIXEL)).max() == 0.0


def test_nothing_of_the_molecules_is_left():
    places = molecules()
    maps = np.random.default_rng(1).normal(size=(1, 150, 150))
    other = maps.copy()
    row, col = np.indices((150, 150))
    for r, c in places:
        other[:, np.hypot(row - r, col - c) <= 5] -= 40.0
    centres = np.concatenate(
        [
            places,
            decoy_centres(places, (150, 150), PIXEL, np.random.default_rng(2)),
        ]
    )
    np.testing.assert_array_equal(
        blank(maps, centres, PIXEL), blank(other, centres, PIXEL)
    )


@pytest.mark.parametrize("n", [3, 12, 30])
def test_decoys_are_three_for_one_and_keep_off(n):
    places = molecules(n=n)
    decoys = decoy_centres(places, (150, 150), PIXEL, np.random.default_rng(0))
    assert len(decoys) == 3 * n
    assert cdist(decoys, places).min() * 0.1 >= 1.0
    assert decoys.min() >= -0.5
    assert decoys.max() < 149.5


def test_decoys_need_room():
    everywhere = np.stack(np.indices((20, 20)), axis=-1).reshape(-1, 2)
    with pytest.raises(InputError, match="room"):
        decoy_centres(
            everywhere.astype(float),
            (20, 20),
            PIXEL,
            np.random.default_rng(0),
        )


def test_decoys_change_with_the_case_and_molecules_do_not():
    data = np.random.default_rng(0).normal(size=(1, 150, 150))
    maps = ConductanceMaps(data, np.array([0.01]), (15.0, 15.0))
    places = molecules()
    plain = blanked(maps, places, None).data
    first, second = (
        blanked(maps, places, np.random.default_rng(s)).data for s in (0, 1)
    )
    assert not np.array_equal(first, second)
    row, col = np.indices((150, 150))
    r, c = places[0]
    inside = np.hypot(row - r, col - c) <= 5
    assert np.ptp(plain[0][inside]) == 0
    assert np.ptp(first[0][inside]) == 0


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert all_cells(("real",), real=tmp_path) == []
    with pytest.raises(InputError, match="No such folder"):
        all_cells(("real",), real=tmp_path / "no")


class TestRealFiles:
    @pytest.fixture
    def cells(self):
        folder = Path(__file__).parents[5] / "shared" / "data"
        if not (folder / "cu111_co").is_dir():
            pytest.skip("no real files beside the project")
        return real_cells(folder)

    def test_each_file_has_its_views(self, cells):
        # Of a bare file nothing can be blanked; the corral is seen whole.
        views = len(VIEWS) * (len(FILES) - len(BARE)) + len(BARE)
        assert len(cells) == views + 1
        assert all(cell.shows_best for cell in cells)

    def test_tolerances_are_those_in_nm(self, cells):
        whole, hidden = (c.make(CaseId(Role.TEST, 0, 0)) for c in cells[:2])
        pixel = 15.0 / whole.maps.shape[1]
        assert whole.tolerance_px * pixel == pytest.approx(0.3, rel=0.01)
        assert hidden.tolerance_px * pixel == pytest.approx(0.37, rel=0.01)

    def test_molecules_are_where_they_were(self, cells):
        case = cells[0].make(CaseId(Role.TEST, 0, 0))
        pixel = 15.0 / case.maps.shape[1]
        # 2k of Cu(111) at 10 mV is 4.29 rad/nm.
        assert 2 * case.wave_numbers[0] / pixel == pytest.approx(4.29, rel=0.02)
        np.testing.assert_allclose(
            (case.positions[0] + 0.5) * pixel, [2.8447, 1.3750], atol=1e-3
        )
        rows, cols = case.positions.round().astype(int).T
        dark = case.maps[0, rows, cols]
        assert np.nanmean(dark) < np.nanpercentile(case.maps[0], 25)

    def test_blanked_molecules_are_dark_no_more(self, cells):
        case = cells[1].make(CaseId(Role.TEST, 0, 0))
        rows, cols = case.positions.round().astype(int).T
        dark = case.maps[0, rows, cols]
        assert np.nanmean(dark) > np.nanpercentile(case.maps[0], 25)
