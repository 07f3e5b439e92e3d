"""What the site has beside the pages in this folder; called by mkdocs.

Notebooks, cards of models and the changes lie elsewhere, and the page of the
command line is made from the help of every command.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
CLI = "reference/cli.md"
ELSEWHERE = {
    "cards.md": ROOT / "saved_models/README.md",
    "changes.md": ROOT / "CHANGELOG.md",
}
# Links that hold in the repository, and where they lead in the site.
_MOVED = (
    (r"\]\((?:\.\./)*docs/", "]("),
    (r"\]\((?:\.\./)+docs/", "]("),
    (r"\]\((?:\.\./)+saved_models/README\.md", "](cards.md"),
    (r"\]\((?:\.\./)+CHANGELOG\.md", "](changes.md"),
    (r"\]\((?:\.\./)+README\.md", "](index.md"),
)


@event_priority(100)  # before the plugin that looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is no file of this folder."""
    for path in sorted((ROOT / "examples/notebooks").glob("*.ipynb")):
        files.append(
            File(
                f"notebooks/{path.name}",
                str(ROOT / "examples"),
                config.site_dir,
                config.use_directory_urls,
            )
        )
    for name, path in ELSEWHERE.items():
        text = path.read_text("utf-8")
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, CLI, content=command_line()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Have links of the repository lead to pages of the site."""
    for pattern, place in _MOVED:
        markdown = re.sub(pattern, place, markdown)
    return markdown


def command_line() -> str:
    """The page of all commands, as `--help` prints them."""
    sys.path.insert(0, str(ROOT))
    try:
        return "\n".join(_page())
    finally:
        sys.path.remove(str(ROOT))


def _page() -> Iterator[str]:
    import typer.main

    from cli.main import app

    yield (
        "# Command line\n\nWhat `stmk COMMAND --help` prints. Every command "
        "exits with 0 where it did what was asked, with 2 and one line where "
        "what was asked cannot be done.\n"
    )
    for name, text in _helps(typer.main.get_command(app), "stmk"):
        yield f"## {name}\n\n```text\n{text.strip()}\n```\n"


def _helps(command: Any, name: str, parent: Any = None) -> Iterator[Any]:
    """Name and help of a command and of all below it."""
    context = command.make_context(
        name, [], parent=parent, resilient_parsing=True, **_WIDE
    )
    yield context.command_path, command.get_help(context)
    for short, below in getattr(command, "commands", {}).items():
        yield from _helps(below, short, context)


_WIDE = {"terminal_width": 76, "max_content_width": 76}
