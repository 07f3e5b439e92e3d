import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.io.units import (
    finite_number,
    height_by_width,
    is_unit,
    nm_per,
    to_si,
    volts_per,
)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("A", (1, "A")),
        ("nA", (1e-9, "A")),
        ("pA", (1e-12, "A")),
        ("fA", (1e-15, "A")),
        ("V", (1, "V")),
        ("mV", (1e-3, "V")),
        ("µV", (1e-6, "V")),  # the micro sign
        ("μV", (1e-6, "V")),  # the Greek letter
        ("uV", (1e-6, "V")),
        ("millivolts", (1e-3, "V")),
        ("Volt", (1, "V")),
        ("nm", (1e-9, "m")),
        ("um", (1e-6, "m")),
        ("cm", (1e-2, "m")),
        ("Å", (1e-10, "m")),
        ("\u212b", (1e-10, "m")),  # the ångström sign
        ("A\u030a", (1e-10, "m")),  # the letter and its ring
        ("Angstrom", (1e-10, "m")),
        ("nanometers", (1e-9, "m")),
        ("metre", (1, "m")),
        ("nS", (1e-9, "S")),
        ("ns", (1e-9, "s")),
        ("Siemens", (1, "S")),
        ("A/V", (1, "S")),
        ("nA/V", (1e-9, "S")),
        ("pA/mV", (1e-9, "S")),
        ("A V^-1", (1, "S")),
        ("nA*V**-1", (1e-9, "S")),
        ("nA·V⁻¹", (1e-9, "S")),
        ("A/V^2", (1, "A/V^2")),
        ("GOhm", (1e9, "Ohm")),
        ("V/A", (1, "Ohm")),
        ("1/nm", (1e9, "1/m")),
        ("nm^-1", (1e9, "1/m")),
        ("nm/s", (1e-9, "m/s")),
        ("kHz", (1e3, "Hz")),
        ("meV", (1e-3, "eV")),
        ("deg", (1, "deg")),
        ("%", (0.01, "")),
        ("[pA]", (1e-12, "A")),
        (" (mV) ", (1e-3, "V")),
        ("", (1, "")),
    ],
)
def test_known_units(unit, expected):
    assert to_si(unit) == expected


@pytest.mark.parametrize(
    "unit",
    ["counts", "a.u.", "arb. units", "NM", "V_rms", "A//", "9", "x" * 99],
)
def test_unknown_units_stay(unit):
    assert to_si(unit) == (1, unit)
    assert not is_unit(unit)


def test_lengths_and_voltages():
    assert [nm_per(u) for u in ("nm", "Å", "m", "pm")] == [1, 0.1, 1e9, 1e-3]
    assert [volts_per(u) for u in ("V", "mV", "eV", "meV")] == [
        *(1, 1e-3),
        *(1, 1e-3),
    ]
    assert nm_per("V") is None
    assert nm_per("") is None
    assert volts_per("A") is None
    assert is_unit("mV")
    assert not is_unit("")


@given(st.text(max_size=70))
def test_any_text(text):
    factor, unit = to_si(text)
    assert factor > 0
    assert isinstance(unit, str)


@given(
    st.sampled_from("fpnumkMG"),
    st.sampled_from(["A", "V", "S", "m", "Hz", "eV"]),
    st.sampled_from("fpnumkMG"),
    st.sampled_from(["A", "V", "S", "m", "Hz", "eV"]),
)
def test_quotients_are_those_of_their_parts(p1, u1, p2, u2):
    factor, _ = to_si(f"{p1}{u1}/{p2}{u2}")
    parts = to_si(p1 + u1)[0] / to_si(p2 + u2)[0]
    assert factor == pytest.approx(parts, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["1_000", "\u0661\u0662", "\uff11", "1,5", "inf", "nan", "", "1e999", None],
)
def test_no_number_of_a_header(text):
    assert finite_number(text) is None


@pytest.mark.parametrize("text", ["1000", " -1.5E-9\t", ".5", "2.", "+3e+2"])
def test_a_number_of_a_header(text):
    assert finite_number(text) == float(text)


@pytest.mark.parametrize("sides", [(20, 30), (64, 64), (0.1, 0.105)])
def test_sides_are_named_where_they_differ(sides):
    text = height_by_width(sides, "nm")
    assert text.startswith(f"{sides[0]:g} x {sides[1]:g} nm")
    assert ("height x width" in text) == (sides[0] != sides[1])
