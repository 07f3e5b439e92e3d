"""Writes tiny MATLAB files with SciPy and h5py, for tests and for fuzzing."""

import io

import h5py
import numpy as np
from scipy.io import savemat

USER_BLOCK = 512
"""What MATLAB puts before HDF5, for a text and its version."""


def stack(seed: int = 1) -> np.ndarray:
    """A stack as MATLAB has it, [row, col, bias], float32 [4, 5, 3]."""
    return np.random.default_rng(seed).normal(size=(4, 5, 3)).astype("f4")


def mat_bytes(version: str, **arrays: object) -> bytes:
    """A file of version "4", "6" (uncompressed) or "7"."""
    content = io.BytesIO()
    form = "4" if version == "4" else "5"
    savemat(content, arrays, format=form, do_compression=version == "7")
    return content.getvalue()


def mat73_bytes(**arrays: np.ndarray) -> bytes:
    """A file of version 7.3: HDF5, axes in reverse, behind a preamble."""
    content = io.BytesIO()
    with h5py.File(content, "w", userblock_size=USER_BLOCK) as file:
        for name, array in arrays.items():
            packed = "gzip" if np.ndim(array) > 2 else None
            dataset = file.create_dataset(
                name, data=np.atleast_2d(array).T, compression=packed
            )
            is_single = dataset.dtype == np.float32
            dataset.attrs["MATLAB_class"] = np.bytes_(
                "single" if is_single else "double"
            )
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124)
    preamble = (text + b"\x00\x02IM").ljust(USER_BLOCK, b"\0")
    return preamble + content.getvalue()[USER_BLOCK:]


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    maps = stack()
    beside = {"bias_mV": [-100.0, 0.0, 100.0], "extent_nm": [8.0, 10.0]}
    other = {"note": "text", "s": {"a": 1.0}, "c": np.empty((2, 2), object)}
    other["c"][:] = 1.0
    hdf5 = {name: np.array(values) for name, values in beside.items()}
    return {
        "level4.mat": mat_bytes("4", topo=maps[..., 0], bias=0.1, pixel_nm=2),
        "level5.mat": mat_bytes("6", didv=maps, **beside, **other),
        "packed.mat": mat_bytes("7", didv=maps, topo=maps + 1, **beside),
        "integers.mat": mat_bytes("6", counts=(maps * 99).astype("i2")),
        "hdf5.mat": mat73_bytes(didv=maps, **hdf5),
    }
