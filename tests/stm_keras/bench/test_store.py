from dataclasses import replace

import pytest

from stm_keras.bench.command import BenchCommand, run_command
from stm_keras.bench.notes import suite_notes
from stm_keras.bench.options import BenchOptions
from stm_keras.bench.real import named_cells
from stm_keras.bench.report import markdown
from stm_keras.bench.result import CellResult
from stm_keras.bench.run import run_bench
from stm_keras.bench.store import (
    RESULTS,
    append_result,
    latest,
    made_under,
    read_results,
)
from stm_keras.bench.suites import all_cells, table_cells
from stm_keras.reproduction.tables import read_rows

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
        asked = BenchCommand(
            tmp_path,
            suites=(suite,),
            cells=cells,
            finders=finders,
            n_test=maps,
            n_tune=2,
        )
        return run_command(asked)

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
