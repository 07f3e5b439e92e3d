"""The report page: its template, filled."""

import base64
import hashlib
import html
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from numpy.typing import ArrayLike

from stm_keras.detections import Detections
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.maps import ConductanceMaps
from stm_keras.results.report.content import (
    as_json,
    content_of,
    content_of_maps,
)

_HEIGHT_PX = 900
"""Of the page within a notebook."""


class Report:
    """A page in one HTML file, which asks nothing of a network.

    A notebook shows it as it is.

    Args:
        content: see `stm_keras.results.report.content`.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.html = _filled(content)

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Raises:
            InputError: where it cannot be written.
        """
        path = Path(path)
        writable_directory(path.parent)
        try:
            with atomic_file(path) as temporary:
                temporary.write_text(self.html, "utf-8", newline="\n")
        except OSError as error:
            raise InputError(
                f"Cannot write {path}: {error.strerror}. Choose another path."
            ) from error
        return path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, whose styles stay within."""
        return (
            f'<iframe title="Report" srcdoc="{html.escape(self.html)}" '
            f'style="width:100%;height:{_HEIGHT_PX}px;border:0"></iframe>'
        )


def report_of(found: Detections, truth_px: ArrayLike | None = None) -> Report:
    """The page of a result; see `content_of`.

    Raises:
        InputError: for true positions of another shape.
    """
    return Report(content_of(found, truth_px))


def report_of_maps(maps: ConductanceMaps) -> Report:
    """The page of maps in which nothing was looked for."""
    return Report(content_of_maps(maps))


def _filled(content: dict[str, Any]) -> str:
    folder = files("stm_keras.results.report")
    page, style, script = (
        (folder / name).read_text("utf-8")
        for name in ("page.html", "page.css", "page.js")
    )
    # Names come from files of strangers: they are put in as text alone, and
    # the policy lets no script run but this one, and nothing be fetched.
    return Template(page).substitute(
        title=html.escape(_printable(content["title"])),
        style=style,
        style_hash=_digest(style),
        script=script,
        script_hash=_digest(script),
        content=as_json(content),
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _printable(name: str) -> str:
    """Names may hold bytes that are no UTF-8: these become escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
