"""Compares the reading of Nanonis files with other readers'.

Reads files with `stm_keras` and with nanonispy2, SciFiReaders and pySPM, and
prints where values, units, orientation, bias axis or extent differ. Those are
no dependencies; from the project's folder, in an environment of its own:

    pip install numpy scipy nanonispy2 SciFiReaders pySPM
    PYTHONPATH=. python benchmarks/readers/compare_nanonis.py FILE...

The files of `tiny_nanonis_3ds.py` and `tiny_nanonis_sxm.py`, written from the
format's description, come last.
"""

import argparse
import contextlib
import io
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np

from stm_keras.io.reader import open_recording
from stm_keras.io.recording import Channel, Recording


@dataclass
class Other:
    """One channel as another reader gives it.

    Attributes:
        name: as our reader calls it.
        direction: forward or backward.
        maps: [V, H, W], without any turning.
        bias_v: [V]; None where the reader gives none.
        unit: None where the reader gives none.
        extent_nm: height and width; None where the reader gives none.
    """

    name: str
    direction: str
    maps: np.ndarray
    bias_v: np.ndarray | None = None
    unit: str | None = None
    extent_nm: tuple[float, float] | None = None


def nanonispy2_grid(path: Path) -> Iterator[Other]:
    """Channels, bias and the topograph of nanonispy2's `Grid`."""
    grid = import_module("nanonispy2.read").Grid(str(path))
    size = tuple(1e9 * n for n in reversed(grid.header["size_xy"]))
    for key in grid.header["channels"]:
        yield Other(
            *_named(key),
            np.moveaxis(grid.signals[key], -1, 0),
            grid.signals["sweep_signal"],
            key.rpartition("(")[2].rstrip(")"),
            size,  # type: ignore[arg-type]
        )
    yield Other("Z", "forward", grid.signals["topo"][None])


def nanonispy2_scan(path: Path) -> Iterator[Other]:
    """Channels of nanonispy2's `Scan`."""
    scan = import_module("nanonispy2.read").Scan(str(path))
    size = tuple(1e9 * n for n in reversed(scan.header["scan_range"]))
    units = dict(
        zip(
            *(scan.header["data_info"][k] for k in ("Name", "Unit")),
            strict=True,
        )
    )
    for name, images in scan.signals.items():
        for way, image in images.items():
            bias = np.array([scan.header["bias"]])
            yield Other(name, way, image[None], bias, units[name], size)  # type: ignore[arg-type]


def scifi_grid(path: Path) -> Iterator[Other]:
    """Data sets of SciFiReaders' `Nanonis3dsReader`."""
    library = import_module("SciFiReaders")
    found = _quietly(library.Nanonis3dsReader(str(path)).read)
    yield from _scifi(found, spectral=True)


def scifi_scan(path: Path) -> Iterator[Other]:
    """Data sets of SciFiReaders' `NanonisSXMReader`."""
    library = import_module("SciFiReaders")
    found = _quietly(library.NanonisSXMReader(str(path)).read)
    yield from _scifi(found, spectral=False)


def pyspm_scan(path: Path) -> Iterator[Other]:
    """Channels of pySPM's `SXM`."""
    scan = import_module("pySPM.SXM").SXM(str(path))
    size = (scan.size["real"]["y"] * 1e9, scan.size["real"]["x"] * 1e9)
    for row in scan.header["DATA_INFO"][1:]:
        for way in ("forward", "backward"):
            image = scan.get_channel(row[1], way).pixels
            yield Other(row[1], way, image[None], extent_nm=size)


READERS: dict[str, list[tuple[str, Callable[[Path], Iterator[Other]]]]] = {
    ".3ds": [("nanonispy2", nanonispy2_grid), ("SciFiReaders", scifi_grid)],
    ".sxm": [
        ("nanonispy2", nanonispy2_scan),
        ("SciFiReaders", scifi_scan),
        ("pySPM", pyspm_scan),
    ],
}


def _named(key: str) -> tuple[str, str]:
    name = key.rpartition("(")[0].strip()
    back = name.endswith("[bwd]")
    return name.removesuffix("[bwd]").strip(), (
        "backward" if back else "forward"
    )


def _quietly(call: Callable[[], object]) -> object:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def _scifi(found: object, *, spectral: bool) -> Iterator[Other]:
    """SciFiReaders' data sets; the last axis of a grid's is the sweep."""
    for data in found:  # type: ignore[attr-defined]
        told = data.original_metadata
        maps = np.asarray(data)
        yield Other(
            data.quantity,
            told["Direction"],
            np.moveaxis(maps, -1, 0) if spectral else maps[None],
            np.asarray(data._axes[2].values) if spectral else None,
            str(data.units),
        )


def turned(ours: np.ndarray, theirs: np.ndarray) -> str:
    """How another reader's maps lie against ours; "" where they differ."""
    views = {
        "same orientation": theirs,
        "their first row is the bottom": theirs[..., ::-1, :],
        "their columns run from right to left": theirs[..., ::-1],
        "turned by 180 degrees": theirs[..., ::-1, ::-1],
        "rows and columns exchanged": theirs.swapaxes(-1, -2),
    }
    for words, view in views.items():
        if view.shape == ours.shape and np.allclose(
            view, ours, rtol=1e-6, atol=0, equal_nan=True
        ):
            return words
    return ""


def differences(ours: Channel, recording: Recording, other: Other) -> list[str]:
    """What another reader has otherwise."""
    maps = ours.load()
    found = [turned(maps, other.maps) or "OTHER VALUES"]
    if found == ["OTHER VALUES"] and maps.shape == other.maps.shape:
        ratio = np.nanmedian(maps) / np.nanmedian(other.maps)
        rest = turned(maps / np.float32(ratio), other.maps)
        if rest:
            found = [f"{rest}, ours is theirs times {ratio:.6g}"]
    elif found == ["OTHER VALUES"]:
        found = [f"OTHER SHAPE {other.maps.shape}, ours {maps.shape}"]
    if other.unit is not None and other.unit != ours.unit:
        found.append(f"unit {other.unit!r}, ours {ours.unit!r}")
    if other.bias_v is not None:
        if other.bias_v.shape != ours.bias_v.shape:
            found.append(f"{other.bias_v.size} biases")
        else:
            away = np.abs(other.bias_v - ours.bias_v).max()
            found.append(f"bias within {away:.1g} V")
    if other.extent_nm is not None and not np.allclose(
        other.extent_nm, recording.extent_nm or (0, 0), rtol=1e-6
    ):
        found.append(f"extent {other.extent_nm}, ours {recording.extent_nm}")
    return found


def counterpart(channels: Sequence[Channel], other: Other) -> Channel | None:
    """Our channel, or our map of the pass, for another reader's."""
    ours = {(channel.name, channel.direction): channel for channel in channels}
    way = other.direction
    for name in (f"{other.name} [sweep]", other.name):
        found = ours.get((name, way))
        if found and len(found.bias_v) == len(other.maps):
            return found
    of_pass = re.fullmatch(r"\[P(\d+)\]_(.+)", other.name)
    stack = of_pass and ours.get((of_pass[2], way))
    if not of_pass or not stack:
        return None
    number = slice(int(of_pass[1]) - 1, int(of_pass[1]))
    return replace(
        stack,
        bias_v=stack.bias_v[number],
        load=lambda: stack.load()[number],
    )


def compare(path: Path, reader: Callable[[Path], Iterator[Other]]) -> None:
    """Print one line for each finding, with the channels that share it."""
    recording = open_recording(path)
    by_finding: dict[str, list[str]] = {}
    try:
        for other in _quietly(lambda: list(reader(path))):  # type: ignore[union-attr]
            name = f"{other.name} {other.direction}"
            ours = counterpart(recording.channels, other)
            words = "not among ours"
            if ours is not None:
                words = "; ".join(differences(ours, recording, other))
            by_finding.setdefault(words, []).append(name)
    except Exception as error:  # any fault of theirs is a finding
        words = f"FAILS: {type(error).__name__}: {error}"
        by_finding.setdefault(words, []).append("the file")
    for finding, names in by_finding.items():
        print(f"    {finding}: {', '.join(names)}")


def main() -> None:
    """Compare the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as directory:
        for path in (*files, *_tiny(Path(directory))):
            print(path.name)
            for name, reader in READERS[path.suffix.lower()]:
                print(f"  {name} {version(name)}")
                compare(path, reader)


def _tiny(directory: Path) -> Iterator[Path]:
    for module in ("tiny_nanonis_3ds", "tiny_nanonis_sxm"):
        for name, content in import_module(module).tiny_files().items():
            path = directory / name
            path.write_bytes(content)
            yield path


if __name__ == "__main__":
    main()
