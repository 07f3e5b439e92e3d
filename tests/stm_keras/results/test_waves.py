"""Waves in a result: columns, tables, a section, a picture; or a reason."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from stm_keras.detections import Detections, Search
from stm_keras.results.folder import write_result
from stm_keras.results.report.pictures import unpacked
from stm_keras.results.waves import waves_about
from tests.stm_keras.waves.conftest import make_field

SURFACE = "0.26,-0.52"


def result_of(maps, positions, *, surface=SURFACE, **physics):
    """As `stmk predict --waves` has it."""
    n = len(positions)
    search = Search(
        (0, 0),
        maps,
        maps,
        np.zeros(maps.shape[1:]),
        False,
        {"name": "a model"},
        {"waves": True, "surface": surface},
    )
    return Detections(
        maps,
        positions,
        np.linspace(0.99, 0.6, n),
        0.5,
        search=search,
        deviations_px=np.full((n, 2), 0.05),
        physics=physics,
    )


@pytest.fixture(scope="module")
def field():
    kinds = np.where(np.arange(8) % 3, 0.5, 1.3)
    return make_field(3, n_maps=3, n=8, kinds=kinds)


def rows(path):
    lines = [x for x in path.read_text().splitlines() if x[0] != "#"]
    return list(csv.DictReader(lines))


def test_kinds_phases_and_mass_are_written(field, tmp_path):
    evidence = np.full(8, 9.0)
    evidence[3] = np.nan
    found = result_of(field.maps, field.positions, wave_evidence=evidence)
    written = {path.name for path in write_result(found, tmp_path)}
    assert {"scattering.csv", "dispersion.csv", "waves.png"} <= written
    table = rows(tmp_path / "positions.csv")
    assert [row["species"] for row in table] == [*"21121121"]
    assert table[3]["wave_evidence"] == ""
    report = json.loads((tmp_path / "positions.json").read_text())
    assert report["positions"][3]["wave_evidence"] is None
    mass = report["waves"]["dispersion"]
    assert abs(mass["effective_mass"] - 0.26) < 4 * mass["std_effective_mass"]
    phases = rows(tmp_path / "scattering.csv")
    assert len(phases) == 24
    off = [
        float(row["phase_shift_rad"]) - np.angle(t) + np.pi / 2
        for row, t in zip(phases, field.t.ravel(), strict=True)
    ]
    assert np.median(np.abs(off)) < 0.1
    assert "m* = " in (tmp_path / "dispersion.csv").read_text()


def pictures_in(folder):
    """The layers of a result's page."""
    page = (folder / "report.html").read_text("utf-8")
    text = page.split('type="application/json"')[1].split(">", 1)[1]
    return json.loads(text.split("</script>")[0])["layers"]


def test_the_page_has_the_residual_where_waves_were_fitted(field, tmp_path):
    found = result_of(field.maps, field.positions)
    write_result(found, tmp_path / "with")
    (layer,) = [
        layer
        for layer in pictures_in(tmp_path / "with")
        if layer["name"].startswith("Residual")
    ]
    assert len(layer["images"]) == len(field.maps.bias_v)
    least, most = layer["ranges"][0]
    low, high = np.nanpercentile(field.maps.data[0], (0.5, 99.5))
    # The waves are gone from it.
    assert most - least < 0.8 * (high - low)
    # Its pixels lie as the maps' do: a core that is left out is a gap.
    image = unpacked(layer["images"][0], layer["shape"])
    scale = np.divide(layer["shape"], field.maps.shape[1:])
    centres = ((field.positions + 0.5) * scale).astype(int)
    assert (image[tuple(centres.T)] == 0).all()
    assert (image != 0).mean() > 0.3
    write_result(result_of(field.maps, field.positions[:0]), tmp_path / "no")
    names = [layer["name"] for layer in pictures_in(tmp_path / "no")]
    assert not any(name.startswith("Residual") for name in names)


def test_candidates_below_the_threshold_have_no_kind(field, tmp_path):
    """The page has them in the table of those found."""
    found = result_of(field.maps, field.positions)
    left_out = Detections(
        found.maps,
        np.array([[3.0, 4.0], [9.0, 30.0]]),
        np.array([0.2, 0.1]),
        0.5,
        search=found.search,
        deviations_px=np.full((2, 2), 0.3),
    )
    written = write_result(replace(found, left_out=left_out), tmp_path)
    assert tmp_path / "report.html" in written
    assert len(rows(tmp_path / "positions.csv")) == 8
    page = (tmp_path / "report.html").read_text()
    assert "species" in page.lower()


def test_a_topograph_has_phases_alone(field, tmp_path):
    one = field.maps.with_data(
        field.maps.data[:1], "", bias_v=field.maps.bias_v[:1]
    )
    one = replace(one, channel="Z", unit="m")
    write_result(result_of(one, field.positions), tmp_path)
    for row in rows(tmp_path / "scattering.csv"):
        assert row["phase_shift_rad"]
        assert row["amplitude"] == ""
    assert "phases alone" in (tmp_path / "scattering.csv").read_text()
    waves = json.loads((tmp_path / "positions.json").read_text())["waves"]
    assert waves["dispersion"] is None
    assert any("m*, E0: not determined" in note for note in waves["notes"])


@pytest.mark.parametrize(
    ("surface", "keep", "reason"),
    [
        (None, 8, "no ring"),
        (SURFACE, 0, "no position"),
        ("0.26,0.3", 8, "q is"),
    ],
)
def test_what_is_not_determined_says_why(
    field, tmp_path, surface, keep, reason
):
    rng = np.random.default_rng(0)
    noise = field.maps.with_data(rng.normal(size=field.maps.shape), "")
    found = result_of(noise, field.positions[:keep], surface=surface)
    written = {path.name for path in write_result(found, tmp_path)}
    assert "waves.png" not in written
    assert reason in (tmp_path / "scattering.csv").read_text()
    assert rows(tmp_path / "scattering.csv") == []
    report = json.loads((tmp_path / "positions.json").read_text())
    assert reason in report["waves"]["not_determined"]
    assert all(p["species"] is None for p in report["positions"])


def test_of_two_at_one_place_the_surer_is_fitted(field):
    places = np.concatenate([field.positions, field.positions[:1] + 0.1])
    waves = waves_about(result_of(field.maps, places))
    assert waves.fit is not None
    assert waves.fitted.tolist() == [True] * 8 + [False]


def test_without_waves_nothing_is_added(field, tmp_path):
    found = result_of(field.maps, field.positions)
    search = found.search
    plain = Detections(
        found.maps,
        found.positions_px,
        found.scores,
        0.5,
        search=Search(*(getattr(search, n) for n in _FIELDS), {}),
        deviations_px=found.deviations_px,
    )
    assert not {p.name for p in write_result(plain, tmp_path)} & {
        "scattering.csv",
        "waves.png",
    }
    assert "waves" not in json.loads((tmp_path / "positions.json").read_text())


_FIELDS = (
    "origin_px",
    "levelled",
    "maps",
    "score",
    "needs_every_map",
    "model",
)
