import json
from dataclasses import replace

import pytest

from stm_keras.errors import InputError
from stm_keras.studies.bench.command import (
    all_cells,
    run_command,
    table_cells,
)
from stm_keras.studies.bench.real import named_cells
from stm_keras.studies.bench.report import (
    markdown,
    phase_rows,
    suite_notes,
    write_phase,
    write_report,
)
from stm_keras.studies.bench.run import (
    RESULTS,
    BenchOptions,
    append_result,
    latest,
    made_under,
    read_results,
    run_bench,
)
from stm_keras.studies.bench.scoring import CellResult
from stm_keras.studies.bench.simulated import PHASE, eq3_cells
from stm_keras.studies.tables import read_rows


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


@pytest.mark.slow
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
        return CellResult(PHASE, cell, finder, 1.0, counts, 0.1)

    results = [
        result("log", 2),
        result("rings", 5),
        result("context", 10),
        result("context-tuned", 10),
    ]
    rows = phase_rows(results)
    assert len(rows) == 25
    assert rows[0]["jaccard"] == 1
    assert rows[0]["best_other_name"] == "rings"
    table, picture = write_phase(results, tmp_path)
    assert len(read_rows(table)) == 25
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert write_phase([], tmp_path) == []


def test_lines_are_whole_json(cells, options, tmp_path):
    run(cells, tmp_path, options)
    lines = (tmp_path / RESULTS).read_text().splitlines()
    assert len(lines) == 6
    assert all(json.loads(line)["suite"] == "eq3" for line in lines)


MADE = {"date": "2026-01-02", "cores": 4, "machine": "m", "processes": 2}


def result(suite="eq3", cell="eta 0.2", finder="log", **changes):
    run = {"maps": 4, "tune_maps": 2, "seed": 0, "weights": ""} | changes
    return CellResult(
        suite, cell, finder, 1.0, [[5, 5, 4, 4, 0.5]], 0.1, run=run, made=MADE
    )


def keys(results):
    return set(latest(results))


def test_suites_do_not_displace_each_other():
    first = result("eq3", maps=40)
    second = result("virtual", maps=6)
    assert keys([first, second]) == {first.key, second.key}


@pytest.mark.parametrize(
    "change", [{"maps": 5}, {"tune_maps": 3}, {"seed": 1}], ids=str
)
def test_a_suite_made_otherwise_is_replaced_as_a_whole(change):
    old = [result(finder="log"), result(finder="rings")]
    new = result(finder="log", **change)
    assert list(latest([*old, new]).values()) == [new]


def test_of_two_the_last_counts():
    first, last = result(), replace(result(), seconds=9.0)
    assert latest([first, last])[first.key].seconds == 9.0


def test_other_weights_replace_all_finders_of_that_network_alone():
    old = [
        result(finder="log"),
        result(finder="wang2020", weights="w"),
        result(finder="context", weights="a"),
        result(finder="context", cell="eta 0.5", weights="a"),
        result(finder="context-tuned", weights="a"),
    ]
    new = result(finder="context", weights="b")
    shown = latest([*old, new])
    assert {key[1:] for key in shown} == {
        ("eta 0.2", "log"),
        ("eta 0.2", "wang2020"),
        ("eta 0.2", "context"),
    }
    assert shown[new.key] is new


def test_what_is_used_again_is_the_last(cells, roster, tmp_path):
    few, many = (
        BenchOptions(n_test=n, n_tune=2, roster=roster) for n in (2, 3)
    )

    def stacks(options):
        lines = []
        results = run_bench(cells, tmp_path, options, report=lines.append)
        done = sum("Jaccard" in line for line in lines)
        return {len(r.counts) for r in results}, len(results), done

    assert stacks(few) == ({2}, 6, 6)
    assert stacks(many) == ({3}, 6, 6)
    assert stacks(few) == ({2}, 6, 0)
    n = len(read_results(tmp_path / RESULTS))
    assert stacks(few) == ({2}, 6, 0)
    assert len(read_results(tmp_path / RESULTS)) == n


def test_what_the_table_leaves_out_is_said(cells, roster, tmp_path):
    options = BenchOptions(n_test=2, n_tune=2, roster=roster)
    run_bench(cells, tmp_path, options)
    lines = []
    other = replace(options, seed=1)
    run_bench(cells[:1], tmp_path, other, report=lines.append)
    left = [line for line in lines if "left out of the table" in line]
    assert len(left) == 1
    assert "3 results of suite eq3" in left[0]


def test_lines_of_an_older_version_are_read(tmp_path):
    path = tmp_path / RESULTS
    append_result(path, result())
    path.write_text(path.read_text().replace(', "made": ', ', "other": '))
    (read,) = read_results(path)
    assert read.made == {}
    assert read.counts == result().counts
    assert len(suite_notes([read])) == 1
    options = BenchOptions(n_test=4, n_tune=2)
    assert set(made_under([read], options)) == {read.key}


def test_one_report_of_several_commands(tmp_path):
    def command(suite, cells, finders, maps):
        options = BenchOptions(finders, n_test=maps, n_tune=2)
        return run_command(options, tmp_path, suites=(suite,), cells=cells)

    command("eq3", "eq3/eta 0.2", ("log", "rings"), 2)
    files = command("mismatch", "matched: decay", ("log",), 3)
    assert [path.name for path in files] == ["bench.md", "bench.csv"]
    text = files[0].read_text()
    first, second = text.split("## ")[1:]
    assert first.startswith("eq3")
    assert "|  | log | rings |" in first
    assert "2 test and 2 tuning stacks" in first
    assert ": log, rings" in first
    assert second.startswith("mismatch")
    assert "|  | log |\n" in second
    assert "3 test and 2 tuning stacks" in second
    rows = read_rows(files[1])
    assert [(r["suite"], r["finder"], r["stacks"]) for r in rows] == [
        ("eq3", "log", 2),
        ("eq3", "rings", 2),
        ("mismatch", "log", 3),
    ]


def test_the_notes_say_how_a_suite_was_made():
    later = MADE | {"date": "2026-01-03", "processes": 1}
    results = [
        replace(result(finder="context", weights="b"), made=later),
        result(finder="log"),
        result(finder="rings"),
        replace(result(cell="eta 0.5"), counts=[[1, 1, 1, 1, 0.0]] * 3),
    ]
    assert suite_notes(results) == [
        "2026-01-02, 4 cores, m; 2 at once, one thread each: log, rings",
        "2026-01-03, 4 cores, m; 1 at once, all threads: context",
        "seed 0; 1 or 3 test and 2 tuning stacks a cell",
        "weights: context b",
    ]


def test_real_files_stay_in_a_table_that_is_made_without_them():
    name = named_cells()[0].name
    text = markdown([result("real", name)], table_cells())
    assert f"| {name} |" in text


def test_the_table_holds_every_cell_that_there_can_be():
    names = {cell.label for cell in table_cells()}
    assert {cell.label for cell in all_cells()} <= names
    assert {cell.label for cell in named_cells()} <= names
