import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean

_NOTHING = CleaningOptions.at_level("none")


def _maps(seed=0, n=3):
    rng = np.random.default_rng(seed)
    data = 20 + rng.normal(size=(n, 64, 64)) + np.arange(64)[:, None] * 0.1
    data[:, 50:53] = np.nan
    return ConductanceMaps(data, np.arange(1, n + 1) * 0.1, (6.0, 6.0))


def test_nothing_is_done_unasked():
    maps = _maps()
    assert clean(maps, _NOTHING) is maps


def test_steps_are_recorded_in_the_microscopists_order():
    options = CleaningOptions(
        level="lines",
        tip_jumps=True,
        streaks=True,
        register=True,
        normalise="std",
    )
    maps = _maps()
    result = clean(maps, options)
    starts = (
        "no tip jumps",
        "no terraces",
        "plane",
        "median of each line",
        "bad lines",
        "no streaks",
        "warning: drift not taken out",
        "no tall objects",
        "each map divided by its std",
    )
    for note, start in zip(result.provenance, starts, strict=True):
        assert note.startswith(start)
    # Nothing here moves the maps, so no place may get a value.
    assert np.isnan(result.data[np.isnan(maps.data)]).all()
    by_mean = clean(maps, CleaningOptions(normalise="mean"))
    assert by_mean.provenance[0] == "each map divided by its mean"


@pytest.mark.parametrize(
    ("level", "last"),
    [
        ("plane", "plane subtracted"),
        ("quadratic", "polynomial of second order subtracted"),
        ("lines", "median of each line subtracted"),
        ("line-differences", "line offsets by the median of differences"),
    ],
)
def test_levellings_by_name(level, last):
    result = clean(
        _maps(), CleaningOptions(level=level, mask_lines=False, clip=False)
    )
    assert result.provenance[-1].startswith(last)


def test_feenstra_needs_a_current():
    options = CleaningOptions(normalise="feenstra")
    with pytest.raises(InputError, match="needs the current"):
        clean(_maps(), options)
    result = clean(_maps(), options, current=_maps(1))
    assert result.provenance[0].startswith("divided by I/V")


@pytest.mark.parametrize("words", [{"level": "cubic"}, {"normalise": "max"}])
def test_unknown_words_are_refused(words):
    with pytest.raises(InputError, match=r"Unknown .*Known: "):
        CleaningOptions(**words)
