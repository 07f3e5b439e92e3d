"""Pictures of the report page for docs/report.md, of simulated maps alone.

    python benchmarks/report_page.py --out docs/images

needs Chromium on the machine and `pip install -e '.[browser]'`. It simulates
a virtual Au(111), searches it with the model `context`, and photographs the
page of the result: wide, with one impurity chosen, and on a narrow dark
screen, with the threshold lowered. It prints the page's size.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

import stm_keras
from stm_keras.maps import ConductanceMaps
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_EXTENT_NM

SEED = 5
EVERY = 8
"""Of the 126 maps."""


def simulated() -> tuple[ConductanceMaps, np.ndarray]:
    """Maps of a virtual experiment, and row and column of its impurities."""
    whole = simulate_virtual(
        named_virtual("medium", "typical"), np.random.default_rng(SEED)
    )
    maps = ConductanceMaps(
        whole.maps[::EVERY],
        whole.bias_v[::EVERY],
        (PAPER_EXTENT_NM, PAPER_EXTENT_NM),
        channel="dI/dV",
        source="virtual Au(111)",
    )
    return maps, whole.positions


def opened(browser: Browser, page_file: Path, **screen: Any) -> Page:
    page = browser.new_page(**screen)
    page.goto(page_file.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


def move(page: Page, slider: str, value: float) -> None:
    page.locator(slider).evaluate(
        "(one, value) => {one.value = value;"
        "one.dispatchEvent(new Event('input', {bubbles: true}))}",
        str(value),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    maps, truth_px = simulated()
    found = stm_keras.find(maps, surface="au111")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
    ):
        report = Path(folder) / "report.html"
        found.report(report, truth_px)
        print(f"{len(found)} impurities, {report.stat().st_size} bytes")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        wide = opened(browser, report, viewport={"width": 1100, "height": 800})
        wide.locator("#table-body tr").nth(4).click()
        wide.evaluate("scrollTo(0, 0)")
        wide.screenshot(path=out / "report.png")
        narrow = opened(
            browser,
            report,
            viewport={"width": 390, "height": 1080},
            color_scheme="dark",
        )
        move(narrow, "#threshold", 0.05)
        narrow.screenshot(path=out / "report_narrow.png")
        browser.close()


if __name__ == "__main__":
    main()
