"""Writes requirements.lock: every package of a plain installation, with hashes.

    python benchmarks/safety/lock.py [--check]

pip itself resolves setup.cfg's packages (those of the tests too) under
constraints.txt, for the system and Python that run this, and names the file
that it would take of each, with its SHA-256; nothing is installed. With
`--check` nothing is written: the exit status is 1 where it says otherwise.

    pip install --require-hashes -r requirements.lock
    pip install --no-deps -e .

installs no byte that was not there when the file was made. It takes two
commands, as pip cannot ask a hash of an editable folder; and it is for one
system, as constraints.txt is for all of them.
"""

import argparse
import configparser
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("zarr", "xarray", "imagej", "gwyddion", "test")


def wanted() -> list[str]:
    """The requirements of setup.cfg, without its own extras."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"]]
    texts += [
        config["options.extras_require"].get(name, "", raw=True)
        for name in EXTRAS
    ]
    lines = [
        line.partition("#")[0].strip()
        for text in texts
        for line in text.splitlines()
    ]
    return [line for line in lines if line and not line.startswith("%(")]


def resolved() -> dict[str, tuple[str, str]]:
    """Version and hash of each package, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"),
            "--ignore-installed",
            *("--report", str(report), "-c", str(ROOT / "constraints.txt")),
            *wanted(),
        ]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())["install"]
    return {
        item["metadata"]["name"].lower().replace("_", "-"): (
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in found
    }


def lock() -> str:
    """The file's text."""
    system = f"{platform.system()} {platform.machine()}"
    python = ".".join(platform.python_version_tuple()[:2])
    lines = [f"# {system}, Python {python}; made by benchmarks/safety/lock.py."]
    for name, (version, digest) in sorted(resolved().items()):
        lines += [f"{name}=={version} \\", f"    --hash=sha256:{digest}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = lock()
    if not options.check:
        LOCK.write_text(text)
    elif LOCK.read_text() != text:
        sys.exit(f"{LOCK.name} is not what pip would install: make it anew.")


if __name__ == "__main__":
    main()
