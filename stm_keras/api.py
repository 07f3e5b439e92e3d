"""What a notebook needs: read a file, find the impurities in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stm_keras.detections import Detections
from stm_keras.detector import Detector, load_detector
from stm_keras.errors import InputError
from stm_keras.io.reader import maps_of, open_recording
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import read_stack
from stm_keras.maps import ConductanceMaps
from stm_keras.models.shipped import DEFAULT
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results.batch import FileOptions, companions_of

Source = str | Path | ConductanceMaps | Sequence[str | Path]
"""A file, files that are maps of one frame, or maps in memory."""


def read(
    source: str | Path | Sequence[str | Path], **read_options: Any
) -> ConductanceMaps:
    """Read maps of an instrument's file.

    Args:
        source: one file, or files that are maps of one frame at several
            biases.
        **read_options: see `stm_keras.io.recording.ReadOptions`: `channel`,
            `direction`, `bias_v`, `extent_nm`.

    Returns:
        The maps, with bias [V], extent [nm] and what was done in
        `provenance`.

    Raises:
        InputError: where a file cannot be read, or an option is unknown.
    """
    return _read(_paths(source), _options(ReadOptions, read_options))


def find(
    source: Source,
    *,
    surface: str | None = None,
    detector: Detector | str | Path | None = None,
    read_options: ReadOptions | None = None,
    **options: Any,
) -> Detections:
    """Find the impurities in maps.

    It does what `stmk predict` does with one file, and writes nothing.

    Args:
        source: a file, files that are maps of one frame, or maps in memory.
        surface: "au111", "cu111", "ag111", or m*/m_e and E0 [eV] of another,
            such as "0.38,-0.44"; None measures q in the Fourier transform.
        detector: a loaded one, a model directory, or the name of a model that
            ships; None takes "context". Load it once for many files.
        read_options: how a file is read.
        **options: see `stm_keras.preprocessing.preparation.PredictOptions`:
            `threshold`, `false_discovery_rate`, `cleaning`, `region`...

    Returns:
        The table of impurities, the surest first.

    Raises:
        InputError: where a file, the model or an option cannot be used.

    Examples:
        found = stm_keras.find("scan.sxm", surface="cu111")
        found.to_dataframe()
    """
    chosen = _options(PredictOptions, {"surface": surface, **options})
    if not isinstance(detector, Detector):
        detector = load_detector(detector or DEFAULT)
    if isinstance(source, ConductanceMaps):
        return detector.predict(source, chosen)
    paths = _paths(source)
    files = FileOptions(
        read=read_options or ReadOptions(),
        predict=chosen,
        stack=len(paths) > 1,
    )
    maps = _read(paths, files.read)
    companions = companions_of(paths, maps, files)
    return detector.predict(maps, chosen, companions=companions)


def _paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(source, str | Path):
        return [Path(source)]
    paths = [Path(path) for path in source]
    if not paths:
        raise InputError("No file: give at least one.")
    return paths


def _read(paths: Sequence[Path], options: ReadOptions) -> ConductanceMaps:
    if len(paths) > 1:
        return read_stack(paths, options)
    return maps_of(open_recording(paths[0]), options)


def _options(kind: type[Any], given: dict[str, Any]) -> Any:
    """Options by name, with one line for a name that does not exist."""
    known = kind.__dataclass_fields__
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(
            f"Unknown option {unknown[0]!r}. Known: {', '.join(known)}."
        )
    return replace(kind(), **given)
