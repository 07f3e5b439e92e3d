import json
from dataclasses import replace

import pytest

from stm_keras.bench.eq3 import eq3_cells
from stm_keras.bench.options import BenchOptions
from stm_keras.bench.phase import SUITE, phase_rows, write_phase
from stm_keras.bench.report import markdown, write_report
from stm_keras.bench.result import CellResult
from stm_keras.bench.run import run_bench
from stm_keras.bench.store import RESULTS, made_under, read_results
from stm_keras.errors import InputError
from stm_keras.reproduction.tables import read_rows


@pytest.fixture
def options(roster):
    return BenchOptions(n_test=3, n_tune=2, roster=roster)


def run(cells, out, options):
    lines = []
    return run_bench(cells, out, options, report=lines.append), lines


def without_times(path):
    rows = read_rows(path)
    for row in rows:
        row.pop("seconds")
    return repr(rows)


def test_every_cell_and_finder_is_done_and_what_is_left_out_said(
    cells, options, tmp_path
):
    results, lines = run(cells, tmp_path, options)
    assert {r.finder for r in results} == {"log", "context", "context-tuned"}
    assert len(results) == 6
    assert sum(line.startswith("left out") for line in lines) == 4


def test_a_stopped_run_goes_on_and_gives_the_same_table(
    cells, options, tmp_path
):
    whole, _ = run(cells, tmp_path / "whole", options)
    files = write_report(whole, cells, tmp_path / "whole")
    stopped = tmp_path / "stopped"
    run(cells[:1], stopped, options)
    path = stopped / RESULTS
    lines = path.read_text().splitlines(keepends=True)
    # Killed while it wrote the third result.
    path.write_text("".join(lines[:2]) + lines[2][:40])
    assert len(read_results(path)) == 2
    again, said = run(cells, stopped, options)
    assert len([line for line in said if "Jaccard" in line]) == 4
    write_report(again, cells, stopped)
    assert without_times(stopped / "bench.csv") == without_times(files[1])


def test_nothing_is_done_twice(cells, options, tmp_path, roster):
    run(cells, tmp_path, options)
    made = roster.made
    run(cells, tmp_path, options)
    assert roster.made == made


def test_results_of_another_seed_are_not_taken(
    cells, options, roster, tmp_path
):
    run(cells, tmp_path, options)
    other = BenchOptions(n_test=3, n_tune=2, seed=1, roster=roster)
    assert made_under(read_results(tmp_path / RESULTS), other) == {}


def test_a_foreign_file_is_refused(cells, options, tmp_path):
    (tmp_path / RESULTS).write_text("hello\nworld\n")
    with pytest.raises(InputError, match="line 1"):
        run(cells, tmp_path, options)


def test_processes_give_the_same(tmp_path):
    finders = ("log", "rings")
    apart = [replace(c, source=c.name) for c in eq3_cells()[:2]]
    tables = []
    for processes in (1, 2):
        options = BenchOptions(finders, n_test=2, n_tune=2, processes=processes)
        out = tmp_path / str(processes)
        results = run_bench(apart, out, options)
        write_report(results, apart, out)
        tables.append(without_times(out / "bench.csv"))
    assert tables[0] == tables[1]


def test_the_report_names_all_and_marks_the_best_of_the_others(
    cells, options, tmp_path
):
    results, _ = run(cells, tmp_path, options)
    text = markdown(results, cells)
    assert "- seed 0; 3 test and 2 tuning stacks a cell" in text
    assert "| eta 0.2 | 0.000 [0.000, 0.000] | 1.000 [1.000, 1.000]" in text
    assert "| eta 0.2 | log | +1.000 [+1.000, +1.000]" in text
    for line in text.splitlines():
        assert "nan" not in line


def test_a_mismatch_is_set_beside_its_match(cells, options, tmp_path):
    beside = [cells[0], replace(cells[1], beside=cells[0].name)]
    results, _ = run(beside, tmp_path, options)
    text = markdown(results, beside)
    after = text.split("less that of the matched cell")[1]
    assert "| eta 0.5 | +0.000" in after


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_test", 0), ("n_tune", 0), ("processes", 0), ("seed", -1)],
)
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(InputError, match="between"):
        BenchOptions(**{name: value})


def test_no_finder_at_all_is_refused(cells, roster, tmp_path):
    options = BenchOptions(("trackpy",), roster=roster)
    with pytest.raises(InputError, match="None of the finders"):
        run_bench(cells, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_the_phase_diagram_takes_the_best_of_the_others(tmp_path):
    def result(finder, pairs):
        counts = [[10, 10, pairs, pairs, 0.0]]
        cell = "8 impurities, noise 0.25"
        return CellResult(SUITE, cell, finder, 1.0, counts, 0.1)

    results = [
        result("log", 2),
        result("rings", 5),
        result("context", 10),
        result("context-tuned", 10),
    ]
    rows = phase_rows(results, "context")
    assert len(rows) == 25
    assert rows[0]["jaccard"] == 1
    assert rows[0]["best_other_name"] == "rings"
    table, picture = write_phase(results, "context", tmp_path)
    assert len(read_rows(table)) == 25
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert write_phase([], "context", tmp_path) == []


def test_lines_are_whole_json(cells, options, tmp_path):
    run(cells, tmp_path, options)
    lines = (tmp_path / RESULTS).read_text().splitlines()
    assert len(lines) == 6
    assert all(json.loads(line)["suite"] == "eq3" for line in lines)
