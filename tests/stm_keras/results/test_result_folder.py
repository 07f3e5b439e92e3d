import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from stm_keras import plots
from stm_keras.detections import read_positions, warnings_in
from stm_keras.errors import InputError
from stm_keras.io.sets import expand
from stm_keras.results.batch import FileResult, write_summary
from stm_keras.results.folder import (
    EXPORTS,
    FILES,
    OutputOptions,
    document,
    write_result,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_everything_is_written(tmp_path, prediction):
    out = tmp_path / "new" / "out"
    options = OutputOptions(("all",), 0.3)
    files = write_result(prediction(), out, options)
    exports = [export.file for export in EXPORTS.values()]
    assert [file.name for file in files] == [*FILES, *exports]
    assert names(out) == sorted([*FILES, *exports])


def test_results_are_no_measurements(tmp_path, prediction):
    """A folder may hold the results of an earlier run beside its files."""
    write_result(prediction(), tmp_path, OutputOptions(("all",)))
    write_summary(tmp_path / "summary.csv", [])
    np.save(tmp_path / "mine.npy", np.zeros((3, 4)))
    assert expand([tmp_path]) == ((tmp_path / "mine.npy",), ())


def test_arrays_have_the_files_size(tmp_path, prediction):
    found = prediction()
    write_result(found, tmp_path, OutputOptions(mask_radius_nm=0.3))
    mask, measured = (
        np.load(tmp_path / f"{name}.npy") for name in ("mask", "measured")
    )
    assert mask.shape == measured.shape == (40, 50)
    assert mask.dtype == measured.dtype == np.uint8
    assert mask[12, 30] == mask[5, 9] == mask[33, 16] == 1
    expected = np.zeros((40, 50), np.uint8)
    expected[4:, 6:] = 1
    expected[20:22] = 0
    np.testing.assert_array_equal(measured, expected)


def test_table_with_the_scanners_coordinates(tmp_path, prediction):
    found = prediction()
    write_result(found, tmp_path)
    lines = (tmp_path / "positions.csv").read_text().splitlines()
    heading = next(line for line in lines if line.startswith("row,col"))
    assert "scanner_x_nm,scanner_y_nm" in heading
    table = np.loadtxt(
        tmp_path / "positions.csv",
        delimiter=",",
        skiprows=sum(line.startswith("#") for line in lines) + 1,
    )
    np.testing.assert_allclose(
        table[:, 4:6],
        found.maps.scanner_nm(found.positions_px),
        atol=1e-5,
    )
    # By hand: turned by 90 degrees, up on the image is left on the sample.
    row, col = found.positions_px[0]
    right, up = (col + 0.5) * 0.1 - 2.5, 4.0 - (row + 0.5) * 0.2
    np.testing.assert_allclose(table[0, 4:6], [100 - up, 50 + right], atol=1e-5)


def test_no_placement_no_columns(tmp_path, prediction):
    write_result(prediction(placed=False), tmp_path)
    assert "scanner" not in (tmp_path / "positions.csv").read_text()
    assert len(read_positions(tmp_path / "positions.csv").positions_px) == 3
    written = json.loads((tmp_path / "positions.json").read_text())
    assert written["source"]["placement"] is None
    assert "scanner_x_nm" not in written["positions"][0]


def test_json_says_what_the_table_says(tmp_path, prediction):
    found = prediction()
    write_result(found, tmp_path)
    text = (tmp_path / "positions.json").read_text(encoding="utf-8")
    written = json.loads(text)
    assert written == document(found, mask_radius_nm=0.5)
    table = read_positions(tmp_path / "positions.csv")
    places = [[p["row"], p["col"]] for p in written["positions"]]
    np.testing.assert_allclose(places, table.positions_px, atol=1e-5)
    nm = [[p["y_nm"], p["x_nm"]] for p in written["positions"]]
    np.testing.assert_allclose(nm, table.positions_nm, atol=1e-5)
    assert [p["rank"] for p in written["positions"]] == [1, 2, 3]
    assert written["format_version"] == 1
    assert written["region"] == {
        "rows": [4, 40],
        "cols": [6, 50],
        "origin_nm": pytest.approx([0.8, 0.6]),
        "bias_v": [-0.1, 0.02],
    }
    assert written["source"]["bias_v"] == [0.02, -0.1]
    assert written["source"]["placement"]["angle_deg"] == 90
    assert written["model"]["name"] == "little"
    assert written["threshold"] == 3.5
    assert written["noise_floor_of_s"] == 0.2
    assert written["warnings"] == ["unfinished: half a scan", "b.sxm: odd"]
    assert "µ" in text


def test_what_is_not_known_of_an_impurity(tmp_path, prediction):
    """The evidence of waves, say, where no wave length is known."""
    evidence = np.array([np.nan, 2.5, np.nan])
    found = replace(prediction(), physics={"wave_evidence": evidence})
    write_result(found, tmp_path)
    written = json.loads((tmp_path / "positions.json").read_text("utf-8"))
    told = [one["wave_evidence"] for one in written["positions"]]
    assert told == [None, 2.5, None]
    assert len(read_positions(tmp_path / "positions.csv").positions_px) == 3


def test_nothing_found_is_a_result(tmp_path, prediction):
    found = prediction(np.empty((0, 2)))
    files = write_result(found, tmp_path, OutputOptions(("all",)))
    # ImageJ and napari open no file without a point.
    assert names(tmp_path) == sorted([*FILES, "result.gwy"])
    assert len(files) == len(FILES) + 1
    assert (
        json.loads((tmp_path / "positions.json").read_text())["positions"] == []
    )
    assert not np.load(tmp_path / "mask.npy").any()


def test_an_error_leaves_the_folder_as_it_was(
    tmp_path, prediction, monkeypatch
):
    write_result(prediction(), tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plots, "overview", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_result(prediction(np.array([[7.0, 7.0]])), tmp_path)
    assert before == {
        path.name: path.read_bytes() for path in tmp_path.iterdir()
    }


def test_a_directory_that_is_a_file(tmp_path, prediction):
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="Cannot write to the directory"):
        write_result(prediction(), tmp_path / "out")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"exports": ("matlab",)}, "'matlab'. Known: imagej, napari, gwyd"),
        ({"mask_radius_nm": -1.0}, "--mask-radius-nm .* Received: -1"),
    ],
)
def test_wrong_options(wrong, message):
    with pytest.raises(InputError, match=message):
        OutputOptions(**wrong)


@pytest.mark.parametrize(
    ("program", "package"), [("imagej", "roifile"), ("gwyddion", "gwyfile")]
)
def test_a_missing_package_is_told_at_once(monkeypatch, program, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"{package}.*pip install 'stm-keras\[{program}\]'"
    ):
        OutputOptions((program,))


def test_warnings_are_told_from_notes_and_once():
    notes = ("warning: a", "warning: x.sxm: b", "no warning: c", "warning: a")
    assert warnings_in(notes) == ["a", "x.sxm: b"]


def test_a_files_name_that_is_no_utf_8(tmp_path, prediction):
    """Names from an old Windows disk: their bytes stay, as escapes."""
    found, name = prediction(), "b\udce4d.sxm"
    maps = replace(found.maps, source=name)
    found = replace(found, maps=maps, notes=(f"warning: {name}: odd",))
    write_result(found, tmp_path, OutputOptions(("all",)))
    write_summary(tmp_path / "summary.csv", [FileResult.of_maps(maps)])
    told = json.loads((tmp_path / "positions.json").read_text("utf-8"))
    assert name in json.dumps(told, ensure_ascii=False)
    for table in ("positions.txt", "summary.csv"):
        assert r"b\udce4d.sxm" in (tmp_path / table).read_text("utf-8")
