"""Does a run that was done again give the numbers of a stored table?"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stm_keras.errors import InputError
from stm_keras.reproduction.tables import Row, read_rows, where


class Repeat(NamedTuple):
    """Numbers of two tables, held against each other.

    Attributes:
        equal: how many are the same to the last bit.
        total: how many there are.
        largest: the largest difference, in the numbers' own units.
    """

    equal: int
    total: int
    largest: float

    def __str__(self) -> str:
        if self.equal == self.total:
            return f"all {self.total} numbers are the same, bit for bit"
        return (
            f"{self.equal} of {self.total} numbers are the same bit for bit; "
            f"the largest difference is {self.largest:.3g} (another processor "
            "or library adds in another order)"
        )


def compare_run(
    again: str | Path, stored: str | Path, *, arm: str, run: int
) -> Repeat:
    """Compare a run's points with those of a study's table.

    Args:
        again: `points.csv` of the run.
        stored: `fig4_points.csv` of a study.
        arm: of the run.
        run: its number.

    Raises:
        InputError: where the table lacks the run, or has other epochs.
    """
    before = where(read_rows(stored), arm=arm, run=run)
    after = read_rows(again)
    if len(before) != len(after):
        raise InputError(
            f"{stored} has {len(before)} rows of {arm}:{run} and {again} has "
            f"{len(after)}: they are not the same study."
        )
    return _compare(before, after)


def _compare(before: Sequence[Row], after: Sequence[Row]) -> Repeat:
    pairs = [
        (old.get(name), value)
        for old, new in zip(before, after, strict=True)
        for name, value in new.items()
        if not isinstance(value, str)
    ]
    gaps = [abs(a - b) for a, b in pairs if a is not None and a != b]
    missing = sum(a is None for a, _ in pairs)
    return Repeat(
        len(pairs) - len(gaps) - missing,
        len(pairs),
        float("inf") if missing else max(gaps, default=0.0),
    )
