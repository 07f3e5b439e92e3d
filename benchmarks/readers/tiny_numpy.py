"""Writes tiny NumPy files, for tests and for fuzzing."""

import io

import numpy as np


def stack(seed: int = 1) -> np.ndarray:
    """A stack of three maps, float64 [3, 4, 5]."""
    return np.random.default_rng(seed).normal(size=(3, 4, 5))


def npz_bytes(*, packed: bool = True, **arrays: object) -> bytes:
    """An archive of arrays by name."""
    content = io.BytesIO()
    write = np.savez_compressed if packed else np.savez
    write(content, **arrays)  # pyright: ignore[reportArgumentType]
    return content.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """A bare array."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name; bare ones have a sidecar beside them."""
    whole = {
        "maps": stack().astype(np.float32),
        "bias_v": np.array([-0.1, 0.0, 0.1]),
        "extent_nm": np.array([8.0, 10.0]),
        "centre_nm": np.array([3.0, -4.0]),
        "angle_deg": np.array(30.0),
        "channel": np.array("LI Demod 1 X"),
        "unit": np.array("nS"),
        "provenance": np.array(["made", "cut"]),
    }
    few = {key: whole[key] for key in ("maps", "bias_v", "extent_nm")}
    return {
        "packed.npz": npz_bytes(**whole),
        "plain.npz": npz_bytes(packed=False, **few),
        "image.npz": npz_bytes(maps=stack()[0], bias_v=0.2, extent_nm=[4, 5]),
        "bare.npy": npy_bytes(stack()),
        "columns.npy": npy_bytes(np.asfortranarray(stack()).astype(">i2")),
    }
