import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


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
