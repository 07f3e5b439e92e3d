"""One damaged file: opened, every channel loaded, and judged."""

import resource
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording
from stm_keras.io.recording import ReadOptions, Recording
from stm_keras.io.selection import select_maps

MAX_S = 1.0
MAX_OVER_SIZE = 4
FREE_BYTES = 1 << 20
"""What a file of a few kB may need beside: the objects of a parser, and the
buffers that zipfile (64 KiB), h5py and tifffile use whatever the file."""
_MAX_GROWTH_KB = 32 << 10  # of the process, for what C code takes for itself
_LONGEST_MESSAGE = 500


@dataclass(frozen=True)
class Trial:
    """What a file came to.

    Attributes:
        answered: whether it was read; otherwise it was refused.
        cpu_s: processor time [s].
        peak_bytes: greatest allocation at a time [byte].
        fault: what was wrong with that; empty for nothing.
    """

    answered: bool
    cpu_s: float
    peak_bytes: int
    fault: str


def trial(path: Path, size: int) -> Trial:
    """Read a file, and judge how that went.

    `tracemalloc` must be running; NumPy reports to it, too.

    Args:
        path: the file.
        size: its own and that of what is read with it [byte].
    """
    answered, fault = False, ""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        fault = _read(path)
        answered = True
    except InputError as error:
        fault = _message_fault(str(error))
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"[:200]
    cpu_s = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1] - before
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_kb
    if not fault and cpu_s > MAX_S:
        fault = f"{cpu_s:.1f} s"
    if not fault and peak > MAX_OVER_SIZE * size + FREE_BYTES:
        fault = f"{peak} bytes for a file of {size}"
    if not fault and grown_kb > _MAX_GROWTH_KB:
        fault = f"grew by {grown_kb} kB for a file of {size} bytes"
    return Trial(answered, cpu_s, peak, fault)


def _read(path: Path) -> str:
    """What is wrong with the answer; "" for nothing."""
    recording = open_recording(path)
    if fault := _recording_fault(recording):
        return fault
    for channel in recording.channels:
        try:
            maps = channel.load()
        except InputError as error:
            if fault := _message_fault(str(error)):
                return fault
            continue
        if maps.shape != (len(channel.bias_v), *recording.shape):
            return f"shape {maps.shape} of {recording.shape}"
        if maps.dtype.kind not in "fiu":
            return f"type {maps.dtype}"
        del maps
    # What the file does not tell is given, so that maps are read from most.
    first = recording.channels[0].bias_v
    told = np.isfinite(first).all()
    bias = None if told else tuple(np.linspace(0.1, 1, len(first)).tolist())
    extent = None if recording.extent_nm else (5.0, 5.0)
    try:
        select_maps(recording, ReadOptions(bias_v=bias, extent_nm=extent))
    except InputError as error:  # nothing in them to look at
        return _message_fault(str(error))
    return ""


def _recording_fault(recording: Recording) -> str:
    if not recording.channels:
        return "no channels"
    if len(recording.shape) != 2 or min(recording.shape) < 1:
        return f"shape {recording.shape}"
    texts = [recording.format, *recording.notes, *recording.metadata.values()]
    for channel in recording.channels:
        texts += [channel.name, channel.unit]
        bias = channel.bias_v
        if bias.ndim != 1 or bias.dtype != np.float64 or not bias.size:
            return f"biases {bias.dtype} {bias.shape}"
    if not all(text.isprintable() for text in texts):
        return "unprintable text"
    return ""


def _message_fault(message: str) -> str:
    if "\n" in message or "\r" in message:
        return f"two lines: {message!r}"[:200]
    if not message or len(message) > _LONGEST_MESSAGE:
        return f"message of {len(message)} characters"
    return "" if message.isprintable() else f"unprintable {message!r}"[:200]
