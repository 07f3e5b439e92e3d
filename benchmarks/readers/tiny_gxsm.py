"""Tiny files as GXSM 3 (NetCDF 3) and GXSM 4 (NetCDF 4) write them."""

import io
from collections.abc import Mapping

import h5netcdf.legacyapi
import numpy as np
from scipy.io import netcdf_file

File = netcdf_file | h5netcdf.legacyapi.Dataset
Setting = tuple[float, Mapping[str, str]]

ANGSTROM = {"var_unit": "Ang", "unit": "nm"}
SETTINGS: Mapping[str, Setting] = {
    "dz": (0.02, ANGSTROM),
    "rangex": (400.0, ANGSTROM),
    "rangey": (300.0, ANGSTROM),
    "offsetx": (-120.0, ANGSTROM),
    "offsety": (50.0, ANGSTROM),
    "alpha": (30.0, {"unit": "Grad"}),
    "sranger_mk2_hwi_bias": (-0.25, {"var_unit": "V"}),
}
"""Of a topograph; lengths are in angstrom, whatever `unit` says."""


def gxsm_bytes(
    image: np.ndarray,
    *,
    version: int = 3,
    settings: Mapping[str, Setting] = SETTINGS,
    attributes: Mapping[str, str] | None = None,
    texts: Mapping[str, str] | None = None,
    values: np.ndarray | None = None,
    n_events: int = 3,
) -> bytes:
    """A file of one image.

    Args:
        image: counts, [layers, H, W].
        version: of NetCDF.
        settings: value and attributes of each.
        attributes: of the image.
        texts: variables of letters, such as the title.
        values: of the layers [V].
        n_events: rows of the table of events beside the image.
    """
    memory = io.BytesIO()
    if version == 3:  # closing the file would close the memory as well
        file = netcdf_file(memory, "w")
    else:
        file = h5netcdf.legacyapi.Dataset(memory, "w")
    layers, rows, columns = image.shape
    sizes = {"time": 1, "value": layers, "dimy": rows, "dimx": columns}
    _fill(file, "FloatField", image[np.newaxis], sizes, attributes or {})
    points = np.zeros(layers) if values is None else values
    _fill(file, "value", points, {"value": layers}, {"unit": "V"})
    _fill(file, "dimy", np.linspace(150, -150, rows), {"dimy": rows}, {})
    _fill(file, "dimx", np.linspace(-200, 200, columns), {"dimx": columns}, {})
    # The tables that were once taken for images.
    events = np.arange(2.0 * n_events).reshape(1, 1, n_events, 2)
    tables = {"ti": 1, "v": 1, "k": n_events, "val": 2}
    _fill(file, "LInfo_values", events, tables, {})
    for name, (value, own) in settings.items():
        _fill(file, name, np.float64(value), {}, own)
    for name, text in (texts or {"title": "Topo"}).items():
        letters = np.frombuffer(text.encode() + b"\0", "S1")
        _fill(file, name, letters, {f"{name}_dim": letters.size}, {})
    if version == 3:
        file.flush()
    else:
        file.close()
    return memory.getvalue()


def _fill(
    file: File,
    name: str,
    values: np.ndarray | np.float64,
    sizes: Mapping[str, int],
    attributes: Mapping[str, str],
) -> None:
    for dimension, size in sizes.items():
        if dimension not in file.dimensions:
            file.createDimension(dimension, size)
    variable = file.createVariable(name, values.dtype, tuple(sizes))
    if sizes:
        variable[:] = values
    else:
        variable[...] = values
    for key, text in attributes.items():
        setattr(variable, key, text)


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    image = np.random.default_rng(3).normal(size=(1, 6, 8)).astype(np.float32)
    return {
        "three-Xp-Topo.nc": gxsm_bytes(100 * image),
        "four-Xm-Topo.nc": gxsm_bytes(100 * image, version=4),
    }
