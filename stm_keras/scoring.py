"""Scores of found against true positions, pooled over maps."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from stm_keras.detections import (
    as_positions,
    check_tolerance,
    match,
    read_positions,
)
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.surfaces import PAPER_PIXEL_NM

Unit = Literal["px", "nm"]

EFFICIENCY_ALPHA: dict[str, float] = {"px": 1.0, "nm": 1 / PAPER_PIXEL_NM}
"""Weight of the RMSE in the efficiency [1/px, 1/nm].

An RMSE of one pixel of the paper's maps costs as much as a Jaccard index of
zero. (Sage et al. take 1 % per nm for molecules that a light microscope sees,
a scale that has no meaning here.)
"""

METRICS = (
    "hit_ratio",
    "recall",
    "precision",
    "jaccard",
    "f1",
    "rmse",
    "efficiency",
)
"""The names of the numbers that a `Score` derives from its counts."""


class Peaks(NamedTuple):
    """Peaks, the highest first; equal ones in reading order.

    Attributes:
        positions: float64 [n, 2], row and column [px]; the centre of the top
            left pixel is (0, 0).
        scores: float64 [n], the score of the pixel that holds the peak.
    """

    positions: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Score:
    """Counts over one or many maps, and the numbers that follow from them.

    A ratio that divides by zero is 1 where nothing was to be found and
    nothing was found, else 0; so an empty prediction has a precision of 0.

    Attributes:
        n_reference: true positions.
        n_predicted: found positions.
        true_positives: pairs, matched one to one within the tolerance.
        hits: true positions with a found one nearer than the tolerance; one
            found position may serve several.
        squared_error: sum of the squared distances of the pairs [unit^2].
        tolerance: the farthest that a pair may be apart [unit].
        unit: of lengths, "px" or "nm".
    """

    n_reference: int = 0
    n_predicted: int = 0
    true_positives: int = 0
    hits: int = 0
    squared_error: float = 0.0
    tolerance: float = 1.0
    unit: Unit = "px"

    def __add__(self, other: "Score") -> "Score":
        if (self.tolerance, self.unit) != (other.tolerance, other.unit):
            raise InputError(
                f"Scores at {self.tolerance:g} {self.unit} and at "
                f"{other.tolerance:g} {other.unit} cannot be pooled. Use one "
                "tolerance."
            )
        return Score(
            self.n_reference + other.n_reference,
            self.n_predicted + other.n_predicted,
            self.true_positives + other.true_positives,
            self.hits + other.hits,
            self.squared_error + other.squared_error,
            self.tolerance,
            self.unit,
        )

    def _share(self, part: float, whole: float) -> float:
        if whole:
            return part / whole
        return float(self.n_reference == self.n_predicted == 0)

    @property
    def hit_ratio(self) -> float:
        """The score of arXiv:2006.15898; it knows no false positives."""
        return self._share(self.hits, self.n_reference)

    @property
    def recall(self) -> float:
        """Share of the true positions that were found."""
        return self._share(self.true_positives, self.n_reference)

    @property
    def precision(self) -> float:
        """Share of the found positions that are true."""
        return self._share(self.true_positives, self.n_predicted)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN)."""
        union = self.n_reference + self.n_predicted - self.true_positives
        return self._share(self.true_positives, union)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.n_reference + self.n_predicted
        return self._share(2 * self.true_positives, total)

    @property
    def rmse(self) -> float:
        """Root mean square distance of the pairs [unit]; NaN without any."""
        if not self.true_positives:
            return math.nan
        return math.sqrt(self.squared_error / self.true_positives)

    @property
    def efficiency(self) -> float:
        """1 - sqrt((1 - J)^2 + (alpha RMSE)^2), at most 1, may be negative.

        J is the Jaccard index and alpha `EFFICIENCY_ALPHA` [1/unit]. Without
        a pair the RMSE counts as 0. Source: Sage et al., Nature Methods 16,
        387 (2019), DOI 10.1038/s41592-019-0364-4.
        """
        rmse = self.rmse if self.true_positives else 0.0
        alpha = EFFICIENCY_ALPHA[self.unit]
        return 1 - math.hypot(1 - self.jaccard, alpha * rmse)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Score":
        """Undo `as_dict`; the derived numbers are ignored."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        """Counts and numbers as plain Python values; the RMSE may be NaN."""
        numbers = {name: getattr(self, name) for name in METRICS}
        return asdict(self) | numbers


def score_positions(
    predicted: ArrayLike,
    reference: ArrayLike,
    *,
    tolerance: float,
    unit: Unit = "px",
) -> Score:
    """Score the positions found in one map.

    Args:
        predicted: [n, 2], float, found positions [unit].
        reference: [m, 2], float, true positions [unit].
        tolerance: a pair counts when it is no farther apart than this, a hit
            (the paper's) when it is strictly nearer [unit].
        unit: of all three.

    Returns:
        The counts of this map; add those of several maps to pool them.

    Raises:
        InputError: for positions of another shape or not finite, or a
            tolerance that is not positive and finite.
    """
    check_tolerance(tolerance)
    predicted = as_positions(predicted, "predicted")
    reference = as_positions(reference, "reference")
    distances = match(predicted, reference, tolerance).distances
    hits = 0
    if len(predicted) and len(reference):
        nearest = KDTree(predicted).query(reference)[0]
        hits = int(np.count_nonzero(nearest < tolerance))
    return Score(
        n_reference=len(reference),
        n_predicted=len(predicted),
        true_positives=len(distances),
        hits=hits,
        squared_error=float(np.square(distances).sum()),
        tolerance=tolerance,
        unit=unit,
    )


def bootstrap_interval(
    scores: Sequence[Score],
    name: str,
    rng: np.random.Generator,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a pooled number, over maps.

    Maps are drawn with replacement, because the positions within one map are
    not independent.

    Args:
        scores: one a map, all at one tolerance.
        name: one of `METRICS`.
        rng: the source of the draws.
        n_resamples: number of draws.
        level: the share that the interval covers.

    Returns:
        Lower and upper end. Draws whose number is NaN are left out; both ends
        are NaN for a single map, which says nothing about the spread.

    Raises:
        InputError: without scores, for an unknown name, or for scores at
            different tolerances.
    """
    if name not in METRICS:
        raise InputError(
            f"Unknown metric: {name!r}. Known: {', '.join(METRICS)}."
        )
    if not scores:
        raise InputError("No scores to resample: give one a map.")
    pooled = reduce(add, scores)
    counts = [field.name for field in fields(Score)][:5]
    table = np.array([[getattr(s, c) for c in counts] for s in scores])
    draws = rng.integers(len(scores), size=(n_resamples, len(scores)))
    sums = table[draws].sum(axis=1)
    values = np.array(
        [
            getattr(
                replace(pooled, **dict(zip(counts, row, strict=True))), name
            )
            for row in sums.tolist()
        ]
    )
    values = values[np.isfinite(values)]
    if len(scores) < 2 or not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


N_THRESHOLDS = 32


def standardised(score: ArrayLike) -> np.ndarray:
    """S in its own standard deviations above its mean.

    S grows with the number of maps and with their clarity, in the background
    as at the impurities, so that no one value of it parts the two. In units
    of its spread one threshold serves maps clearer than those of the
    training as well (measured, see docs/network.md).

    Args:
        score: S, [..., H, W]; NaN where not measured.

    Returns:
        float64 of the same shape; 0 for a flat layer.
    """
    values = np.asarray(score, dtype=np.float64)
    values = values - np.nanmean(values, axis=(-2, -1), keepdims=True)
    spread = np.nanstd(values, axis=(-2, -1), keepdims=True)
    return values / np.where(spread > 0, spread, 1.0)


class Threshold(NamedTuple):
    """A threshold and what it gives.

    Attributes:
        value: peaks with a score above it count, in the score's unit.
        score: of the maps that it was chosen on, pooled.
    """

    value: float
    score: Score


def best_threshold(
    found: Sequence[Peaks], truth: Sequence[np.ndarray], *, tolerance: float
) -> Threshold | None:
    """Find the threshold with the highest pooled Jaccard index.

    Give maps that will not be tested on: a threshold chosen on the test set
    makes any method look better than it is.

    Args:
        found: all peaks of every map.
        truth: for each map the true positions [n, 2], row and column [px].
        tolerance: of the matching [px].

    Returns:
        The best of `N_THRESHOLDS` that keep from a quarter to four times as
        many peaks as there are true positions; None without any peak.
    """
    trials = [
        Threshold(value, pooled_score(found, truth, value, tolerance))
        for value in _candidates(found, sum(map(len, truth)))
    ]
    if not trials:
        return None
    return max(trials, key=lambda trial: trial.score.jaccard)


def pooled_score(
    found: Sequence[Peaks],
    truth: Sequence[np.ndarray],
    threshold: float,
    tolerance: float,
) -> Score:
    """The score of all maps together at one threshold.

    Args:
        found: peaks of every map.
        truth: for each map the true positions [n, 2], row and column [px].
        threshold: peaks with a score above it count.
        tolerance: of the matching [px].
    """
    return reduce(
        add,
        (
            score_positions(
                peaks.positions[peaks.scores > threshold],
                positions,
                tolerance=tolerance,
            )
            for peaks, positions in zip(found, truth, strict=True)
        ),
        Score(tolerance=tolerance),
    )


def _candidates(found: Sequence[Peaks], n_truth: int) -> list[float]:
    heights = np.sort(np.concatenate([peaks.scores for peaks in found]))[::-1]
    if not len(heights):
        return []
    kept = np.geomspace(max(n_truth / 4, 1), 4 * max(n_truth, 1), N_THRESHOLDS)
    return keeping(heights, kept)


def keeping(heights: np.ndarray, counts: np.ndarray) -> list[float]:
    """Thresholds that keep given numbers of peaks.

    Args:
        heights: scores of all peaks, the highest first, at least one.
        counts: how many to keep, any order; rounded, from 1 to all.
    """
    kept = np.unique(np.clip(np.round(counts).astype(int), 1, len(heights)))
    below = np.append(heights, heights[-1] - 1.0)
    # Half-way to the next peak, so that rounding cannot decide.
    return ((below[kept - 1] + below[kept]) / 2).tolist()


def tuning_truth(
    positions_list: Sequence[ArrayLike], *beside: Sequence[ArrayLike]
) -> list[np.ndarray]:
    """True positions of the maps that a finder is to be tuned on.

    Args:
        positions_list: of each stack, [n, 2] [px].
        beside: what else is given a stack, such as the maps.

    Returns:
        Each as float64 [n, 2].

    Raises:
        InputError: for lists of differing lengths, something that is no
            list of positions, or no position at all.
    """
    lengths = [len(given) for given in (*beside, positions_list)]
    if len(set(lengths)) > 1:
        raise InputError(
            "Give one array of maps, of positions and of any wave numbers a "
            f"stack. Received lists of {', '.join(map(str, lengths))}."
        )
    truth = [as_positions(p, "positions_list") for p in positions_list]
    if not any(map(len, truth)):
        raise InputError("The training maps hold no position to tune on.")
    return truth


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
