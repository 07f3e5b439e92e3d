"""Ask a page in headless Chromium."""

import json
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-dev-shm-usage",
    # WebGL without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_PATIENCE_S = 1800


class _Handler(SimpleHTTPRequestHandler):
    """Serves folders by the first part of the path, and takes one answer."""

    def __init__(
        self,
        folders: dict[str, Path],
        given: bytes,
        answered: "_Answer",
        *args: Any,
    ) -> None:
        self.folders = folders
        self.given = given
        self.answered = answered
        super().__init__(*args)

    def do_GET(self) -> None:
        """A file, or the question."""
        if self.path != "/given.json":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.given)))
        self.end_headers()
        self.wfile.write(self.given)

    def do_POST(self) -> None:
        """The answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.answered.give(json.loads(body))

    def translate_path(self, path: str) -> str:
        """Where a file lies."""
        top, _, rest = path.partition("?")[0].strip("/").partition("/")
        return str(self.folders.get(top, Path("/nowhere")) / rest)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its)
        """Be quiet."""


class _Answer:
    """What the page said, once it has."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self._content: dict[str, Any] = {}

    def give(self, content: dict[str, Any]) -> None:
        self._content = content
        self._there.set()

    def wait(self) -> dict[str, Any]:
        if not self._there.wait(_PATIENCE_S):
            return {"error": f"no answer in {_PATIENCE_S} s"}
        return self._content


def ask_page(folders: dict[str, Path], page: str, given: str) -> dict[str, Any]:
    """Open a page and take what it sends.

    Args:
        folders: what the page can read, by the first part of the path.
        page: its path and query, without a leading slash.
        given: what it reads as `/given.json`.

    Returns:
        What it sends to `/answer`.

    Raises:
        RuntimeError: where that is an error, or nothing comes.
    """
    answer = _Answer()
    handler = partial(_Handler, folders, given.encode(), answer)
    server = ThreadingHTTPServer(("localhost", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://localhost:{server.server_port}/{page}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", *_FLAGS, f"--user-data-dir={profile}", url]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as browser:
            try:
                found = answer.wait()
            finally:
                browser.terminate()
                server.shutdown()
                server.server_close()
    if "error" in found:
        raise RuntimeError(f"{page}: {found['error']}")
    return found
