"""Tiny Gwyddion files, written byte by byte from the format's description.

"Format of Gwyddion files", Gwyddion user guide.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def component(name: str, letter: str, value) -> bytes:  # noqa: ANN001
    """Name, NUL, the type's letter, the value."""
    head = name.encode() + b"\0" + letter.encode()
    if letter == "o":
        return head + value
    if letter == "s":
        return head + value.encode() + b"\0"
    if letter == "S":
        texts = b"".join(text.encode() + b"\0" for text in value)
        return head + struct.pack("<I", len(value)) + texts
    if letter == "O":
        return head + struct.pack("<I", len(value)) + b"".join(value)
    if letter in "CIQD":
        code = {"C": "B", "I": "i", "Q": "q", "D": "d"}[letter]
        items = np.asarray(value).ravel().tolist()
        return head + struct.pack(f"<I{len(items)}{code}", len(items), *items)
    code = {"b": "B", "c": "B", "i": "i", "q": "q", "d": "d"}[letter]
    return head + struct.pack(f"<{code}", value)


def gwy_object(kind: str, *components: tuple) -> bytes:
    """Type's name, NUL, size of the components, the components."""
    body = b"".join(component(*parts) for parts in components)
    return kind.encode() + b"\0" + struct.pack("<I", len(body)) + body


def gwy_file(*components: tuple) -> bytes:
    """A file with these components in its container."""
    return b"GWYP" + gwy_object("GwyContainer", *components)


def unit(text: str) -> bytes:
    return gwy_object("GwySIUnit", ("unitstr", "s", text))


def field(
    image: ArrayLike,
    *,
    size_m: tuple[float, float] = (6e-9, 8e-9),
    units: tuple[str, str] = ("m", "A"),
    offset_m: Sequence[float] = (),
) -> bytes:
    """An image [H, W]; row 0 is the top, as Gwyddion keeps it."""
    rows, columns = np.shape(image)
    return gwy_object(
        "GwyDataField",
        ("xres", "i", columns),
        ("yres", "i", rows),
        ("xreal", "d", size_m[1]),
        ("yreal", "d", size_m[0]),
        *(
            (k, "d", v)
            for k, v in zip(("xoff", "yoff"), offset_m, strict=False)
        ),
        ("si_unit_xy", "o", unit(units[0])),
        ("si_unit_z", "o", unit(units[1])),
        ("data", "D", image),
    )


def brick(
    values: ArrayLike,
    *,
    sweep: tuple[float, float] = (-0.1, 0.05),
    z_unit: str = "V",
    points: ArrayLike | None = None,
) -> bytes:
    """A volume [V, H, W]; `sweep` is its first bias and the step [V]."""
    n, rows, columns = np.shape(values)
    line = (
        []
        if points is None
        else [
            (
                "calibration",
                "o",
                gwy_object(
                    "GwyDataLine",
                    ("res", "i", n),
                    ("real", "d", 1.0),
                    ("si_unit_y", "o", unit(z_unit)),
                    ("data", "D", points),
                ),
            )
        ]
    )
    return gwy_object(
        "GwyBrick",
        *(("xres", "i", columns), ("yres", "i", rows), ("zres", "i", n)),
        *(("xreal", "d", 8e-9), ("yreal", "d", 6e-9)),
        ("zreal", "d", n * sweep[1]),
        ("zoff", "d", sweep[0]),
        *((f"si_unit_{a}", "o", unit("m")) for a in "xy"),
        ("si_unit_z", "o", unit(z_unit)),
        ("si_unit_w", "o", unit("A")),
        *line,
        ("data", "D", values),
    )


def meta(**texts: str) -> bytes:
    return gwy_object(
        "GwyContainer", *((name, "s", text) for name, text in texts.items())
    )


def images() -> bytes:
    """Two biases of dI/dV, both directions, and Z."""
    rng = np.random.default_rng(8)
    parts, number = [], 0
    for bias in ("-50 mV", "0.1 V"):
        for way in ("Forward", "Backward"):
            signal = 3 + rng.normal(size=(6, 8))
            parts += [
                (f"/{number}/data", "o", field(signal)),
                (f"/{number}/data/title", "s", f"dI/dV ({way})"),
                (f"/{number}/meta", "o", meta(Bias=bias)),
                (f"/{number}/base/palette", "s", "Gray"),
                (f"/{number}/data/visible", "b", 1),
            ]
            number += 1
    height = field(rng.normal(size=(6, 8)) * 1e-9, units=("m", "m"))
    return gwy_file(
        *parts,
        (f"/{number}/data", "o", height),
        (f"/{number}/data/title", "s", "Z"),
        ("/filename", "s", "scan.sxm"),
    )


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    rng = np.random.default_rng(9)
    cube = 2 + rng.normal(size=(4, 5, 6))
    return {
        "images.gwy": images(),
        "brick.gwy": gwy_file(
            ("/brick/0", "o", brick(cube)),
            ("/brick/0/title", "s", "Current"),
            ("/brick/0/preview", "o", field(cube[0])),
        ),
        "all_types.gwy": gwy_file(
            *(("b", "b", 1), ("c", "c", 65), ("i", "i", -3), ("q", "q", 7)),
            *(("C", "C", [65, 66]), ("I", "I", [1]), ("Q", "Q", [2])),
            ("S", "S", ["one", "två"]),
            ("O", "O", [unit("m"), unit("V")]),
            ("/0/data", "o", field(cube[0])),
            ("/0/data/title", "s", "Z 20 mV"),
        ),
    }
