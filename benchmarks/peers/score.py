"""Score what peers found, as the bench does, and print the tables.

    python benchmarks/peers/score.py out/peers/eq3 spotiflow deepblink \
        --bench out/bench

The stacks are made again, the threshold of each peer is tuned on the tuning
stacks as `TunedFinder` does, and the test stacks are scored by `score_cell`.
`--bench` puts beside them what `stmk bench` left in a folder, if its stacks
are the same ones.
"""

import argparse
import datetime
import math
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from peer_suites import PEER_SUITES, Made, cell_cases, read_made, stack_file
from stm_keras.bench.case import Role
from stm_keras.bench.report import interval
from stored_finder import StoredFinder, by_digest, read_detections

from stm_keras.errors import InputError
from stm_keras.studies.bench.cases import Cell
from stm_keras.studies.bench.finders import FINDERS
from stm_keras.studies.bench.report import suite_notes
from stm_keras.studies.bench.run import RESULTS, latest, read_results
from stm_keras.studies.bench.scoring import CellResult, of_cell, score_cell


def score_peer(
    folder: Path, made: Made, peer: str
) -> tuple[list[CellResult], str]:
    """Tune and score one peer in every cell.

    Args:
        folder: of the export, which holds a folder of the peer's name.
        made: what was exported.
        peer: its name.

    Returns:
        The results, and how they came about.

    Raises:
        InputError: for files that are missing or of other stacks.
    """
    results, about = [], ""
    for cell in PEER_SUITES[made.suite].cells():
        tuning, test = (
            read_detections(folder / peer / stack_file(cell, role))
            for role in (Role.TUNE, Role.TEST)
        )
        finder = StoredFinder(peer, by_digest((tuning, test)))
        finder.tune(cell_cases(made, cell, Role.TUNE))
        result = score_cell(cell, finder, cell_cases(made, cell, Role.TEST))
        results.append(replace(result, seconds=test.seconds))
        about = test.about
    return results, about


def bench_results(folder: Path, made: Made) -> list[CellResult]:
    """What `stmk bench` found in the same stacks, with one network each.

    Raises:
        InputError: where the folder holds no result of the suite.
    """
    asked = (made.seed, made.n_test, made.n_tune)
    kept = [
        result
        for result in read_results(folder / RESULTS)
        if result.suite == made.suite
        and tuple(result.run.get(n) for n in ("seed", "maps", "tune_maps"))
        == asked
    ]
    if not kept:
        raise InputError(
            f"{folder} holds no result of suite {made.suite} with seed "
            f"{asked[0]}, {asked[1]} test and {asked[2]} tuning stacks."
        )
    return list(latest(kept).values())


def tables(
    cells: Sequence[Cell], names: Sequence[str], results: Sequence[CellResult]
) -> str:
    """The tables of docs/bench.md, those without content left out.

    Args:
        cells: their rows.
        names: of the finders, their columns.
        results: what fills them; a gap stays empty.
    """
    parts = []
    for title, text in _TITLES.items():
        rows = [["", *names], ["---"] * (len(names) + 1)]
        for cell in cells:
            found = of_cell(results, cell.suite, cell.name)
            texts = [text(found[n]) if n in found else "" for n in names]
            rows.append([cell.name, *texts])
        if any("".join(row[1:]) for row in rows[2:]):
            lines = ("| " + " | ".join(row) + " |" for row in rows)
            parts += [f"{title}:", "\n".join(lines)]
    return "\n\n".join(parts)


def _with_interval(result: CellResult, name: str) -> str:
    value, (low, high) = getattr(result.score, name), interval(result, name)
    if not math.isfinite(value):
        return ""
    ends = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) else ""
    return f"{value:.3f}{ends}"


_TITLES: dict[str, Callable[[CellResult], str]] = {
    "Jaccard index, with its 95 % interval over the stacks": lambda r: (
        _with_interval(r, "jaccard")
    ),
    "RMSE of the pairs [px]": lambda r: _with_interval(r, "rmse"),
    "RMSE over the Cramér-Rao bound of the same pairs": lambda r: (
        f"{r.over_bound:.2f}" if math.isfinite(r.over_bound) else ""
    ),
    "Seconds a stack, of peers those of the processor": lambda r: (
        f"{r.seconds:.2g}"
    ),
}


def report(folder: Path, peers: Sequence[str], bench: Path | None) -> str:
    """How everything was made, and the tables.

    Args:
        folder: of the export.
        peers: names of folders in it.
        bench: folder of `stmk bench`; None for peers alone.

    Raises:
        InputError: see `score_peer` and `bench_results`.
    """
    made = read_made(folder)
    lines = [
        f"- scored {datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}",
        f"- seed {made.seed}; {made.n_test} test and {made.n_tune} tuning "
        f"stacks a cell; {made.n_train} training fields exported",
    ]
    results: list[CellResult] = []
    for peer in peers:
        scored, about = score_peer(folder, made, peer)
        results += scored
        lines.append(f"- `{peer}`: {about}")
    beside = bench_results(bench, made) if bench else []
    if beside:
        lines += [f"- `stmk bench`: {note}" for note in suite_notes(beside)]
    results += beside
    names = [*peers, *(f for f in FINDERS if f in {r.finder for r in beside})]
    cells = PEER_SUITES[made.suite].cells()
    return "\n".join(lines) + "\n\n" + tables(cells, names, results)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where export.py wrote")
    parser.add_argument("peers", nargs="+", help="folders of detections in it")
    parser.add_argument("--bench", type=Path, help="folder of `stmk bench`")
    options = parser.parse_args(arguments)
    try:
        print(report(options.folder, options.peers, options.bench))
    except InputError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
