import csv
from dataclasses import replace
from pathlib import Path

from stm_keras.results.batch import (
    COLUMNS,
    FileResult,
    format_summary,
    write_summary,
)


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_line_a_file(tmp_path, prediction):
    found = prediction()
    read = FileResult.of_maps(found.maps)
    done = read.with_detections(found, [Path("out/scan/positions.csv")])
    refused = FileResult("b.sxm", reason='b.sxm: empty, "so"')
    late = replace(read, reason="scan µ.sxm: no ring")
    write_summary(tmp_path / "new" / "summary.csv", [done, refused, late])
    first, second, third = rows(tmp_path / "new" / "summary.csv")
    assert tuple(first) == COLUMNS
    assert first == {
        "file": "scan µ.sxm",
        "status": "ok",
        "found": "3",
        "channel": "Z",
        "maps": "2",
        "bias_v": "0.02; -0.1",
        "height_nm": "8",
        "width_nm": "5",
        "rows": "40",
        "cols": "50",
        "result": "out/scan",
        "warnings": "unfinished: half a scan; b.sxm: odd",
        "reason": "",
    }
    assert second["status"] == third["status"] == "refused"
    assert second["reason"] == 'b.sxm: empty, "so"'
    assert second["channel"] == second["found"] == second["result"] == ""
    assert third["channel"] == "Z"
    assert third["found"] == third["result"] == ""
    assert third["warnings"] == "unfinished: half a scan"


def test_the_printed_table_is_aligned(prediction):
    found = prediction()
    done = FileResult.of_maps(found.maps).with_detections(found, [])
    lines = format_summary(
        [done, FileResult("folder/a long name.sxm", reason="why")]
    ).splitlines()
    assert len(lines) == 3
    assert lines[1].split("  ")[0] == "scan µ.sxm"
    for word in ("Z", "-0.1 to 0.02 (2)", "8 x 5", "40 x 50", "3"):
        assert word in lines[1]
    assert lines[2].startswith("a long name.sxm")
    assert lines[2].endswith("refused")
    assert lines[0].index("found") == lines[2].index("refused")


def test_terminal_codes_do_not_reach_the_terminal():
    evil = FileResult("a\x1b[2J.sxm", reason="a\x1b[2J.sxm: empty")
    assert "\x1b" not in format_summary([evil])
