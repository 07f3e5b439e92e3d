"""The page in headless Chromium; skipped where that is not installed."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from stm_keras.detections import read_positions
from stm_keras.results.report import report_of, report_of_maps

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)
HOSTILE = "</script><script>window.ran=1</script><img src=x onerror=ran=1>"


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a report; it must ask for nothing and report no error."""
    faults: list[str] = []
    requests: list[tuple[str, set[str]]] = []

    def open_page(report, width=1280, height=900, **options):
        path = report.save(tmp_path / "report.html")
        context = chromium.new_context(
            viewport={"width": width, "height": height}, **options
        )
        page = context.new_page()
        page.set_default_timeout(120_000)  # of a busy machine
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda said: said.type == "error" and faults.append(said.text),
        )
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        asked = {path.as_uri()}
        page.on("request", lambda request: asked.add(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready]")
        requests.append((path.as_uri(), asked))
        return page

    yield open_page
    for context in chromium.contexts:
        context.close()
    assert faults == []
    for own, asked in requests:
        # Saving a table makes an address within the page.
        assert {url for url in asked if not url.startswith("blob:")} == {own}


def pixels(page):
    """Of the picture, [H, W, 4]."""
    size, values = page.evaluate(
        """() => {
          const canvas = document.getElementById("picture");
          const pen = canvas.getContext("2d");
          const {width, height} = canvas;
          const all = pen.getImageData(0, 0, width, height).data;
          return [[height, width], Array.from(all)];
        }"""
    )
    return np.array(values).reshape(*size, 4)


def settled(page, change):
    """Pixels once they are no longer what they were before a change."""
    before = pixels(page)
    change()
    for _ in range(100):
        now = pixels(page)
        if now.shape != before.shape or (now != before).any():
            return now
        page.wait_for_timeout(20)
    raise AssertionError("the picture does not change")


def text(page, selector):
    return page.inner_text(selector)


def n_marks(page):
    return page.locator("#marks .mark").count()


def move(page, slider, value):
    page.locator(slider).evaluate(
        "(one, value) => {one.value = value;"
        "one.dispatchEvent(new Event('input', {bubbles: true}))}",
        str(value),
    )


def test_the_slider_moves_through_the_bias(sure, opened):
    page = opened(report_of(sure))
    assert text(page, "#bias-value") == "20 mV"
    second = pixels(page)
    levelled = sure.search.levelled.data
    assert second.shape == (36, 44, 4)
    unknown = [0x7F, 0x9C, 0x9C, 255]
    np.testing.assert_array_equal(
        (second == unknown).all(axis=-1), np.isnan(levelled[1])
    )
    page.focus("#bias")
    first = settled(page, lambda: page.keyboard.press("ArrowLeft"))
    assert text(page, "#bias-value") == "-100 mV"
    assert "at -100 mV" in text(page, "#caption")
    # The colours follow the values: viridis grows brighter.
    brightness = first[..., :3].sum(axis=-1)
    order = np.argsort(levelled[0].ravel())
    low, high = brightness.ravel()[order[:50]], brightness.ravel()[order[-50:]]
    assert high.min() > low.max()
    np.testing.assert_array_equal(
        (first == unknown).all(axis=-1), np.isnan(levelled[0])
    )


def test_layers_and_colours(sure, opened):
    more = replace(sure.search, layers={"off_training": np.eye(6)})
    page = opened(report_of(replace(sure, search=more)))
    names = page.locator("#layers label").all_inner_texts()
    assert [name.strip() for name in names] == [
        "Map: Z",
        "RMS over bias",
        "Score S of the network",
        "Where the model is off its training",
    ]
    page.focus("#layers input:checked")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    shown = settled(page, lambda: page.keyboard.press("ArrowDown"))
    assert text(page, "#caption").startswith("Where the model is off")
    assert page.is_disabled("#bias")
    assert shown.shape == (6, 6, 4)
    grey = settled(
        page, lambda: page.select_option("#colours", "Grey, dark is high")
    )
    np.testing.assert_array_equal(grey[0, 0], [0, 0, 0, 255])
    np.testing.assert_array_equal(grey[0, 1], [255, 255, 255, 255])


def test_the_threshold_moves_what_counts(sure, opened):
    page = opened(report_of(sure))
    assert n_marks(page) == page.locator("#table-body tr").count() == 3
    assert "3 impurities have a probability of 0.62" in text(page, "#summary")
    # 0.02 + 0.1 + 0.38
    assert "none or 1 of these 3 is expected" in text(page, "#summary")
    assert "(0.5 by their probabilities)" in text(page, "#summary")
    move(page, "#threshold", 0.04)
    assert n_marks(page) == page.locator("#table-body tr").count() == 5
    # ... + 0.6 + 0.95
    assert "about" not in text(page, "#summary")
    assert "2 of these 5 are expected to be false" in text(page, "#summary")
    assert page.locator("#marks .added").count() == 2
    assert "dashed: 2" in text(page, "#expected")
    page.focus("#threshold")
    page.keyboard.press("End")
    assert n_marks(page) == 0
    assert "No impurity has a probability of 1.00" in text(page, "#summary")
    page.click("#as-predicted")
    assert n_marks(page) == 3


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.97, 0.96, 0.95], "probably none of these 3 is false (0.12 "),
        ([0.9, 0.8, 0.75], "none or 1 of these 3 is expected to be"),
        ([0.8, 0.7, 0.45], "1 of these 3 is expected to be false (1"),
        ([0.6, 0.5, 0.5], "1 or 2 of these 3 are expected to be false (1.4"),
        ([0.4, 0.4, 0.3], "2 of these 3 are expected to be false (1.9"),
    ],
)
def test_how_many_are_false_in_plain_words(sure, opened, scores, words):
    found = replace(
        sure, scores=np.array(scores), threshold=scores[-1], left_out=None
    )
    page = opened(report_of(found))
    assert words in text(page, "#summary")
    assert words in text(page, "#expected")


def test_of_many_about_so_many_are_false_and_of_one_its_probability(
    sure, opened
):
    one = replace(
        sure,
        positions_px=sure.positions_px[:1],
        scores=np.array([0.75]),
        deviations_px=np.full((1, 2), 0.1),
        threshold=0.7,
        physics={},
        left_out=None,
    )
    page = opened(report_of(one))
    assert text(page, "#summary").startswith(
        "1 impurity has a probability of 0.70 or more; this one is false with "
        "a probability of 0.25."
    )
    many = replace(
        one,
        positions_px=np.full((50, 2), 20.0),
        scores=np.full(50, 0.76),
        deviations_px=np.full((50, 2), 0.1),
    )
    page = opened(report_of(many))
    assert "about 12 of these 50 are expected to be" in text(page, "#summary")


def test_one_that_is_clicked_on_is_described(sure, opened):
    page = opened(report_of(sure))
    box = page.locator("#marks").bounding_box()
    y, x = (sure.positions_nm[1] - [0.8, 0.6]) / [7.2, 4.4]
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    hint = text(page, "#hint")
    assert "No. 2" in hint
    assert "Probability 0.900" in hint
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    facts = text(page, "#chosen-facts")
    assert text(page, "#chosen-heading") == "Impurity 2"
    scanner = sure.maps.scanner_nm(sure.positions_px)[1]
    for words in (
        "5, 8.75 px",
        "0.925 ± 0.010, 1.100 ± 0.020 nm",
        f"{scanner[0]:.6g}, {scanner[1]:.6g} nm",
        "Species\nB",
        "Phase rad",
    ):
        assert words in facts
    assert page.locator("tr[aria-selected=true]").count() == 1
    assert page.locator("#marks .chosen").get_attribute("data-index") == "1"
    assert page.locator("#mark-key .key").all_inner_texts() == ["A", "B"]
    colours = page.locator("#marks .mark circle.over").evaluate_all(
        "all => all.map(one => getComputedStyle(one).stroke)"
    )
    # The second, of its own kind, is chosen.
    assert colours[0] == colours[2] != colours[1] == "rgb(255, 159, 28)"
    # Beside them all it is let go.
    page.mouse.click(box["x"] + 2, box["y"] + 2)
    assert page.locator("#marks .chosen").count() == 0


def test_the_ellipses_are_as_large_as_the_deviations(sure, opened):
    page = opened(report_of(sure))
    ellipse = page.locator("#marks .mark").first.locator("ellipse").first
    assert float(ellipse.get_attribute("rx")) == pytest.approx(0.02)
    assert float(ellipse.get_attribute("ry")) == pytest.approx(0.04)
    page.select_option("#ellipses", "20")
    ellipse = page.locator("#marks .mark").first.locator("ellipse").first
    assert float(ellipse.get_attribute("rx")) == pytest.approx(0.4)
    page.select_option("#ellipses", "0")
    assert page.locator("#marks ellipse").count() == 0


def test_all_of_it_by_keyboard(sure, opened):
    page = opened(report_of(sure))
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.tagName"
            )
        )
        if reached[-1] == "TR":
            break
    assert {"view", "bias", "threshold", "colours", "larger"} <= set(reached)
    assert reached[-1] == "TR"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert text(page, "#chosen-heading") == "Impurity 2"
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert text(page, "#chosen-heading") == "Impurity 3"


def cells(page, column):
    index = list(
        page.locator("#table-head th").evaluate_all(
            "heads => heads.map(head => head.dataset.column)"
        )
    ).index(column)
    return page.locator(
        f"#table-body td:nth-child({index + 1})"
    ).all_inner_texts()


def test_a_heading_sorts(sure, opened):
    page = opened(report_of(sure))
    assert cells(page, "rank") == ["1", "2", "3"]
    page.click("th[data-column=x_nm] button")
    assert cells(page, "rank") == ["2", "3", "1"]
    head = page.locator("th[data-column=x_nm]")
    assert head.get_attribute("aria-sort") == "ascending"
    page.click("th[data-column=x_nm] button")
    assert cells(page, "rank") == ["1", "3", "2"]
    assert head.get_attribute("aria-sort") == "descending"
    # What is not known comes last, whichever way.
    page.click("th[data-column=phase_rad] button")
    assert cells(page, "rank") == ["3", "1", "2"]
    page.click("th[data-column=phase_rad] button")
    assert cells(page, "rank") == ["1", "3", "2"]
    page.click("th[data-column=species] button")
    assert cells(page, "species") == ["A", "A", "B"]


def test_the_table_is_saved_as_it_is_shown(sure, opened, tmp_path):
    page = opened(report_of(sure))
    move(page, "#threshold", 0.3)
    page.click("th[data-column=row] button")
    with page.expect_download() as waiting:
        page.click("#export")
    assert waiting.value.suggested_filename == "positions.csv"
    saved = tmp_path / "saved.csv"
    waiting.value.save_as(saved)
    table = read_positions(saved)
    positions = np.concatenate([sure.positions_px, [[20.0, 20.0]]])
    scores = np.append(sure.scores, 0.4)
    order = np.argsort(positions[:, 0])
    np.testing.assert_allclose(table.positions_px, positions[order], atol=1e-5)
    np.testing.assert_allclose(table.scores, scores[order])
    content = saved.read_text("utf-8")
    assert "detections of at least 0.3\n" in content
    assert "# source: scan µ.sxm" in content
    whole = tmp_path / "whole.csv"
    sure.to_csv(whole)
    heading = next(
        line for line in whole.read_text("utf-8").splitlines() if line[0] != "#"
    )
    assert f"\n{heading}\n" in content


def test_the_page_as_predicted_saves_what_was_predicted(sure, opened, tmp_path):
    """The threshold is a probability of many digits, and one is as great."""
    scores = np.array([0.98, 0.9, 0.1 + 0.2])
    found = replace(
        sure, scores=scores, threshold=float(scores[-1]), left_out=None
    )
    page = opened(report_of(found))
    assert n_marks(page) == 3
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")
    assert n_marks(page) == 2
    page.click("#as-predicted")
    assert n_marks(page) == 3


def test_warnings_and_what_was_done(sure, opened):
    page = opened(report_of(sure))
    assert text(page, "#warnings-heading") == "2 warnings"
    assert "unfinished: half a scan" in text(page, "#warning-list")
    assert "The measurement was stopped" in text(page, "#warning-list")
    assert text(page, "#steps").splitlines() == list(sure.notes)
    assert "calibrated on simulated maps" in text(page, "#calibration")
    page = opened(report_of(replace(sure, notes=("read",))))
    assert not page.is_visible("#warnings")


def test_the_scale_bar_is_as_long_as_it_says(sure, opened):
    page = opened(report_of(sure))
    for _ in range(2):
        length = float(text(page, "#scale-length").removesuffix(" nm"))
        bar = page.locator("#scale-length").bounding_box()["width"]
        stage = page.locator("#stage").bounding_box()
        assert bar / stage["width"] * 4.4 == pytest.approx(length, rel=0.02)
        assert stage["width"] / stage["height"] == pytest.approx(
            4.4 / 7.2, rel=0.02
        )
        page.click("#larger")
        page.click("#larger")
    assert text(page, "#zoom") == "506 %"


@pytest.mark.parametrize("width", [320, 375, 479, 800])
def test_a_narrow_screen_needs_no_scrolling_to_the_side(sure, opened, width):
    page = opened(report_of(sure), width=width, height=700)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figure = page.locator("#stage").bounding_box()
    assert figure["x"] >= 0
    assert figure["x"] + figure["width"] <= width
    assert page.locator("#export").bounding_box()["height"] >= 32


def test_dark_light_and_print(sure, opened):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = opened(report_of(sure), color_scheme="light")
    assert ground(light) == "rgb(255, 255, 255)"
    dark = opened(report_of(sure), color_scheme="dark")
    assert ground(dark) != ground(light)
    dark.emulate_media(media="print")
    assert ground(dark) == "rgb(255, 255, 255)"
    assert not dark.is_visible("#controls")
    assert dark.is_visible("#picture")
    assert dark.is_visible("#table")
    assert dark.pdf().startswith(b"%PDF")


def test_controls_have_names(sure, opened):
    page = opened(report_of(sure))
    nameless = page.locator("input, select, button").evaluate_all(
        "all => all.filter(one => !(one.labels?.length || one.innerText ||"
        " one.ariaLabel)).map(one => one.outerHTML)"
    )
    assert nameless == []
    assert re.match(
        r"0\.62: 3 counted", page.get_attribute("#threshold", "aria-valuetext")
    )
    assert "Map: Z at 20 mV" in page.get_attribute("#picture", "aria-label")


def test_names_do_not_run(sure, opened):
    found = replace(
        sure,
        maps=replace(sure.maps, source=HOSTILE, channel=HOSTILE),
        search=replace(
            sure.search,
            levelled=replace(
                sure.search.levelled, source=HOSTILE, channel=HOSTILE
            ),
            layers={HOSTILE: np.eye(4)},
        ),
        notes=(f"warning: {HOSTILE}",),
        physics={"species": np.array([HOSTILE] * 3)},
        left_out=None,
    )
    page = opened(report_of(found))
    page.click("#table-body tr")
    assert page.evaluate("window.ran") is None
    assert page.locator("img").count() == 0
    assert HOSTILE in text(page, "#warning-list")
    assert HOSTILE in text(page, "#chosen-facts")


def test_a_network_without_probabilities(prediction, opened):
    page = opened(report_of(prediction()))
    assert "3 impurities have a score of 3.5 or more." in text(page, "#summary")
    assert "false" not in text(page, "#expected")
    move(page, "#threshold", 6)
    assert n_marks(page) == 2
    assert not page.is_visible("#ellipse-control")


def test_nothing_found(prediction, opened):
    page = opened(report_of(prediction(np.empty((0, 2)))))
    assert "No impurity has a score" in text(page, "#summary")
    assert n_marks(page) == 0


def test_one_map_has_no_slider_and_maps_alone_no_table(sure, opened):
    maps = replace(
        sure.maps, data=sure.maps.data[:1], bias_v=sure.maps.bias_v[:1]
    )
    page = opened(report_of_maps(maps))
    assert not page.is_visible("#bias")
    assert not page.is_visible("#table")
    assert not page.is_visible("#threshold")
    assert pixels(page).shape == (40, 50, 4)


def test_true_positions_are_shown_where_asked_for(sure, opened):
    page = opened(report_of(sure, [[10.0, 20.0], [30.0, 30.0]]))
    assert page.locator("#marks .true").count() == 0
    page.check("#show-truth")
    assert page.locator("#marks .true").count() == 2
    page = opened(report_of(sure))
    assert not page.is_visible("#show-truth")
