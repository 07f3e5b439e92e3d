import pytest

from stm_keras.io.formats.rhk.rhk_units import si_unit


@pytest.mark.parametrize(
    ("text", "unit", "factor"),
    [
        ("m", "m", 1.0),
        ("nm", "m", 1e-9),
        ("pA", "A", 1e-12),
        ("mV", "V", 1e-3),
        ("Vrms", "V", 1.0),
        ("Å", "m", 1e-10),
        ("counts", "counts", 1.0),
        ("", "", 1.0),
    ],
)
def test_units(text, unit, factor):
    assert si_unit(text) == (unit, factor)
