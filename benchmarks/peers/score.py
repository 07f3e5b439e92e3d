"""Score what peers found, as the bench does, and print the tables.

    python benchmarks/peers/score.py out/peers/eq3 spotiflow deepblink \
        --bench out/bench

The stacks are made again, the threshold of each peer is tuned on the tuning
stacks as `Finder` does, and the test stacks are scored by `score_cell`.
`--bench` puts beside them what `stmk bench` left in a folder, if its stacks
are the same ones.
"""

import argparse
import datetime
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from export import PEER_SUITES, Made, cell_cases, read_made, stack_file
from peer_files import Detections, digest, load_detections

from stm_keras.errors import InputError
from stm_keras.studies.bench.cases import Case, Cell, Found, Role
from stm_keras.studies.bench.finders import FINDERS, Finder
from stm_keras.studies.bench.report import TITLES, by_finder, suite_notes
from stm_keras.studies.bench.run import RESULTS, latest, read_results
from stm_keras.studies.bench.scoring import CellResult, score_cell


class StoredFinder(Finder):
    """Finds what a peer found; its threshold is tuned as all finders' are.

    Args:
        name: of the peer.
        stored: what it found, by the digest of the stack.
    """

    def __init__(self, name: str, stored: Mapping[str, Found]) -> None:
        super().__init__()
        self.name = name
        self._stored = stored

    def detect(self, case: Case, setting: None) -> Found:
        """All that the peer found.

        Raises:
            InputError: for a stack that it was not given.
        """
        del setting
        found = self._stored.get(digest(case.maps))
        if found is None:
            raise InputError(
                f"{self.name} was not given a stack that is to be scored: "
                "export and find again, on this machine."
            )
        return found


def by_digest(files: Iterable[Detections]) -> dict[str, Found]:
    """What was found in each stack, the surest first."""
    return {
        name: _sorted(positions, scores)
        for file in files
        for name, positions, scores in zip(
            file.digests, file.positions, file.scores, strict=True
        )
    }


def _sorted(positions: np.ndarray, scores: np.ndarray) -> Found:
    order = np.argsort(-scores, kind="stable")
    return Found(positions[order], scores[order])


def read_detections(path: Path) -> Detections:
    """Read and check a peer's file.

    Raises:
        InputError: where it is missing, damaged or not finite.
    """
    try:
        found = load_detections(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} holds no detections ({error}): run the peer's script."
        ) from error
    for values in (*found.positions, *found.scores):
        if not np.isfinite(values).all():
            raise InputError(f"{path} holds a position or score of NaN.")
    return found


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
        results: what fills them.
    """
    made = (
        (title, by_finder(title, cells, names, results)) for title in TITLES
    )
    return "\n\n".join(f"{title}:\n\n{text}" for title, text in made if text)


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
        "- seconds of peers are those of the processor",
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
