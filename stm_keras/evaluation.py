"""Compare position files, and show scores as a table or as JSON."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.analysis.metrics import Score, score_positions
from stm_keras.analysis.positions_file import read_positions
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory

DEFAULT_TOLERANCE_PX = 1.0
"""The paper's: a hit is nearer than one pixel."""

TABLE_COLUMNS = (
    "n ref",
    "n found",
    "hit ratio",
    "recall",
    "precision",
    "Jaccard",
    "RMSE",
    "efficiency",
)


def evaluate_files(
    predicted_csv: str | Path,
    reference_csv: str | Path,
    *,
    tolerance_px: float | None = None,
    tolerance_nm: float | None = None,
) -> Score:
    """Score a file of found positions against one of true positions.

    Args:
        predicted_csv: found positions, see `read_positions`.
        reference_csv: true positions of the same map.
        tolerance_px: compare rows and columns at this tolerance [px]; both
            files must count the pixels of the same image. 1 px by default.
        tolerance_nm: compare `x_nm` and `y_nm` at this tolerance [nm]
            instead.

    Returns:
        The score, in px or nm.

    Raises:
        InputError: for a file that cannot be read, two tolerances at once, a
            tolerance that is not positive, or nm where a file has none.
    """
    if tolerance_px is not None and tolerance_nm is not None:
        raise InputError(
            "Give the tolerance in px or in nm, not both "
            f"({tolerance_px:g} px, {tolerance_nm:g} nm)."
        )
    tables = read_positions(predicted_csv), read_positions(reference_csv)
    if tolerance_nm is None:
        return score_positions(
            *(table.positions_px for table in tables),
            tolerance=DEFAULT_TOLERANCE_PX
            if tolerance_px is None
            else tolerance_px,
        )
    nm: list[np.ndarray] = []
    for path, table in zip((predicted_csv, reference_csv), tables, strict=True):
        if table.positions_nm is None:
            raise InputError(
                f"{path} has no columns x_nm and y_nm. Give the tolerance in "
                "px."
            )
        nm.append(table.positions_nm)
    return score_positions(*nm, tolerance=tolerance_nm, unit="nm")


def format_table(rows: Mapping[str, Score]) -> str:
    """Show scores as a plain text table.

    Args:
        rows: for each line its name and score.

    Returns:
        A heading and one line a score, aligned, without a last line end; "-"
        stands for an RMSE without a pair.
    """
    cells = [("", *TABLE_COLUMNS)]
    cells += [(name, *_cells(score)) for name, score in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        aligned = [first.ljust(widths[0])]
        aligned += [
            cell.rjust(width)
            for cell, width in zip(rest, widths[1:], strict=True)
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def format_card_scores(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Show the scores that a model card holds as a table; see `format_table`.

    Args:
        scores: of each case and method, `Score.as_dict`.
    """
    return format_table(
        {
            f"{case}: {method}": Score.from_dict(score)
            for case, methods in scores.items()
            for method, score in methods.items()
        }
    )


def write_json(path: str | Path, rows: Mapping[str, Score]) -> None:
    """Write scores as JSON: counts and numbers of each, by name.

    Args:
        path: the file; its directory is made where missing.
        rows: scores by name. A number that is NaN becomes null.

    Raises:
        InputError: where the file cannot be written.
    """
    path = Path(path)
    plain = {
        name: {key: _plain(value) for key, value in score.as_dict().items()}
        for name, score in rows.items()
    }
    text = json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False)
    writable_directory(path.parent)
    try:
        with atomic_file(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror}. Choose another path."
        ) from error


def _cells(score: Score) -> tuple[str, ...]:
    has_pair = score.true_positives > 0
    return (
        str(score.n_reference),
        str(score.n_predicted),
        f"{score.hit_ratio:.3f}",
        f"{score.recall:.3f}",
        f"{score.precision:.3f}",
        f"{score.jaccard:.3f}",
        f"{score.rmse:.3f} {score.unit}" if has_pair else "-",
        f"{score.efficiency:.3f}",
    )


def _plain(value: Any) -> Any:
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan else value
