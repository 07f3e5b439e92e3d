"""The site as `make docs` built it: it hangs together and fetches nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "build/site"
LOADS = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
}
LINKS_ALONE = {"canonical", "next", "prev"}
"""Kinds of <link> that a browser does not load."""


class Page(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.names = [], [], {""}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.names |= {values.get("id"), values.get("name")}
        for name, value in values.items():
            if tag == "a" and name == "href" and value:
                self.links.append(value)
            if (tag, name) in LOADS and values.get("rel") not in LINKS_ALONE:
                self.loads.append(value)


@pytest.fixture(scope="module")
def pages():
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: make docs")
    return {path: Page(path) for path in SITE.rglob("*.html")}


def test_nothing_is_fetched(pages):
    for path, page in pages.items():
        for place in page.loads:
            assert not urlsplit(place).netloc, (path, place)
    for sheet in SITE.rglob("*.css"):
        loaded = re.findall(r"url\(['\"]?(\w+:)?//", sheet.read_text("utf-8"))
        assert not loaded, sheet


def test_every_link_leads_somewhere(pages):
    checked = 0
    for path, page in pages.items():
        if path.name == "404.html":  # its links count from the server's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), (path, link)
            if target.suffix == ".html" and parts.fragment:
                names = pages[target].names
                assert unquote(parts.fragment) in names, (path, link)
            checked += 1
    assert checked > 1000


def test_every_command_has_its_help(pages):
    typer_main = pytest.importorskip("typer.main")
    from cli.main import app

    text = (SITE / "reference/cli.html").read_text("utf-8")
    for name, command in typer_main.get_command(app).commands.items():
        assert f"Usage: stmk {name}" in text
        assert command.name == name


def test_the_api_has_its_docstrings(pages):
    text = (SITE / "reference/api.html").read_text("utf-8")
    for words in ("Find the impurities in maps.", "the surest first"):
        assert words.lower() in text.lower()


def test_notebooks_show_their_pictures(pages):
    for name in ("find", "waves"):
        text = (SITE / f"notebooks/{name}.html").read_text("utf-8")
        assert text.count("data:image/png;base64") >= 3, name
