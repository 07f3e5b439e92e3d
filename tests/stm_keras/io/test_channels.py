import numpy as np
import pytest
from scipy import ndimage

from stm_keras.errors import InputError
from stm_keras.io.channels import choose_channel, silence


def _choose(names, wanted=None, off=False):
    signal = 1 + np.eye(4)
    return choose_channel(
        "file", names, wanted, lock_in_off=off, images=lambda _: [signal]
    )


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["Z", "Current", "LIX_1_omega", "LIY_1_omega"], 2),
        (["Z (m)", "LIY 1 omega (A)", "LIX 1 omega (A)"], 2),
        (["Z", "LIX_2_omega", "LIX_1_omega"], 2),
        (["Z", "LI_Demod_1_Y", "LI_Demod_1_X"], 2),
        (["Current", "Lockin_X", "Z"], 1),
        (["Z", "d2I/dV2", "dI/dV (S)"], 2),
        (["Current", "Bias", "Z"], 2),
        (["Topography", "Lockin Phase", "Lock-in Frequency"], 0),
    ],
)
def test_known_names(names, chosen):
    assert _choose(names).index == chosen


def test_own_lock_in_off_does_not_count_for_an_external_one():
    assert _choose(["Z", "LIX_1_omega", "dI/dV"], off=True).index == 2
    assert _choose(["Z", "LIX_1_omega"], off=True).index == 0


def test_asked_for_by_name_without_signs_or_by_its_beginning():
    names = ["LIX_1_omega", "LIX_2_omega", "Z"]
    assert _choose(names, "lix 1 omega").index == 0
    assert _choose(names, "z").index == 2
    assert _choose(names, "LIX1").index == 0
    with pytest.raises(InputError, match="more than one channel 'LIX'"):
        _choose(names, "LIX")
    with pytest.raises(InputError, match="no channel ''"):
        _choose(names, "")


def test_nothing_suitable():
    with pytest.raises(InputError, match="--channel among: Current, Bias"):
        _choose(["Current", "Bias"])


def test_silence():
    rng = np.random.default_rng(0)
    shape = (64, 64)
    noise = [rng.normal(size=shape) for _ in range(2)]
    picture = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    picture -= picture.mean()
    seen = [
        np.roll(picture, lag, axis=1) + 0.01 * n
        for lag, n in zip((0, 3), noise, strict=True)
    ]
    assert "noise" in silence(noise)
    assert "noise" in silence(noise[:1])
    assert silence([n + 1 for n in noise]) == ""
    assert silence(seen) == ""
    assert "nothing" in silence([np.zeros(shape)])
    assert "nothing" in silence([np.full(shape, np.nan)])
    half = np.where(np.arange(64)[:, None] < 32, np.nan, noise[0])
    assert "noise" in silence([half, noise[1]])
