"""How the results of a suite were made, as they hold it themselves."""

from collections.abc import Sequence

from stm_keras.bench.result import CellResult
from stm_keras.bench.roster import network_of

GENERAL = (
    "thresholds and settings of all finders but `context` are tuned on the "
    "tuning stacks; `context` uses that of its model card",
    "`pursuit` fits 16 maps at most: of longer stacks means of neighbours in k",
    "tolerance 1 px; real files: 0.3 nm, blanked 0.37 nm. Networks are shown "
    "these as `stmk predict` prepares them, the others at the pixel of the "
    "virtual experiments, which `px` means there",
)
"""Lines for the top of the report."""


def suite_notes(results: Sequence[CellResult]) -> list[str]:
    """Lines for the top of a suite's tables.

    Args:
        results: of one suite, made alike (see `store.latest`), at least one.

    Returns:
        When and on what which finders ran, seed and numbers of stacks, and
        the weights of the networks.
    """
    weights = {
        network_of(result.finder): result.run["weights"]
        for result in results
        if result.run.get("weights")
    }
    notes = [*_occasions(results), _stacks(results)]
    if weights:
        notes.append(
            "weights: " + ", ".join(f"{n} {w}" for n, w in weights.items())
        )
    return notes


def _occasions(results: Sequence[CellResult]) -> list[str]:
    """A line for the finders that ran on one day on one machine."""
    finders: dict[str, list[str]] = {}
    for result in sorted(results, key=lambda r: r.made.get("date", "")):
        if result.made:
            names = finders.setdefault(_occasion(result), [])
            names += [result.finder] if result.finder not in names else []
    return [f"{when}: {', '.join(names)}" for when, names in finders.items()]


def _occasion(result: CellResult) -> str:
    made = result.made
    threads = "one thread each" if made["processes"] > 1 else "all threads"
    return (
        f"{made['date']}, {made['cores']} cores, {made['machine']}; "
        f"{made['processes']} at once, {threads}"
    )


def _stacks(results: Sequence[CellResult]) -> str:
    # Of a suite some cells may have a number of their own.
    numbers = sorted({len(result.counts) for result in results})
    tested = " or ".join(map(str, numbers))
    run = results[0].run
    return (
        f"seed {run.get('seed', '?')}; {tested} test and "
        f"{run.get('tune_maps', '?')} tuning stacks a cell"
    )
