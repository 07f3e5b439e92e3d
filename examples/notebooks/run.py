"""Runs the notebooks beside it and keeps what they show.

    python examples/notebooks/run.py [NAME ...]

Needs the extra `notebooks`. What goes to standard error, and what TensorFlow
says of itself, is left out: it tells of the machine, not of the work.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NAMES = ("find", "train", "waves")
LONGEST_S = 900


def run(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook.

    Args:
        path: the .ipynb file, which stays as it is.

    Returns:
        The notebook with its outputs.

    Raises:
        CellExecutionError: where a cell fails.
    """
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(book, timeout=LONGEST_S, record_timing=False)
    client.execute(cwd=str(HERE))
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = _shown(cell.outputs)
    book.metadata.pop("language_info", None)  # the Python that ran it
    return book


def _shown(
    outputs: list[nbformat.NotebookNode],
) -> list[nbformat.NotebookNode]:
    """Outputs for a reader; the text of one cell in one piece."""
    kept, words = [], ""
    for output in outputs:
        if output.output_type != "stream":
            kept.append(output)
        elif output.name == "stdout":
            words += output.text
    lines = [
        line
        for line in words.splitlines(keepends=True)
        if not line.startswith("INFO:tensorflow")
    ]
    if not lines:
        return kept
    text = "".join(lines)
    return [nbformat.v4.new_output("stream", name="stdout", text=text), *kept]


def main(names: list[str]) -> None:
    """Run notebooks and write them back."""
    for name in names or NAMES:
        path = HERE / f"{name}.ipynb"
        nbformat.write(run(path), path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
