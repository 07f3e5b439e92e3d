"""What do smaller TFLite files of a model cost?

Prints, for float32, float16 and dynamic-range int8: size, Jaccard index and
RMSE at 1 px on maps of the bench (Eq. 3 with noise 0.5; virtual Au(111),
typical), and the median latency of four maps of 80 x 80 px. The first line is
the SavedModel itself. Run from the project's folder:

    pip install -c constraints.txt -e ".[parity]"
    python benchmarks/tflite.py --model saved_models/context
"""

import importlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from detecting import model_options
from header import machine

from stm_keras.models.card import ProbabilitySelection, read_card
from stm_keras.models.export import PRECISIONS, export_tflite
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.cases import Case, CaseId, Role
from stm_keras.studies.bench.simulated import FIELDS, eq3_case, virtual_make

Arrays = dict[str, np.ndarray]
Ask = Callable[[Arrays], Arrays]
N_MAPS, SEED, REPEATS = 4, 0, 9


def cases(virtual: int, fields: int) -> dict[str, list[Case]]:
    make = virtual_make("medium", "typical", N_MAPS, None)
    eq3 = partial(eq3_case, FIELDS, "eq3", 0.5)
    return {
        "Eq. 3, 0.5": [eq3(CaseId(Role.TEST, SEED, i)) for i in range(fields)],
        "virtual": [make(CaseId(Role.TEST, SEED, i)) for i in range(virtual)],
    }


def inputs_of(case: Case, takes_q: bool) -> Arrays:
    """At a pixel of 1 nm: 2k [rad/nm] is then 2k [rad/px]."""
    named = {
        "maps": case.maps[None].astype(np.float32),
        "pixel_nm": np.ones(1, np.float32),
    }
    if takes_q:
        ring = 2 * np.asarray(case.given_wave_numbers)
        named["ring_per_nm"] = ring[None].astype(np.float32)
    return named


def score(ask: Ask, own: list[Case], takes_q: bool) -> Score:
    def one(case: Case) -> Score:
        found = ask(inputs_of(case, takes_q))
        count = int(found["count"][0])
        return score_positions(
            found["positions_px"][0, :count], case.positions, tolerance=1.0
        )

    return reduce(add, map(one, own))


def latency(ask: Ask, case: Case, takes_q: bool) -> float:
    inputs = inputs_of(case, takes_q)
    ask(inputs)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ask(inputs)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def forms(model: Path, scratch: Path) -> Iterator[tuple[str, float, Ask]]:
    """Name, size [MB] and the function that answers, of every form."""
    signature = tf.saved_model.load(str(model)).signatures["locate"]

    def saved(inputs: Arrays) -> Arrays:
        given = {k: tf.constant(v) for k, v in inputs.items()}
        return {k: v.numpy() for k, v in signature(**given).items()}

    own = [model / "saved_model.pb", *(model / "variables").iterdir()]
    yield "SavedModel", sum(p.stat().st_size for p in own) / 1e6, saved
    litert: Any = importlib.import_module("ai_edge_litert.interpreter")
    for precision in PRECISIONS:
        path = scratch / f"{precision}.tflite"
        export_tflite(model, path, precision)
        interpreter = litert.Interpreter(
            str(path), num_threads=os.cpu_count() or 1
        )
        runner = interpreter.get_signature_runner("locate")
        size = path.stat().st_size / 1e6
        yield precision, size, lambda inputs, ask=runner: ask(**inputs)


def main() -> None:
    options = model_options(__doc__, experiments=6, fields=40)
    takes_q = isinstance(
        read_card(options.model).selection, ProbabilitySelection
    )
    stacks = cases(options.experiments, options.fields)
    print(
        f"{machine()}; {options.model.name}; {options.fields} fields, "
        f"{options.experiments} experiments, seed {SEED}\n"
    )
    titles = [f"{name}: Jaccard, RMSE [px]" for name in stacks]
    print("| form | MB | " + " | ".join(titles) + " | latency |")
    print("|---" * (len(titles) + 3) + "|")
    with tempfile.TemporaryDirectory() as scratch:
        for name, size, ask in forms(options.model, Path(scratch)):
            scores = [score(ask, own, takes_q) for own in stacks.values()]
            cells = " | ".join(f"{s.jaccard:.3f}, {s.rmse:.3f}" for s in scores)
            seconds = latency(ask, stacks["virtual"][0], takes_q)
            print(
                f"| {name} | {size:.2f} | {cells} | {1e3 * seconds:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
