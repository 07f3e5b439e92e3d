"""Units as instruments write them, turned into SI units.

Prefixes, products, quotients and powers of the units that scanning probe
files carry: "nA", "µV", "Å", "pA/mV", "A V^-1", "1/nm". Lengths and biases
have shorter ways, to nm and V, which is what `ConductanceMaps` counts in.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# SI prefixes; "c" and "d" for cm and dm. "u" stands for "µ" in many files.
_PREFIXES = {
    **{"a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "μ": -6, "m": -3},
    **{"c": -2, "d": -1, "k": 3, "M": 6, "G": 9, "T": 12},
}
_PREFIX_WORDS = {
    **{"atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6},
    **{"milli": -3, "centi": -2, "kilo": 3, "mega": 6, "giga": 9},
}
# Capitals matter: S is siemens, s seconds. All of these take prefixes.
_SYMBOLS = {
    **{name: name for name in ("m", "A", "V", "S", "s", "Hz", "K", "J", "W")},
    **{name: name for name in ("eV", "N", "Pa", "C", "F", "T", "g", "rad")},
    **{"Ω": "Ohm", "Ohm": "Ohm", "ohm": "Ohm", "Volt": "V", "Amp": "A"},
}
_WORDS = {
    **{"meter": "m", "metre": "m", "volt": "V", "ampere": "A", "amp": "A"},
    **{"siemens": "S", "mho": "S", "second": "s", "sec": "s", "hertz": "Hz"},
    **{"kelvin": "K", "ohm": "Ohm", "electronvolt": "eV", "radian": "rad"},
}
# Units that take no prefix, and what each is in the SI; "%" and degrees stay.
_ODD = {
    **dict.fromkeys(("Å", "Ang", "ang", "Angstroem"), (1e-10, "m")),
    **dict.fromkeys(("angstrom", "angstroms", "Angstrom"), (1e-10, "m")),
    **dict.fromkeys(("Ångström", "ångström"), (1e-10, "m")),
    **dict.fromkeys(("micron", "microns", "um"), (1e-6, "m")),
    **dict.fromkeys(("deg", "degree", "degrees", "°"), (1.0, "deg")),
    "%": (0.01, ""),
    "1": (1.0, ""),
}
# What the quotients are called.
_NAMED = {"A/V": "S", "V/A": "Ohm", "1/Ohm": "S", "1/s": "Hz"}
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_TERM = re.compile(r"([^\W\d_]+|[°%1])(?:(?:\^|\*\*)?([+-]?[1-9]))?")
_LONGEST = 60
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SINGLE_BYTES = 4

NM_PER_M = 1e9


def to_si(unit: str) -> tuple[float, str]:
    """The factor that turns numbers of a unit into the SI, and that unit.

    Args:
        unit: such as "nA", "Å", "mV", "nS", "pA/mV", "A/V"; brackets around
            it are taken off.

    Returns:
        The factor, and the SI unit ("m", "A", "V", "S", "1/m" ...). Energies
        stay in eV and angles in deg. A unit that is not known comes back as
        it is, with the factor 1; `is_unit` tells the two cases apart.

    Example:
        >>> to_si("nA"), to_si("[pA/mV]"), to_si("counts")
        ((1e-09, 'A'), (1e-09, 'S'), (1.0, 'counts'))
    """
    known = _parsed(unit)
    return (1.0, unit.strip()) if known is None else known


def scaled(values: NDArray[Any], factor: float) -> NDArray[np.floating]:
    """Numbers of any real type times a factor, as float32 or float64.

    A view where nothing changes; half precision could not hold nm in m.
    """
    if values.dtype.kind != "f" or values.dtype.itemsize < _SINGLE_BYTES:
        small = values.dtype.itemsize < _SINGLE_BYTES
        values = values.astype(np.float32 if small else np.float64)
    if factor == 1:
        return values
    with np.errstate(invalid="ignore", over="ignore"):
        return values * factor


def is_unit(unit: str) -> bool:
    """Whether a text is a unit that `to_si` knows; "" is none."""
    return bool(unit.strip()) and _parsed(unit) is not None


def volts_per(unit: str) -> float | None:
    """What one of a unit is in V; None where it is no voltage or energy.

    An energy relative to the Fermi level, in eV, is the sample bias in V.

    Example:
        >>> volts_per("mV"), volts_per("eV"), volts_per("nm")
        (0.001, 1.0, None)
    """
    factor, base = to_si(unit)
    return factor if base in ("V", "eV") else None


def nm_per(unit: str) -> float | None:
    """What one of a unit is in nm; None where it is no length.

    Example:
        >>> nm_per("nm"), nm_per("Å"), nm_per("m"), nm_per("V")
        (1.0, 0.1, 1000000000.0, None)
    """
    factor, base = to_si(unit)
    # 1e-9 * 1e9 is not 1 in floating point.
    return float(f"{factor * NM_PER_M:.15g}") if base == "m" else None


def finite_number(text: str | None) -> float | None:
    """The number that a text is; None where it is no finite one.

    Digits are those of ASCII: Python itself takes "1_000" and the digits of
    any script, which no instrument writes.

    Example:
        >>> finite_number(" -1.5E-9"), finite_number("1_000")
        (-1.5e-09, None)
    """
    bare = (text or "").strip()
    if _NUMBER.fullmatch(bare) is None:
        return None
    value = float(bare)
    return value if math.isfinite(value) else None


def height_by_width(sides: Sequence[float], unit: str) -> str:
    """Two sides for people, in the order that all options have.

    Args:
        sides: height and width.
        unit: of both.

    Example:
        >>> height_by_width((20, 30), "nm"), height_by_width((64, 64), "px")
        ('20 x 30 nm (height x width)', '64 x 64 px')
    """
    high, wide = (f"{side:.5g}" for side in sides)
    return f"{high} x {wide} {unit}" + (
        " (height x width)" if high != wide else ""
    )


def _parsed(unit: str) -> tuple[float, str] | None:
    """Factor and SI unit of a text; None where it is no unit."""
    text = unicodedata.normalize("NFC", unit.translate(_POWERS)).strip()
    # Micro sign, ångström sign and ohm sign have letters for twins.
    text = text.replace("\u00b5", "μ").replace("\u2126", "Ω")
    if text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1].strip()
    if not text or len(text) > _LONGEST:
        return (1.0, "") if not text else None
    factor, powers = 1.0, dict[str, int]()
    above, *below = text.split("/")
    for sign, part in ((1, above), *((-1, part) for part in below)):
        for term in re.split(r"[\s·]+|(?<!\*)\*(?!\*)", part.strip()):
            found = _term(term)
            if found is None:
                return None
            size, base, power = found
            factor *= size ** (sign * power)
            powers[base] = powers.get(base, 0) + sign * power
    return float(f"{factor:.15g}"), _composed(powers)


def _term(term: str) -> tuple[float, str, int] | None:
    """Size, SI unit and power of "nm", "V^-1" or "s-1"."""
    match = _TERM.fullmatch(term)
    if match is None:
        return None
    single = _single(match[1])
    return None if single is None else (*single, int(match[2] or 1))


def _single(name: str) -> tuple[float, str] | None:
    """Size and SI unit of one unit with its prefix."""
    if name in _ODD:
        return _ODD[name]
    if name in _SYMBOLS:
        return 1.0, _SYMBOLS[name]
    if name[:1] in _PREFIXES and name[1:] in _SYMBOLS:
        return float(f"1e{_PREFIXES[name[0]]}"), _SYMBOLS[name[1:]]
    word = name.lower()
    word = word if word in _WORDS else word.removesuffix("s")
    for prefix, exponent in {"": 0, **_PREFIX_WORDS}.items():
        base = _WORDS.get(word.removeprefix(prefix))
        if base is not None and word.startswith(prefix):
            return float(f"1e{exponent}"), base
    return None


def _composed(powers: dict[str, int]) -> str:
    """The text of a product of powers, with its own name where it has one."""

    def product(sign: int) -> str:
        return " ".join(
            base + (f"^{sign * power}" if sign * power > 1 else "")
            for base, power in powers.items()
            if base and sign * power > 0
        )

    above, below = product(1), product(-1)
    text = f"{above or 1}/{below.replace(' ', '/')}" if below else above
    return _NAMED.get(text, text)
