"""Kills commands at random moments, and looks at what is left.

    python benchmarks/safety/kills.py --kills 100 --seed 0 --out out/safety

One process has TensorFlow loaded; for every kill it forks one that runs a
command on little data, and ends it by SIGKILL at a moment drawn uniformly from
the time that a whole run takes. What is left must be the old thing or the new
one, whole, or a result with its journal, which the next run finishes; files of
the user must be there; the next run must clear up. Every tenth time the command
is run again, to its end. Lines of JSON, one a command, go to `kills.jsonl`.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cli.main import main as stmk
from stm_keras.files import (
    JOURNAL,
    PREFIX,
    atomic_file,
    finish,
    scratch_directory,
    writable_directory,
)
from stm_keras.models.card import read_card, verify_checksums

LITTLE = Path(__file__).parents[2] / "tests/models/wang2020"
USERS = "thesis.txt"
OLD = b"of the run before"
AGAIN = 10
"""Of so many kills, after one the command is run again."""
FIT = ("--filters", "2", "--depth", "1", "--batch-size", "16", "--epochs", "2")
BUILD = ("friedel", "--config", "demo", "--examples", "70,9,10")


class Command(NamedTuple):
    """A command that is killed.

    Attributes:
        arguments: of `stmk`, run in the folder of a trial.
        prepare: makes what is there before, in that folder.
        fault: looks at the folder and gives what is wrong, or "".
        folders: that the next run of the command clears.
    """

    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    fault: Callable[[Path], str]
    folders: tuple[str, ...]


def run(folder: Path, arguments: tuple[str, ...]) -> int:
    """Start a command in a forked process; gives its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(folder)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(os.open(folder.with_name("stderr"), os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = ["stmk", *arguments]
    code = 1
    try:
        stmk()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os._exit(code)


def killed(folder: Path, arguments: tuple[str, ...], after_s: float) -> bool:
    """Run a command and kill it; False where it had ended before."""
    child = run(folder, arguments)
    time.sleep(after_s)
    ended = os.waitpid(child, os.WNOHANG)[0] != 0
    if not ended:
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it leads no group yet
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return not ended


def whole(folder: Path, arguments: tuple[str, ...]) -> float:
    """Run a command to its end; gives the time [s].

    Raises:
        RuntimeError: where it fails.
    """
    started = time.monotonic()
    status = os.waitpid(run(folder, arguments), 0)[1]
    if status:
        told = folder.with_name("stderr").read_text()[-500:]
        raise RuntimeError(f"{arguments} ends with {status}: {told}")
    return time.monotonic() - started


def fault_of(command: Command, folder: Path) -> str:
    """What is wrong with what a kill has left; "" where nothing is."""
    fault = command.fault(folder)
    for name in command.folders:
        if (folder / name).is_dir():
            with scratch_directory(folder / name):  # the next run
                pass
    left = [p for p in folder.rglob("*") if p.name.startswith(PREFIX)]
    if left:
        fault = fault or f"left: {left[0].relative_to(folder)}"
    users = [p for p in folder.rglob(USERS) if p.read_bytes() == OLD]
    if not users:
        fault = fault or "a file of the user is gone"
    return fault


def of_model(directory: Path) -> str:
    """What is wrong with a model's directory."""
    try:
        finish(directory)
        read_card(directory)
        differs = verify_checksums(directory)
    except ValueError as error:
        return str(error)
    return str(differs) if differs is None or differs else ""


def make_model(folder: Path, ready: Path) -> None:
    """A model, with a file of the user that its checksums know."""
    shutil.copytree(ready, folder / "m")


def of_export(folder: Path) -> str:
    """Old or new; a journal where they are mixed."""
    out = folder / "u"
    names = ("saved_model/saved_model.pb", "saved_model/fingerprint.pb")
    return _all_old_or_new(out, names)


def make_export(folder: Path, ready: Path) -> None:
    """An export of before, with a file of the user in it."""
    shutil.copytree(ready, folder / "m")
    assets = folder / "u/saved_model/assets"
    assets.mkdir(parents=True)
    (assets / "model_card.json").write_bytes(OLD)
    for name in ("saved_model.pb", "fingerprint.pb", USERS):
        (folder / "u/saved_model" / name).write_bytes(OLD)


RESULT = ("positions.csv", "positions.json", "overview.png", "S.npy")


def make_result(folder: Path, ready: Path) -> None:
    """A result of before."""
    shutil.copytree(ready, folder / "m")
    rng = np.random.default_rng(0)
    np.savez(
        folder / "scan.npz",
        maps=rng.normal(size=(1, 40, 40)),
        bias_v=[0.1],
        extent_nm=[20.0, 20.0],
    )
    (folder / "found").mkdir()
    for name in (*RESULT, USERS):
        (folder / "found" / name).write_bytes(OLD)
    head = b'{"format": "stm-keras positions"} '
    (folder / "found/positions.json").write_bytes(head + OLD)


def of_result(folder: Path) -> str:
    """See `of_export`."""
    return _all_old_or_new(folder / "found", RESULT)


def _all_old_or_new(out: Path, names: tuple[str, ...]) -> str:
    old = {OLD in (out / name).read_bytes() for name in names}
    if len(old) == 2 and not (out / JOURNAL).exists():
        return "old beside new, without a journal"
    finish(out)
    old = {OLD in (out / name).read_bytes() for name in names}
    return "" if len(old) == 1 else "old beside new"


def make_training(folder: Path, ready: Path) -> None:
    """A folder for a training, with a model that it replaces."""
    shutil.copytree(ready, folder / "m")
    (folder / "m/training").mkdir()


def make_set(folder: Path, ready: Path) -> None:
    """A data set, with a file of the user beside it."""
    shutil.copytree(ready, folder / "data")
    (folder / "data" / USERS).write_bytes(OLD)


def of_set(folder: Path, ready: Path) -> str:
    """The same examples as before, whole."""
    for path in ready.rglob("*.tfrecord*"):
        place = folder / "data" / path.relative_to(ready)
        if not place.exists():
            return f"{path.name} is missing"
        if place.read_bytes() != path.read_bytes():
            return f"{path.name} is another"
    return ""


def commands(ready: Path) -> dict[str, Command]:
    """What is killed, by name.

    Args:
        ready: folder with a model `m` and a data set `data`.
    """
    data = str(ready / "data")
    model, prepared = ready / "m", ready / "data"
    return {
        "build-data": Command(
            ("build-data", *BUILD, "--out", "data", "--overwrite"),
            lambda folder: make_set(folder, prepared),
            lambda folder: of_set(folder, prepared),
            ("data",),
        ),
        "fit": Command(
            ("fit", "--data", data, "--out", "m", "--overwrite", *FIT),
            lambda folder: make_training(folder, model),
            lambda folder: of_model(folder / "m"),
            (".", "m", "m/training"),
        ),
        "predict": Command(
            (
                *("predict", "scan.npz", "--model", "m", "--out", "found"),
                *("--surface", "au111"),
            ),
            lambda folder: make_result(folder, model),
            of_result,
            ("found",),
        ),
        "export --in-place": Command(
            ("export", "--model", "m", "--in-place"),
            lambda folder: make_model(folder, model),
            lambda folder: of_model(folder / "m"),
            (".", "m"),
        ),
        "export --out": Command(
            (
                *("export", "--model", "m", "--out", "u"),
                *("--format", "saved-model"),
            ),
            lambda folder: make_export(folder, model),
            of_export,
            ("u",),
        ),
    }


def make_ready(ready: Path) -> None:
    """The model and the data set that trials start from."""
    ready.mkdir()
    whole(ready, ("build-data", *BUILD, "--out", "data"))
    shutil.copytree(LITTLE, ready / "m")
    (ready / "m" / USERS).write_bytes(OLD)
    whole(ready, ("export", "--model", "m", "--in-place"))


def attack(
    name: str, command: Command, kills: int, seed: int, scratch: Path
) -> dict[str, object]:
    """Kill a command; what came of it."""
    rng = np.random.default_rng([seed, *name.encode()])
    folder = scratch / "whole"
    folder.mkdir()
    command.prepare(folder)
    takes_s = whole(folder, command.arguments)
    faults, done, again = [], 0, 0
    while done < kills:
        folder = scratch / f"{done}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        command.prepare(folder)
        moment = float(rng.uniform(0, takes_s))
        if not killed(folder, command.arguments, moment):
            continue  # a run faster than the first
        done += 1
        fault = fault_of(command, folder)
        if not fault and done % AGAIN == 0:
            again += 1
            try:
                whole(folder, command.arguments)
                fault = fault_of(command, folder)
            except RuntimeError as error:
                fault = str(error)
        if fault:
            faults.append(f"{moment:.2f} s: {fault}")
        shutil.rmtree(folder)
    return {
        "attack": f"SIGKILL of `stmk {name}` at a random moment",
        "tried": done,
        "held": done - len(faults),
        "run again to the end": again,
        "a run takes [s]": round(takes_s, 1),
        "seed": seed,
        "faults": faults,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append")
    parser.add_argument("--out", type=Path, default=Path("out/safety"))
    options = parser.parse_args()
    # Loaded here, and not used: TensorFlow makes no threads before it is.
    import stm_keras.results.batch
    import stm_keras.training
    import stm_keras.training.publication
    from data_builders.friedel import friedel_dataset_builder

    del stm_keras, friedel_dataset_builder
    only = "-".join(options.only or ["all"]).replace(" ", "")
    path = writable_directory(options.out) / f"kills-{only}.jsonl"
    rows = []
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        scratch = Path(temporary)
        ready = scratch / "ready"
        make_ready(ready)
        for name, command in commands(ready).items():
            if options.only and name not in options.only:
                continue
            place = scratch / name.replace(" ", "")
            place.mkdir()
            rows.append(
                attack(name, command, options.kills, options.seed, place)
            )
            print(json.dumps(rows[-1]), flush=True)
            with atomic_file(path) as draft:
                draft.write_text("".join(json.dumps(r) + "\n" for r in rows))
    sys.exit(any(row["faults"] for row in rows))


if __name__ == "__main__":
    main()
