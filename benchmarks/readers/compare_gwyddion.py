"""Gwyddion files: our reader against the package gwyfile.

Prints for each file what comes of reading it, and the peak of memory.
Run: PYTHONPATH=. python benchmarks/readers/compare_gwyddion.py
"""

import signal
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiny_gwyddion
from gwyfile.objects import GwyObject

from stm_keras.io.gwyddion import read_objects

_SECONDS = 5


def main() -> None:
    rng = np.random.default_rng(0)
    field = tiny_gwyddion.field(rng.normal(size=(512, 512)))
    files = tiny_gwyddion.tiny_files()
    files["40 images of 2 MB"] = tiny_gwyddion.gwy_file(
        *((f"/{i}/data", "o", field) for i in range(40))
    )
    text_without_end = files["images.gwy"][:-1] + b"x"
    files["a text without an end"] = text_without_end
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / "file.gwy"
            path.write_bytes(content)
            theirs = _measured(GwyObject.fromfile, str(path), content)
            ours = _measured(read_objects, path, content)
            print(f"{name}: gwyfile {theirs}; here {ours}")


def _measured(read: Callable, path: str | Path, content: bytes) -> str:
    """What comes of reading, and the peak of memory over the file's size."""
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(_SECONDS)
    tracemalloc.start()
    try:
        read(path)
        result = "reads it"
    except Exception as error:
        result = f"{type(error).__name__}: {str(error)[-60:]}"
    finally:
        signal.alarm(0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return f"{result} ({peak / len(content):.1f} x the file)"


def _late(*_: object) -> None:
    raise TimeoutError(f"not done after {_SECONDS} s")


if __name__ == "__main__":
    main()
