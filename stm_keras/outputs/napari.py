"""Positions as a points layer of napari."""

from pathlib import Path

from stm_keras.finding.prediction import Prediction


def write_points(path: Path, prediction: Prediction) -> None:
    """Write positions as napari's own CSV of a points layer.

    Columns that are no axes become properties of the points.

    Args:
        path: the file.
        prediction: with one position at least: napari opens no empty table.
    """
    lines = ["index,axis-0,axis-1,score,rank"]
    found = zip(prediction.positions_px, prediction.scores, strict=True)
    for index, ((row, col), score) in enumerate(found):
        lines.append(f"{index},{row:.5f},{col:.5f},{score:.8g},{index + 1}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
