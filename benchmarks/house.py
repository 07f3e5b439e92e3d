"""Counts the house of docs/architecture.md: lines, modules, a file's way.

    python benchmarks/house.py
    python benchmarks/house.py predict scan.sxm --surface cu111 --out found

With arguments they are done as `stmk` does them, and the modules of
`stm_keras` are listed in which a function of theirs ran on the way, those
that only were imported left out.
"""

import ast
import statistics
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOUSE = ROOT / "stm_keras"


def code_lines(source: str) -> int:
    """Lines that are neither empty, comments nor docstrings."""
    told: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            told |= set(range(value.lineno, (value.end_lineno or 0) + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#")
        for number, line in enumerate(source.splitlines(), 1)
        if number not in told
    )


def function_lengths(source: str) -> Iterator[int]:
    """Lines of each function's body, without its docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[ast.get_docstring(node) is not None :]
            if body:
                yield (body[-1].end_lineno or 0) - body[0].lineno + 1


def count() -> None:
    """Print lines and modules a room, and the lengths of functions."""
    lengths: list[int] = []
    total = [0, 0, 0]
    print("| room | modules | lines | of code |\n|---|---|---|---|")
    for room in sorted(HOUSE.iterdir()):
        paths = [room] if room.suffix == ".py" else sorted(room.rglob("*.py"))
        sources = [path.read_text() for path in paths]
        row = [
            sum(path.name != "__init__.py" for path in paths),
            sum(len(source.splitlines()) for source in sources),
            sum(map(code_lines, sources)),
        ]
        if row[1] > 0:
            print(f"| {room.name} | {row[0]} | {row[1]} | {row[2]} |")
        total = [a + b for a, b in zip(total, row, strict=True)]
        for source in sources:
            lengths.extend(function_lengths(source))
    print(f"| all | {total[0]} | {total[1]} | {total[2]} |")
    tenths = statistics.quantiles(lengths, n=10)
    print(
        f"{len(lengths)} functions: half have up to "
        f"{statistics.median(lengths):g} lines, nine of ten {tenths[-1]:g}"
    )


def way(arguments: list[str]) -> None:
    """Run `stmk`; print the modules through which that led."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        # What a module's top does is its import, not the way.
        name = frame.f_code.co_name
        if event == "call" and name[0] != "<" and not name[0].isupper():
            entered.add(frame.f_code.co_filename)

    from cli.main import main

    sys.argv = ["stmk", *arguments]
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    inside = sorted(
        path.relative_to(HOUSE).as_posix()
        for path in map(Path, entered)
        if path.is_relative_to(HOUSE)
    )
    print(f"{len(inside)} modules: {', '.join(inside)}")


if __name__ == "__main__":
    if sys.argv[1:]:
        way(sys.argv[1:])
    else:
        count()
