import base64
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stm_keras.detections import Search
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.results.folder import OutputOptions, write_result
from stm_keras.results.report import report_of, report_of_maps
from stm_keras.results.report.content import (
    MOST_LEFT_OUT,
    as_json,
    content_of,
    content_of_maps,
)
from stm_keras.results.report.pictures import unpacked
from stm_keras.results.report.words import _MEANINGS, LAYERS, meaning

HOSTILE = "</script><script>window.ran=1</script><b>&amp;"
SOURCES = Path(__file__).parents[4] / "stm_keras"


def embedded(page):
    """The JSON within a page."""
    (text,) = re.findall(
        r'<script id="content" type="application/json">(.*?)</script>',
        page,
        flags=re.DOTALL,
    )
    return json.loads(text)


def columns(content):
    return {c["name"]: c["values"] for c in content["found"]["columns"]}


def test_the_page_holds_the_content(sure):
    content = content_of(sure)
    assert embedded(report_of(sure).html) == json.loads(as_json(content))


def test_the_table_holds_what_was_found_and_what_was_left_out(sure):
    content = content_of(sure)
    table = columns(content)
    assert content["found"]["count"] == 3
    assert content["found"]["left_out"] == 2
    assert content["found"]["threshold"] == 0.62
    assert content["found"]["probabilities"] is True
    assert table["score"] == [0.98, 0.9, 0.62, 0.4, 0.05]
    assert table["rank"] == [1, 2, 3, 4, 5]
    assert list(table) == list(sure.columns())
    np.testing.assert_allclose(
        table["x_nm"][:3], sure.positions_nm[:, 1], atol=1e-5
    )
    assert table["row"][3:] == [20, 28]
    assert table["species"] == ["A", "B", "A", "B", "B"]
    assert table["phase_rad"] == [0.5, None, -1.25, None, 0.0]
    assert content["provenance"] == list(sure.notes)
    told = [one["text"] for one in content["warnings"]]
    assert told == sure.warnings == ["unfinished: half a scan", "b.sxm: odd"]
    assert "stopped" in content["warnings"][0]["meaning"]


def test_the_frame_is_that_of_the_part_that_was_searched(sure):
    content = content_of(sure)
    assert content["frame_nm"] == {
        "top": pytest.approx(0.8),
        "left": pytest.approx(0.6),
        "height": pytest.approx(7.2),
        "width": pytest.approx(4.4),
    }
    assert content["bias_v"] == [-0.1, 0.02]
    first, rms, score = content["layers"]
    assert (len(first["images"]), first["shape"]) == (2, [36, 44])
    assert rms["name"] == "RMS over bias"
    assert (len(score["images"]), score["shape"]) == (1, [18, 11])
    codes = unpacked(score["images"][0], score["shape"])
    assert codes[0, 0] == 0
    assert (codes.ravel()[1:] > 0).all()
    (low, high) = score["ranges"][0]
    shown = low + (codes.ravel()[1:] - 1.0) / 254 * (high - low)
    known = np.clip(sure.search.score.ravel()[1:], low, high)
    np.testing.assert_allclose(shown, known, atol=0.51 * (high - low) / 254)


def test_a_layer_is_one_line(sure):
    """One image, or one a bias, at any resolution."""
    rng = np.random.default_rng(0)
    more = {
        "residual": rng.normal(size=(2, 36, 44)),
        "off_training": rng.normal(size=(6, 7)),
        "my_own_one": rng.normal(size=(5, 4)),
    }
    found = replace(sure, search=replace(sure.search, layers=more))
    added = content_of(found)["layers"][3:]
    assert [one["name"] for one in added] == [
        LAYERS["residual"],
        LAYERS["off_training"],
        "My own one",
    ]
    assert [len(one["images"]) for one in added] == [2, 1, 1]
    assert added[1]["shape"] == [6, 7]


def test_a_layer_that_is_neither_is_refused(sure):
    bad = replace(sure.search, layers={"residual": np.zeros((3, 8, 8))})
    with pytest.raises(InputError, match=r"layer 'residual'.*\(3, 8, 8\)"):
        content_of(replace(sure, search=bad))


def test_a_network_without_probabilities(prediction):
    content = content_of(prediction())
    assert content["found"]["probabilities"] is False
    assert content["found"]["left_out"] == 0
    assert content["found"]["calibration"] == ""
    assert "std_x_nm" not in columns(content)


def test_nothing_found(prediction):
    content = content_of(prediction(np.empty((0, 2))))
    assert content["found"]["count"] == 0
    assert all(values == [] for values in columns(content).values())
    assert embedded(report_of(prediction(np.empty((0, 2)))).html)


def test_maps_alone():
    maps = ConductanceMaps(
        np.random.default_rng(0).normal(size=(3, 9, 9)),
        [0.3, 0.1, 0.2],
        (4.0, 4.0),
        provenance=("warning: the tip jumped, offsets taken out: 3",),
    )
    content = content_of_maps(maps)
    assert "found" not in content
    assert content["bias_v"] == [0.1, 0.2, 0.3]
    assert content["warnings"][0]["meaning"].startswith("The tip changed")
    assert embedded(report_of_maps(maps).html)["provenance"][1:] == [
        "sorted by bias"
    ]


def test_true_positions(sure):
    content = content_of(sure, [[9.5, 4.5]])
    assert content["truth_nm"] == [[pytest.approx(0.5), pytest.approx(2.0)]]
    with pytest.raises(InputError, match="truth_px"):
        content_of(sure, [[1.0, 2.0, 3.0]])


def test_names_from_files_are_text(sure):
    maps = replace(sure.maps, source=HOSTILE + ".sxm", channel=HOSTILE)
    search = replace(
        sure.search,
        levelled=replace(sure.search.levelled, channel=HOSTILE),
        layers={HOSTILE: np.eye(4)},
    )
    found = replace(
        sure,
        maps=maps,
        search=search,
        notes=(f"warning: {HOSTILE}", f"read\u2028 {HOSTILE}"),
        physics=dict(sure.physics) | {HOSTILE: np.array([HOSTILE] * 3)},
        left_out=None,
    )
    page = report_of(found).html
    assert page.count("<script") == page.count("</script>") == 2
    assert HOSTILE not in page
    assert "<b>" not in page
    content = embedded(page)
    assert content["warnings"][0]["text"] == HOSTILE
    assert HOSTILE in content["layers"][0]["name"]
    assert columns(content)[HOSTILE] == [HOSTILE] * 3
    shown = report_of(found)._repr_html_()
    assert shown.count("<") == 2  # the frame alone, and its end
    assert html.unescape(shown.split('"')[3]) == page


def test_it_asks_nothing_of_a_network(sure):
    page = report_of(sure).html
    assert not re.search(r"https?:|@import|url\(", page)
    assert set(re.findall(r'\b(?:src|href)="([^"]*)"', page)) == {"#table"}
    assert not re.search(r"<(link|img|iframe|object|embed|base)\b", page)
    (policy,) = re.findall(r'Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert not re.search(r"\sstyle=|\son[a-z]+=", page)


def test_a_name_that_is_no_utf_8(sure, tmp_path):
    maps = replace(sure.maps, source="b\udce4d.sxm")
    levelled = replace(sure.search.levelled, source="b\udce4d.sxm")
    found = replace(
        sure, maps=maps, search=replace(sure.search, levelled=levelled)
    )
    path = report_of(found).save(tmp_path / "new" / "report.html")
    page = path.read_text("utf-8")
    assert r"<title>b\udce4d.sxm</title>" in page
    assert embedded(page)["title"] == "b\udce4d.sxm"


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("/a/scan.sxm", "scan.sxm"),
        ("/a/s1.sxm, /a/s2.sxm, /b/s3.sxm", "s1.sxm and 2 more"),
        ("/a/this, that.sxm", "this, that.sxm"),
        ("virtual experiment", "virtual experiment"),
        ("", "memory"),
    ],
)
def test_the_title_is_short(sure, source, title):
    levelled = replace(sure.search.levelled, source=source)
    search = replace(sure.search, levelled=levelled)
    assert content_of(replace(sure, search=search))["title"] == title


def test_a_usual_stack_stays_below_5_mb(sure):
    """126 maps of 256 x 256 px of noise, the hardest to pack."""
    rng = np.random.default_rng(0)
    maps = ConductanceMaps(
        rng.normal(size=(126, 256, 256)),
        np.linspace(-0.23, 0.02, 126),
        (37.5, 37.5),
    )
    score = rng.normal(size=(256, 256)).astype(np.float32)
    search = Search.of(maps, score, needs_every_map=False)
    many = np.tile(sure.positions_px, (400, 1))
    found = replace(
        sure,
        maps=maps,
        search=search,
        positions_px=many,
        scores=np.full(len(many), 0.9),
        deviations_px=np.full_like(many, 0.1),
        physics={},
        left_out=None,
    )
    page = report_of(found).html
    assert 3e6 < len(page.encode()) < 5e6
    content = embedded(page)
    assert len(content["layers"][0]["images"]) == 126
    assert min(content["layers"][0]["shape"]) >= 128
    assert "in place of 256 x 256 px" in content["remarks"][0]


def test_so_many_candidates_are_told(sure):
    n = MOST_LEFT_OUT + 5
    more = replace(
        sure,
        positions_px=np.ones((n, 2)),
        scores=np.linspace(0.6, 0.02, n),
        deviations_px=np.ones((n, 2)),
        physics={"species": np.array(["A"] * n), "phase_rad": np.zeros(n)},
    )
    content = content_of(replace(sure, left_out=more))
    assert content["found"]["left_out"] == MOST_LEFT_OUT
    assert len(columns(content)["score"]) == 3 + MOST_LEFT_OUT
    (remark,) = content["remarks"]
    assert "2000 surest of 2005" in remark


def test_colours_are_of_256_and_even_in_lightness(sure):
    for text in content_of(sure)["colours"].values():
        table = np.frombuffer(base64.b64decode(text), np.uint8).reshape(256, 3)
        lightness = table @ [0.2126, 0.7152, 0.0722]
        assert abs(np.sign(np.diff(lightness, prepend=np.nan)[1:]).sum()) > 200


@pytest.mark.parametrize("part", [part for part, _ in _MEANINGS])
def test_every_warning_that_is_explained_is_one(part):
    """The words are found where the warning is made."""
    pattern = r"[\s\"]+f?\"?".join(map(re.escape, part.split()))
    assert any(
        re.search(pattern, path.read_text("utf-8"))
        for path in SOURCES.rglob("*.py")
        if path.name != "words.py"
    )
    assert meaning(f"a.sxm: {part} 3") != ""


def test_a_warning_that_is_not_explained_stands_for_itself():
    assert meaning("something new") == ""


def test_a_result_without_a_report(sure, tmp_path):
    written = write_result(sure, tmp_path, OutputOptions(report=False))
    assert tmp_path / "report.html" not in written
    assert not (tmp_path / "report.html").exists()
    written = write_result(sure, tmp_path)
    page = tmp_path / "report.html"
    assert page in written
    assert page.read_text("utf-8") == report_of(sure).html


def test_a_result_shows_itself(sure, tmp_path):
    page = sure.report(tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text("utf-8") == page.html
    assert sure.report().html == page.html
    with pytest.raises(InputError, match="Cannot write"):
        sure.report(tmp_path / "mine.html" / "report.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        sure.report(tmp_path / "folder.html")


def test_a_notebook_shows_the_surest_and_the_warnings(sure):
    shown = sure._repr_html_()
    assert "3 impurities in scan µ.sxm<br>expected to be false: 0.5" in shown
    assert "<br>Warning: b.sxm: odd" in shown
    assert shown.count("<tr>") == 4
    many = replace(
        sure,
        positions_px=np.ones((70, 2)),
        scores=np.linspace(1, 0.7, 70),
        deviations_px=np.ones((70, 2)),
        physics={},
    )
    assert many._repr_html_().count("<tr>") == 51
    assert "The 50 surest follow" in many._repr_html_()
