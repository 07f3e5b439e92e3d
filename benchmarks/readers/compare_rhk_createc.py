"""Compares the RHK, Createc and Matrix readers with other packages.

    pip install spym createc access2thematrix xarray pandas
    python benchmarks/readers/compare_rhk_createc.py FOLDER

FOLDER holds spym_lia_graphite.sm4 and createc_ag111_100mV.dat. spym is used
without its plotting packages.
"""

import importlib
import importlib.util
import sys
import tempfile
import tracemalloc
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import tiny_matrix  # noqa: E402
import tiny_rhk_sm4  # noqa: E402

from stm_keras.io.createc import open_dat  # noqa: E402
from stm_keras.io.matrix import open_mtrx  # noqa: E402
from stm_keras.io.rhk import open_sm4  # noqa: E402


def bare_import(package: str, module: str) -> Any:
    """Import a module of a package whose own __init__ needs more."""
    if module in sys.modules:
        return sys.modules[module]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{package} is not installed. See this script's head.")
    place = list(spec.submodule_search_locations)
    parts = module.split(".")
    for n in range(1, len(parts)):
        name = ".".join(parts[:n])
        if name not in sys.modules:
            stub = types.ModuleType(name)
            inside = Path(place[0]).joinpath(*parts[1:n])
            stub.__path__ = [str(inside)]
            sys.modules[name] = stub
    return importlib.import_module(module)


def relation(ours: np.ndarray, theirs: np.ndarray) -> str:
    """By which turn one image becomes the other."""
    turns: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "the same": lambda a: a,
        "upside down": lambda a: a[::-1],
        "left is right": lambda a: a[:, ::-1],
        "both turned": lambda a: a[::-1, ::-1],
        "axes exchanged": lambda a: a.T,
    }
    for name, turn in turns.items():
        turned = turn(theirs)
        if turned.shape == ours.shape and np.allclose(ours, turned, 1e-5):
            return name
    return "another order of the pixels"


def compare_rhk(path: Path) -> None:
    """Ours beside spym, image by image."""
    spym = bare_import("spym", "spym.io.rhksm4._sm4")
    channels = {
        (c.name.replace(" ", "_"), c.direction.capitalize()): c.load()[0]
        for c in open_sm4(path).channels
    }
    for page in spym.RHKsm4(str(path)):
        scale, offset = page.attrs["RHK_Zscale"], page.attrs["RHK_Zoffset"]
        name, _, direction = page.label.rpartition("_")
        theirs = page.data.astype(float) * scale + offset
        ours = channels[name, direction]
        print(f"  {page.label}: {relation(ours, theirs)}")


def compare_createc(path: Path) -> None:
    """Ours beside createc, which gives counts."""
    theirs = importlib.import_module("createc").DAT_IMG(str(path))
    for image, channel in zip(
        theirs.imgs, open_dat(path).channels, strict=True
    ):
        ours = channel.load()[0]
        scale = np.median(ours / image)
        how = relation(ours, image * scale)
        print(
            f"  {channel.name} {channel.direction}: {how}, one count is "
            f"{scale:.6g} {channel.unit}"
        )
    try:
        print(f"  offset: {theirs.offset}")
    except AttributeError as error:
        reason = str(error).splitlines()[0]
        print(f"  offset: fails with NumPy {np.__version__} ({reason})")


def peak(read: Callable[[], object]) -> int:
    """Most memory in use while a function runs [byte]."""
    tracemalloc.start()
    read()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def compare_matrix(folder: Path) -> None:
    """Memory of ours and of access2theMatrix, of a file of 4 MB."""
    from access2thematrix import MtrxData

    n = 512
    given = tiny_matrix.parameters(XYScanner__Points=n, XYScanner__Lines=n)
    counts = tiny_matrix.counts(4 * n * n)
    files = tiny_matrix.session_files(
        {"Z": tiny_matrix.data_file(counts)}, given
    )
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = folder / f"{tiny_matrix.RUN_NAME}Z_mtrx"
    size = path.stat().st_size
    theirs = peak(lambda: MtrxData().open(str(path)))
    ours = peak(lambda: open_mtrx(path).channels[0].load())
    print(f"  ours {ours / size:.1f} x the file, theirs {theirs / size:.1f} x")


def main() -> None:
    """Print all comparisons."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)
    print("RHK beside spym, the real file:")
    compare_rhk(folder / "spym_lia_graphite.sm4")
    with tempfile.TemporaryDirectory() as name:
        written = Path(name)
        for title, scale in (
            ("4 x 4 px, y scale < 0", (-1e-9, -2e-9, 1.0)),
            ("4 x 4 px, y scale > 0", (-1e-9, 2e-9, 1.0)),
            ("4 x 4 px, x scale > 0", (1e-9, -2e-9, 1.0)),
            ("4 x 6 px", (-1e-9, -2e-9, 1.0)),
        ):
            shape = (4, 6) if "6" in title else (4, 4)
            page = tiny_rhk_sm4.page(tiny_rhk_sm4.counts(shape), scale=scale)
            path = written / "a.sm4"
            path.write_bytes(tiny_rhk_sm4.sm4_bytes([page]))
            print(f"RHK beside spym, {title}:")
            compare_rhk(path)
        print("Createc beside createc, the real file:")
        compare_createc(folder / "createc_ag111_100mV.dat")
        print("Matrix beside access2theMatrix, memory:")
        compare_matrix(written)


if __name__ == "__main__":
    main()
