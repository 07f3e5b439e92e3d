"""Attacks, how often they were tried, and how often what is promised held.

    python benchmarks/safety/table.py [--results out/safety] [--tests A.xml ...]

It runs the tests that attack (each case of each test is a try), adds the lines
that `kills.py` and `soak.py` have left in --results, and writes the table into
docs/safety.md. The exit status is 1 where anything did not hold. `--tests`
takes reports that pytest has written (`--junitxml`) in place of the run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from header import machine

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/safety.md"
MARKS = "<!-- attacks -->", "<!-- end of attacks -->"

ATTACKS = {
    "stm_keras/files/test_kills": "writing ended at every file event; "
    "journals that lead elsewhere",
    "stm_keras/models/test_killed_export": "export and publication, what is "
    "left at every file event",
    "cli/test_users_files": "a user's own files in the way",
    "stm_keras/models/test_trust": "models that do more than compute, or "
    "differ from their checksums",
    "stm_keras/models/test_evil_cards": "cards with anything in any field",
    "stm_keras/training/test_damaged_sets": "edited descriptions and damaged "
    "shards of data sets",
    "cli/test_full_disk": "full disks, links to themselves, folders that go",
    "cli/test_stopping": "Ctrl-C and SIGTERM",
    "stm_keras/preprocessing/test_hot_pixels": "hot pixels found, narrow "
    "cores and noise left",
    "stm_keras/test_range": "maps times 1e-300 to 1e300",
    "stm_keras/detector/test_odd_maps": "the same, up to the positions",
    "examples/test_rest": "requests to the example's server",
    "cli/test_surroundings": "odd surroundings, two processes in one folder, "
    "no network",
}
"""What each file of tests attacks."""


def run_tests(report: Path) -> None:
    """Every test that attacks, the slow ones too."""
    files = [str(ROOT / f"tests/{name}.py") for name in ATTACKS]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow"]
    subprocess.run(
        [*command, f"--junitxml={report}", *files], cwd=ROOT, check=False
    )


def counted(reports: list[Path]) -> list[dict[str, object]]:
    """Tries by attack; what was skipped, or is in no report, was not tried."""
    tried, held = Counter[str](), Counter[str]()
    for report in reports:
        cases = list(ET.parse(report).iter("testcase"))
        for module in set(map(_module, cases)):  # a later report counts
            tried[module] = held[module] = 0
        for case in cases:
            if case.find("skipped") is None:
                tried[_module(case)] += 1
                held[_module(case)] += all(
                    case.find(wrong) is None for wrong in ("failure", "error")
                )
    return [
        {
            "attack": f"{attack} (`tests/{module}.py`)",
            "tried": tried[module],
            "held": held[module],
        }
        for module, attack in ATTACKS.items()
        if module in tried
    ]


def _module(case: ET.Element) -> str:
    name = case.get("classname", "").replace(".", "/")
    return name.removeprefix("tests/")


def lines_in(results: Path) -> list[dict[str, object]]:
    """What the longer attacks have left."""
    return [
        json.loads(line)
        for path in sorted(results.glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("out/safety"))
    parser.add_argument("--tests", type=Path, nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reports = options.tests or [Path(folder) / "tests.xml"]
        if options.tests is None:
            run_tests(reports[0])
        rows = [*counted(reports), *lines_in(options.results)]
    table = ["| attack | tried | held |", "|---|---|---|"]
    table += [f"| {r['attack']} | {r['tried']} | {r['held']} |" for r in rows]
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    text = "\n".join([f"{machine()}.", "", *table])
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}")
    print(text)
    sys.exit(any(row["tried"] != row["held"] for row in rows))


if __name__ == "__main__":
    main()
