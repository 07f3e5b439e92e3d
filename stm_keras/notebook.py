"""How tables show themselves in a notebook."""

import html
from collections.abc import Iterable, Mapping

import numpy as np


def html_lines(lines: Iterable[str]) -> str:
    """Lines of plain text, whatever they hold, as one paragraph."""
    return f"<p>{'<br>'.join(html.escape(line) for line in lines)}</p>"


def html_table(columns: Mapping[str, np.ndarray], most: int) -> str:
    """A table of plain text and numbers.

    Args:
        columns: values [n] by name.
        most: lines at the most.
    """
    rows = zip(*(c[:most].tolist() for c in columns.values()), strict=True)
    lines = [_line("th", columns), *(_line("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _line(element: str, cells: Iterable[object]) -> str:
    inner = "".join(f"<{element}>{_cell(v)}</{element}>" for v in cells)
    return f"<tr>{inner}</tr>"


def _cell(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return html.escape(text)
