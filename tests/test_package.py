import ast
import email
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import stm_keras
from stm_keras.models.stored import find_models

ROOT = Path(__file__).parents[1]
PACKAGES = {"stm_keras", "data_builders", "cli"}
OWN = {"tests", "benchmarks"} | PACKAGES
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
    "magicgui",
    "mlcroissant",
    "napari",
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: what an earlier build left here would get into it."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("from", "to"))
    for name in (*PACKAGES, "saved_models"):
        ignored = shutil.ignore_patterns("__pycache__", "training")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    (source / "docs").mkdir()
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "docs/package.md"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        + ["--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_three_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {t for t in top if not t.endswith(".dist-info")} == PACKAGES
    assert "data_builders/friedel/CITATIONS.bib" in names
    for part in ("page.html", "page.css", "page.js"):
        assert f"stm_keras/results/report/{part}" in names
    assert "stm_keras/py.typed" in names


def test_the_wheel_holds_the_models_whole(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    shipped = {m.name: m for m in find_models(ROOT / "saved_models")}
    held = {m.name: m for m in find_models(tmp_path / "stm_keras/_models")}
    assert held.keys() == shipped.keys() >= {"context", "wang2020"}
    assert all(model.checksums == "ok" for model in held.values())
    assert wheel.stat().st_size < 8_000_000


def test_what_a_release_says_of_itself(wheel):
    (name,) = (
        n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("/METADATA")
    )
    told = zipfile.ZipFile(wheel).read(name).decode()
    about = email.message_from_string(told)
    assert about["Version"] == stm_keras.__version__
    assert about["License-Expression"] == "Apache-2.0"
    assert (
        name.replace("METADATA", "licenses/LICENSE")
        in zipfile.ZipFile(wheel).namelist()
    )
    text = about.get_payload()
    assert "pip install stm-keras" in text
    # A page of a package has no folder that a link could lead to.
    assert not re.search(r"\]\((?!https?:)", text)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == stm_keras.__version__
    assert citation["license"] == about["License-Expression"]


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
