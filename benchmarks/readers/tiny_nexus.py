"""Tiny NeXus and HDF5 files, written with h5py alone."""

import io
from collections.abc import Callable

import h5py
import numpy as np
from numpy.typing import ArrayLike


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    """The bytes of a file that a function fills."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()


def group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made


def axis(parent: h5py.Group, name: str, values: ArrayLike, unit: str) -> None:
    parent[name] = np.asarray(values, dtype=np.float64)
    parent[name].attrs["units"] = unit


def centres(n: int, size: float, middle: float = 0.0) -> np.ndarray:
    """Centres of n pixels on a length about its middle."""
    return middle + (np.arange(n) + 0.5 - n / 2) * size / n


def stm(
    images: dict[str, np.ndarray],
    *,
    definition: str = "NXstm",
    bias: tuple[float, str] = (50.0, "mV"),
    swapped: bool = True,
    axis_unit: str = "",
) -> bytes:
    """As pynxtools-spm 0.4.1 writes a Nanonis scan.

    `images` [H, W] by field, row 0 the bottom; the axes are named x before
    y and carry the signal's unit, A.
    """

    def fill(file: h5py.File) -> None:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry")
        entry["definition"] = definition
        entry["title"] = "Cu(111), 5 K"
        entry["start_time"] = "2025-03-02T10:11:12+01:00"
        instrument = group(entry, "instrument", "NXinstrument")
        sensor = group(instrument, "sample_bias_voltage", "NXsensor")
        axis(sensor, "bias_voltage", bias[0], bias[1])
        control = group(instrument, "scan_control", "NXspm_scan_control")
        axis(control, "scan_angle_x", 0.0, "deg")
        for field, image in images.items():
            rows, columns = image.shape
            data = group(entry, field, "NXdata")
            data.attrs["signal"] = field
            data.attrs["axes"] = ["x", "y"] if swapped else ["y", "x"]
            data[field] = image
            data[field].attrs["units"] = "A"
            axis(data, "x", centres(columns, 8e-9, 3e-9), axis_unit or "A")
            axis(data, "y", centres(rows, 6e-9, -2e-9), axis_unit or "A")

    return hdf5(fill)


def contradicting(
    image: np.ndarray, *, definition: str = "NXafm", corner: bool = False
) -> bytes:
    """@axes says that rows count y, x_indices that they count x.

    As pynxtools-spm wrote scans in 2025: the frame's centre taken for its
    corner (`corner`), y falling, row 0 the bottom all the same.
    """
    rows, columns = image.shape

    def fill(file: h5py.File) -> None:
        file.attrs["default"] = "entry"
        entry = group(file, "entry", "NXentry")
        entry["definition"] = definition
        region = group(entry, "scan_region", "NXspm_scan_region")
        if corner:
            for side, start, length in (("x", 3e-9, 8e-9), ("y", -2e-9, 6e-9)):
                axis(region, f"scan_start_{side}", start, "meter")
                axis(region, f"scan_offset_value_{side}", start, "meter")
                axis(region, f"scan_range_{side}", length, "meter")
        data = group(entry, "z_forward", "NXdata")
        data.attrs["signal"] = "z"
        data.attrs["axes"] = ["y", "x"]
        data.attrs["x_indices"], data.attrs["y_indices"] = 0, 1
        data["z"] = image
        axis(data, "x", np.linspace(3e-9, 11e-9, columns), "meter")
        axis(data, "y", np.linspace(4e-9, -2e-9, rows), "meter")

    return hdf5(fill)


def sweep(values: np.ndarray, *, linked: bool = False) -> bytes:
    """A grid of spectra [y, x, bias] in an NXdata of its own."""

    def fill(file: h5py.File) -> None:
        rows, columns, n = values.shape
        file.attrs["default"] = "entry/grid"
        entry = group(file, "entry", "NXentry")
        data = group(entry, "grid", "NXdata")
        data.attrs["signal"] = "didv"
        data.attrs["axes"] = ["y", "x", "bias"]
        if linked:
            detector = group(entry, "a_detector", "NXdetector")
            detector["raw"] = values
            data["didv"] = detector["raw"]
        else:
            data["didv"] = values
        data["didv"].attrs["units"] = "nS"
        axis(data, "y", centres(rows, 60, 5)[::-1], "Å")
        axis(data, "x", centres(columns, 8), "nm")
        axis(data, "bias", np.linspace(-100, 100, n), "mV")
        entry["names"] = ["one", "two"]
        entry["table"] = np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])
        entry["reference"] = np.array([data.ref], dtype=h5py.ref_dtype)

    return hdf5(fill)


def plain(values: np.ndarray, **options: object) -> bytes:
    """A dataset with this package's own attributes."""

    def fill(file: h5py.File) -> None:
        data = file.create_dataset("maps/didv", data=values, **options)
        data.attrs["units"] = "pA/mV"
        data.attrs["bias"] = np.linspace(-50, 50, len(values))
        data.attrs["bias_units"] = "mV"
        data.attrs["extent_nm"] = [6.0, 8.0]
        data.attrs["centre_nm"] = [1.0, 2.0]
        data.attrs["angle_deg"] = 30.0

    return hdf5(fill)


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    rng = np.random.default_rng(6)
    cube = (3 + rng.normal(size=(4, 5, 6))).astype(np.float32)
    images = {"z_forward": cube[0], "current_forward": cube[1]}
    return {
        "stm.nxs": stm(images),
        "sweep.nxs": sweep(np.moveaxis(cube, 0, -1)),
        "plain.h5": plain(cube),
        "packed.h5": plain(
            cube, chunks=(2, 3, 3), compression="gzip", shuffle=True
        ),
    }
