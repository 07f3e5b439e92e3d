"""`stmk waves`, from a file to its results."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from stm_keras.analysis.positions_file import write_positions
from stm_keras.io.formats.arrays.numpy_files import write_npz
from tests.stm_keras.waves.conftest import make_field


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves")
    field = make_field(6, n_maps=3, n=6, size=48)
    write_npz(field.maps, folder / "maps.npz")
    write_positions(
        folder / "positions.csv",
        field.positions,
        np.ones(6),
        pixel_nm=field.maps.pixel_nm,
    )
    return folder, field


def run(*arguments):
    return CliRunner().invoke(app, ["waves", *map(str, arguments)])


def rows(path):
    lines = [x for x in path.read_text().splitlines() if x[0] != "#"]
    return list(csv.DictReader(lines))


def test_writes_phases_dispersion_and_kernel(written):
    folder, field = written
    out = folder / "out"
    result = run(
        folder / "maps.npz",
        "--positions",
        folder / "positions.csv",
        "--surface",
        "au111",
        "--out",
        out,
    )
    assert result.exit_code == 0, result.output
    assert "waves of 6 impurities in 3 of 3 maps" in result.output
    table = rows(out / "scattering.csv")
    assert len(table) == 18
    phase = np.array([float(row["phase_shift_rad"]) for row in table])
    true = np.angle(field.t.ravel()) - np.pi / 2
    order = _order(table, field)
    off = np.angle(
        np.exp(1j * (phase.reshape(6, 3) - true.reshape(6, 3)[order]))
    )
    assert np.median(np.abs(off)) < 0.08
    q = [float(row["q_per_nm"]) for row in rows(out / "dispersion.csv")]
    assert q == pytest.approx(field.q_per_nm, rel=0.01)
    report = json.loads((out / "waves.json").read_text())
    assert report["dispersion"]["effective_mass"] == pytest.approx(
        0.26, rel=0.1
    )
    with np.load(out / "kernel.npz") as kernel:
        fitted = kernel["fitted"]
        assert fitted.ndim == 4
        assert fitted.shape == kernel["measured"].shape
        middle = fitted.shape[-1] // 2
        assert np.isnan(fitted[..., middle, middle]).all()
        assert kernel["offset_nm"][middle] == 0
        known = np.isfinite(fitted[0, 0]) & np.isfinite(
            kernel["measured"][0, 0]
        )
        both = [kernel[name][0, 0][known] for name in ("fitted", "measured")]
        assert np.corrcoef(*both)[0, 1] > 0.5
    with np.load(out / "waves.npz") as maps:
        np.testing.assert_allclose(
            maps["subtracted"], maps["maps"] - maps["waves"], atol=1e-5
        )
        left = np.nanstd(maps["residual"]) / np.nanstd(maps["maps"])
        assert left < 0.75
    assert (out / "waves.png").stat().st_size > 10_000


def _order(table, field):
    """Which impurity of the field each of the file is."""
    places = np.array([(float(r["row"]), float(r["col"])) for r in table[::3]])
    apart = np.linalg.norm(places[:, None] - field.positions, axis=-1)
    return apart.argmin(axis=1)


def test_refuses_positions_of_another_frame(written, tmp_path):
    folder, _ = written
    table = tmp_path / "p.csv"
    table.write_text("row,col\n3,4\n100,3\n")
    result = run(
        folder / "maps.npz",
        "--positions",
        table,
        "--surface",
        "au111",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code != 0
    assert "outside of the frame" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_below_the_band_edge_is_said(written, tmp_path):
    """Ag(111) has no state at -0.2 V: empty cells, and a line that says so."""
    folder, _ = written
    result = run(
        folder / "maps.npz",
        "--positions",
        folder / "positions.csv",
        "--surface",
        "0.26,-0.15",
        "--out",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    assert "1 of 3 maps have no known q" in result.output
    first = rows(tmp_path / "dispersion.csv")[0]
    assert first["q_per_nm"] == ""
    assert rows(tmp_path / "scattering.csv")[0]["phase_shift_rad"] == ""
