"""Writes tiny Omicron Matrix sessions, from the format's description.

A session is a parameter file and its data files; `session_files` gives all.
"""

import struct

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAGIC = b"ONTMATRX0101"
SESSION = "20261125-101112_STM-STM_Spectroscopy"
RUN_NAME = SESSION + "--1_1."

# Number, name, unit, and transfer function of each channel.
CHANNELS = {
    7: ("I", "Ampere", "TFF_MultiLinear1D"),
    9: ("Z", "Meter", "TFF_Linear1D"),
    20: ("I(V)", "Ampere", "TFF_MultiLinear1D"),
    21: ("Aux1(V)", "Volt", "TFF_Linear1D"),
}
FUNCTIONS = {
    "TFF_Linear1D": {"Factor": 2.0e12, "Offset": 5.0},
    "TFF_MultiLinear1D": {
        "NeutralFactor": 2.4e15,
        "Offset": 3.0,
        "PreFactor": 105.0,
        "PreOffset": -105.0,
        "Raw_1": 1.0,
    },
}


def text(string: str) -> bytes:
    """A text behind its length."""
    return struct.pack("<I", len(string)) + string.encode("utf-16-le")


def value(content: bool | int | float | str) -> bytes:
    """A value behind the name of its kind."""
    if isinstance(content, bool):
        return b"LOOB" + struct.pack("<I", content)
    if isinstance(content, int):
        return b"GNOL" + struct.pack("<i", content)
    if isinstance(content, float):
        return b"BUOD" + struct.pack("<d", content)
    return b"GRTS" + text(content)


def block(name: str, content: bytes, *, timed: bool = True) -> bytes:
    """A block: its name backwards, its length, the time, and the content."""
    time = struct.pack("<Q", 1764065472) if timed else b""
    head = name.encode()[::-1] + struct.pack("<I", len(content))
    return head + time + content


def parameters(**changes: object) -> dict[str, tuple]:
    """Values and units of an experiment, by "Element.Property"."""
    given: dict[str, tuple] = {
        "XYScanner.Points": (6, "--"),
        "XYScanner.Lines": (4, "--"),
        "XYScanner.Width": (6e-9, "Meter"),
        "XYScanner.Height": (8e-9, "Meter"),
        "XYScanner.X_Offset": (1e-7, "Meter"),
        "XYScanner.Y_Offset": (-2e-7, "Meter"),
        "XYScanner.Angle": (0, "Degree"),
        "XYScanner.X_Retrace": (True, "--"),
        "XYScanner.Y_Retrace": (True, "--"),
        "XYScanner.Zoom": (1, "--"),
        "XYScanner.Enable_Subgrid": (True, "--"),
        "XYScanner.Subgrid_X": (2, "--"),
        "XYScanner.Subgrid_Y": (3, "--"),
        "XYScanner.Subgrid_Match_Mode": (0, "--"),
        "GapVoltageControl.Voltage": (-0.5, "Volt"),
        "Regulator.Setpoint_1": (1e-10, "Ampere"),
        "Spectroscopy.Device_1_Start": (0.2, "Volt"),
        "Spectroscopy.Device_1_End": (-0.2, "Volt"),
        "Spectroscopy.Device_1_Points": (5, "--"),
        "Spectroscopy.Enable_Device_1_Ramp_Reversal": (True, "--"),
        "Spectroscopy.Device_2_Start": (0.0, "Meter"),
        "Spectroscopy.Device_2_End": (1e-9, "Meter"),
        "Spectroscopy.Device_2_Points": (5, "--"),
        "Spectroscopy.Enable_Device_2_Ramp_Reversal": (False, "--"),
    }
    for key, content in changes.items():
        name = key.replace("__", ".")
        given[name] = (content, given.get(name, (0, "--"))[1])
    return given


def _experiment(given: dict[str, tuple]) -> bytes:
    elements: dict[str, list] = {}
    for name, (content, unit) in given.items():
        element, prop = name.split(".", 1)
        elements.setdefault(element, []).append((prop, unit, content))
    body = struct.pack("<II", 0, len(elements))
    for element, items in elements.items():
        body += text(element) + struct.pack("<I", len(items))
        for prop, unit, content in items:
            body += text(prop) + text(unit) + bytes(4) + value(content)
    return block("EEPA", body)


def change(name: str, content: object, unit: str = "--") -> bytes:
    """A parameter that was changed during the session."""
    element, prop = name.split(".", 1)
    body = bytes(4) + text(element) + text(prop) + text(unit)
    return block("PMOD", body + bytes(4) + value(content))  # type: ignore


def _wiring() -> bytes:
    body = bytes(8) + struct.pack("<I", 1)
    body += bytes(16) + text("device") + text("place")
    body += struct.pack("<I", len(CHANNELS))
    for key, (name, unit, _) in CHANNELS.items():
        body += bytes(4) + struct.pack("<I", key) + bytes(8)
        body += text(name) + text(unit)
    body += struct.pack("<I", len(CHANNELS))
    for key in CHANNELS:
        body += struct.pack("<QII", key + 100, 0, key) + text("id")
    inner = block("DICT", body, timed=False)
    body = b""
    for key, (_, unit, function) in CHANNELS.items():
        numbers = FUNCTIONS[function]
        body += bytes(4) + struct.pack("<I", key) + text(function) + text(unit)
        body += struct.pack("<I", len(numbers))
        for name, number in numbers.items():
            body += text(name) + value(number)
    inner += block("XFER", body, timed=False)
    return block("CCSY", bytes(4) + inner)


def entry(name: str) -> bytes:
    """The entry of a data file."""
    return block("BREF", bytes(4) + text(name))


def parameter_file(*blocks: bytes, given: dict[str, tuple]) -> bytes:
    """A session's parameters, followed by further blocks."""
    head = block("META", text("MATRIX") + text("V3.2") + bytes(4) + text("p"))
    head += _experiment(given) + _wiring()
    head += block("MARK", text("MTRX$SAMPLE_NAME-Größe"))
    head += block("INCI", bytes(4))
    return MAGIC + head + b"".join(blocks) + block("EOED", b"")


def data_file(counts: ArrayLike, *, intended: int | None = None) -> bytes:
    """Counts in the order in which they were taken."""
    counts = np.asarray(counts, dtype="<i4").ravel()
    intended = counts.size if intended is None else intended
    body = bytes(8) + struct.pack("<IIIII", 1, 0, 0, intended, counts.size)
    inner = b"CSED" + struct.pack("<I", len(body)) + body
    inner += b"ATAD" + struct.pack("<I", counts.nbytes) + counts.tobytes()
    # The length of the outer block does not count its time.
    head = b"TLKB" + struct.pack("<I", len(inner) + 4)
    return MAGIC + head + struct.pack("<QI", 1764065472, 0) + inner


def counts(n: int, seed: int = 5) -> NDArray[np.int32]:
    """Counts of both signs."""
    rng = np.random.default_rng(seed)
    return rng.integers(-(10**6), 10**6, size=n, dtype=np.int32)


def session_files(
    data: dict[str, bytes],
    given: dict[str, tuple] | None = None,
    session: str = SESSION,
) -> dict[str, bytes]:
    """A parameter file and the data files of these channels, by name."""
    files = {f"{session}--1_1.{name}_mtrx": data[name] for name in data}
    known = parameter_file(
        *(entry(name) for name in files), given=given or parameters()
    )
    return {f"{session}_0001.mtrx": known, **files}


def _sessions() -> dict[str, bytes]:
    """Two sessions: one with every retrace, one without any."""
    given = parameters(
        XYScanner__X_Retrace=False,
        XYScanner__Y_Retrace=False,
        Spectroscopy__Enable_Device_1_Ramp_Reversal=False,
    )
    return {
        **session_files(
            {
                "Z": data_file(counts(2 * 4 * 2 * 6)),
                "I(V)": data_file(counts(2 * 2 * 2 * 3 * 2 * 5)),
            }
        ),
        **session_files(
            {
                "I": data_file(counts(15), intended=24),
                "Aux1(V)": data_file(counts(27), intended=30),
            },
            given,
            "plain",
        ),
    }


def companion_files() -> dict[str, bytes]:
    """What must lie beside `tiny_files`: the sessions' parameters."""
    return {
        name: content
        for name, content in _sessions().items()
        if name.endswith("_0001.mtrx")
    }


def tiny_files() -> dict[str, bytes]:
    """Data files of two sessions: name -> content."""
    files = _sessions()
    for name in companion_files():
        del files[name]
    return files
