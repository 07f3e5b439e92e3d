import ast
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OWN = {"tests", "benchmarks", "cli", "data_builders", "stm_keras"}
BUNDLED = {"google"}  # protobuf's; a namespace that others share


def plain(name):
    """A distribution's name as metadata spell it, one way or the other."""
    return name.lower().replace("_", "-").replace(".", "-")


def brought(extra):
    """Distributions that `pip install stm-keras[extra]` brings."""
    found: dict[str, set[str]] = {}
    waiting = [Requirement(f"stm-keras[{extra}]" if extra else "stm-keras")]
    while waiting:
        needed = waiting.pop()
        name = plain(needed.name)
        if name in found and needed.extras <= found[name]:
            continue
        found[name] = needed.extras | found.get(name, set())
        for more in map(Requirement, metadata.requires(name) or ()):
            if more.marker is None or any(
                more.marker.evaluate({"extra": one})
                for one in needed.extras or {""}
            ):
                waiting.append(more)
    return set(found)


def imported(path):
    """Packages that a file imports anywhere, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


# What goes beyond an installation without extras says so when it is missing.
OPTIONAL = {
    "apache_beam",
    "gwyfile",
    "h5netcdf",
    "roifile",
    "tensorflow_serving",
    "trackpy",
    "xarray",
    "zarr",
}


@pytest.mark.parametrize(
    ("folders", "extra", "optional"),
    [
        (("stm_keras", "cli", "data_builders"), "", OPTIONAL),
        (("tests",), "test", {"apache_beam", "playwright"}),
    ],
)
def test_what_is_imported_is_installed(folders, extra, optional):
    """An environment with every extra would hide what is not."""
    installed = brought(extra)
    modules = metadata.packages_distributions()
    known = OWN | BUNDLED | set(sys.stdlib_module_names)
    for path in (p for f in folders for p in (ROOT / f).rglob("*.py")):
        for name in set(imported(path)) - known - optional:
            homes = set(map(plain, modules.get(name, ())))
            assert homes & installed, f"{path}: {name}"


def test_the_wheel_holds_three_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        + ["--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {t for t in top if not t.endswith(".dist-info")} == {
        "stm_keras",
        "data_builders",
        "cli",
    }
    assert "data_builders/friedel/CITATIONS.bib" in names
    for part in ("page.html", "page.css", "page.js"):
        assert f"stm_keras/results/report/{part}" in names


def test_help_needs_no_tensorflow():
    """What makes `stmk --help` quick."""
    code = (
        "import sys, cli.main; "
        "print([m for m in ('tensorflow', 'keras', 'tensorflow_datasets', "
        "'matplotlib', 'scipy.ndimage') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"
