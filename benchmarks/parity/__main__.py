"""Does every tool that loads our SavedModel give what Keras gives?

Prints a table: tool, version, largest difference from Keras in probability
and in position [px], median latency, on virtual Au(111) maps. Tools that are
not installed are left out, with the reason. Run from the project's folder:

    pip install -c constraints.txt -e ".[parity]"
    python -m benchmarks.parity --model saved_models/context

Tools that do not go beside TensorFlow 2.21 take environments of their own:
the commands are in `benchmarks/parity/environments.py`.

The answers come from `locate`, or from `serving_default` where a tool can
load no other signature; NaN of the padding is not compared.
"""

import argparse
import datetime
import os
import platform
import tempfile
from pathlib import Path

from benchmarks.parity.reference import (
    N_MAPS,
    SIZE_PX,
    difference,
    inputs_of,
    keras_answer,
)
from benchmarks.parity.roster import TOOLS
from benchmarks.parity.tool import ROOT, Tool, timed

REPEATS = 7
_PATIENCE_S = 3.0


def row(tool: Tool, model: Path) -> str:
    """A line of the table."""
    inputs = inputs_of(model)
    keras = keras_answer(model, tool.signature, inputs)
    with (
        tempfile.TemporaryDirectory() as scratch,
        tool.open(model, Path(scratch)) as ask,
    ):
        found, seconds = timed(ask, inputs, REPEATS, _PATIENCE_S)
    apart = difference(found, keras, float(inputs["pixel_nm"][0]))
    return (
        f"| {tool.name} | {tool.version()} | {tool.signature} | "
        f"{apart.probability:.1e} | {apart.position_px:.1e} | "
        f"{1e3 * seconds:.0f} ms | {tool.cannot} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", type=Path, default=ROOT / "saved_models/context"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="tools with one of these in their name",
    )
    options = parser.parse_args()
    model: Path = options.model
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {model.name}, {N_MAPS} maps of {SIZE_PX} x "
        f"{SIZE_PX} px, median of up to {REPEATS}\n"
    )
    print(
        "| tool | version | signature | probability | position [px] | "
        "latency | what it cannot do |\n" + "|---" * 7 + "|"
    )
    for tool in TOOLS:
        if not any(o.lower() in tool.name.lower() for o in options.only):
            continue
        missing = tool.missing()
        if missing is not None:
            print(f"left out: {tool.name} ({missing})")
            continue
        print(row(tool, model), flush=True)


if __name__ == "__main__":
    main()
