import numpy as np
import pytest

from stm_keras.simulation.surface_kinds import KINDS
from stm_keras.studies.bench.cases import CaseId, Role
from stm_keras.studies.bench.scoring import CellResult
from stm_keras.studies.bench.surfaces import (
    MAPS,
    surface_case,
    surface_cells,
    surface_name,
    write_surfaces,
)
from stm_keras.surfaces import PAPER_EXTENT_NM

WHICH = CaseId(Role.TUNE, 3, 0)


def test_every_kind_has_its_cells():
    names = [cell.name for cell in surface_cells()]
    assert len(names) == len(set(names))
    for kind in KINDS:
        for n in MAPS:
            assert surface_name(kind, n, empty=False) in names


def test_a_case_is_a_file_of_the_frame_and_kinds_share_impurities():
    plain, step = (
        surface_case(kind, 1, False, WHICH) for kind in ("plain", "step")
    )
    assert plain.file is not None
    assert plain.file.maps.extent_nm == (PAPER_EXTENT_NM, PAPER_EXTENT_NM)
    assert len(plain.positions) > 5
    np.testing.assert_array_equal(plain.positions, step.positions)
    assert not np.array_equal(plain.maps, step.maps)


@pytest.mark.parametrize("kind", ["plain", "step"])
def test_an_empty_frame_has_no_impurity(kind):
    assert len(surface_case(kind, 1, True, WHICH).positions) == 0


def test_the_table_has_found_and_promised(tmp_path):
    def result(cell, counts, promised):
        return CellResult(
            "surfaces",
            cell,
            "context",
            1.0,
            [counts],
            0.1,
            promised_false=promised,
        )

    results = [
        result("step, 4 maps", [20, 22, 19, 19, 0.2], 2.5),
        result("step, empty, 4 maps", [0, 1, 0, 0, 0.0], 0.4),
    ]
    (path,) = write_surfaces(results, tmp_path)
    (line,) = [li for li in path.read_text().split("\n") if "| step" in li]
    assert "3 / 2.5" in line
    assert "0.826" in line
    assert "1.00" in line
    assert write_surfaces([], tmp_path) == []
