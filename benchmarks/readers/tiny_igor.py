"""Tiny Igor binary waves, written byte by byte from Technical Note 003."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

_CODES = {
    **{"f4": 2, "f8": 4, "i1": 8, "i2": 16, "i4": 32, "i8": 128},
    **{"u1": 0x48, "u2": 0x50, "u4": 0x60, "c8": 3},
}
_SCALES = ((1e-9, 0.0), (1e-9, 0.0), (0.01, -0.02), (1.0, 0.0))


def wave(
    values: ArrayLike,
    *,
    name: str = "dIdV",
    order: str = "<",
    kind: str = "f4",
    scales: Sequence[tuple[float, float]] = _SCALES,
    units: Sequence[str] = ("m", "m", "V", ""),
    data_unit: str = "A",
    labels: Sequence[str] = (),
    note: str = "",
    version: int = 5,
    sides: Sequence[int] = (),
    data_bytes: int | None = None,
) -> bytes:
    """A wave; axis 0 of `values` is Igor's rows, x of an image.

    `labels` are those of the points of the last axis; `sides` and
    `data_bytes` let the header lie.
    """
    numbers = np.asarray(values).astype(order + kind)
    data, n_axes = numbers.tobytes(order="F"), numbers.ndim
    counts = list(sides or numbers.shape) + [0] * (4 - n_axes)
    label_bytes = b"".join(
        text.encode().ljust(32, b"\0") for text in ("", *labels)
    )
    label_bytes = label_bytes if labels else b""
    sizes = [0] * 4
    sizes[n_axes - 1] = len(label_bytes)
    long_unit = data_unit.encode() if len(data_unit) > 3 else b""
    note_bytes = note.encode()
    pad = [(1.0, 0.0)] * 4
    used = list(scales[:n_axes]) + pad[n_axes:]
    wave_header = struct.pack(
        order + "4Ihh6sh32s2I4i4d4d",
        *(0, 3_600_000_000, 3_600_000_000, numbers.size),
        _CODES[kind],
        *(0, b"", 1, name.encode(), 0, 0),
        *counts,
        *(step for step, _ in used),
        *(first for _, first in used),
    )
    texts = [data_unit if not long_unit else "", *units[:n_axes]]
    texts += [""] * (5 - len(texts))
    wave_header += b"".join(t.encode()[:3].ljust(4, b"\0") for t in texts)
    wave_header = wave_header.ljust(320, b"\0")
    size = 320 + (len(data) if data_bytes is None else data_bytes)
    file_header = struct.pack(
        order + "hh4i4i4i3i",
        *(version, 0, size, 0, len(note_bytes), len(long_unit)),
        *(0, 0, 0, 0),
        *sizes,
        *(0, 0, 0),
    )
    head = file_header + wave_header
    total = sum(struct.unpack(f"{order}{len(head) // 2}H", head))
    check = struct.pack(order + "H", -total & 0xFFFF)
    head = head[:2] + check + head[4:]
    return head + data + note_bytes + long_unit + label_bytes


def with_right_sum(content: bytes) -> bytes:
    """The bytes with the header's sum made right again."""
    if len(content) < 384 or content[:2] not in (b"\5\0", b"\0\5"):
        return content
    order = "<" if content[0] else ">"
    words = struct.unpack(order + "192H", content[:384])
    total = (sum(words) - words[1]) & 0xFFFF
    check = struct.pack(order + "H", -total & 0xFFFF)
    return content[:2] + check + content[4:]


def tiny_files() -> dict[str, bytes]:
    """A handful of waves by name."""
    rng = np.random.default_rng(4)
    cube = 2 + rng.normal(size=(6, 5, 4))
    layers = rng.normal(size=(6, 5, 2))
    return {
        "stack.ibw": wave(cube),
        "big_endian.ibw": wave(cube, order=">", kind="f8"),
        "image.ibw": wave(
            cube[..., 0], name="Topo", data_unit="m", note="Bias: 50 mV\r"
        ),
        "asylum.ibw": wave(
            layers,
            name="Image0000",
            units=("m", "m", "", ""),
            labels=("HeightTrace", "HeightRetrace"),
            note="SurfaceVoltage: 0.2\rFastScanSize: 6e-9\rScanAngle: 0\r",
        ),
        "integers.ibw": wave(cube * 100, kind="i2", data_unit="nA/V"),
    }
