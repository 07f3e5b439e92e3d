import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from stm_keras.errors import InputError
from stm_keras.io.channels import is_copy, quantity, silence
from stm_keras.io.reader import read_maps
from stm_keras.io.recording import Channel, ReadOptions, Recording
from stm_keras.io.selection import (
    lock_in_faults,
    select_channel,
    select_maps,
)

SIGNAL = 1 + np.eye(4)[np.newaxis]


def _recording(channels, **changes):
    fields = {"shape": (4, 4), "extent_nm": (2.0, 2.0), **changes}
    return Recording("file", "test file", channels=tuple(channels), **fields)


def _channel(name, unit="", values=SIGNAL, **changes):
    bias_v = np.linspace(-0.1, 0.1, len(values))
    return Channel(name, unit, bias_v, lambda: values, **changes)


def _choose(names, wanted=None, off=False, **options):
    channels = [
        _channel(name, values=np.roll(SIGNAL, i, -1), lock_in_off=off)
        for i, name in enumerate(names)
    ]
    chosen = select_channel(
        _recording(channels), ReadOptions(channel=wanted, **options)
    )
    return names.index(chosen.channel.name)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["Z", "Current", "LIX_1_omega", "LIY_1_omega"], 2),
        (["Z (m)", "LIY 1 omega (A)", "LIX 1 omega (A)"], 2),
        (["Z", "LIX_2_omega", "LIX_1_omega"], 2),
        (["Z", "LI_Demod_1_Y", "LI_Demod_1_X"], 2),
        (["Current", "Lockin_X", "Z"], 1),
        (["Current", "7280DSP Lockin-Y", "7280DSP Lockin-X"], 2),
        (["LIR 1 omega", "7280DSP Lockin-X"], 1),
        (["Z", "d2I/dV2", "dI/dV (S)"], 2),
        (["Z", "LIA Current"], 1),
        (["Current", "Bias", "Z"], 2),
        (["Topography", "Lockin Phase", "Lock-in Frequency"], 0),
    ],
)
def test_known_names(names, chosen):
    assert _choose(names) == chosen


def test_a_unit_tells_where_the_name_does_not():
    assert quantity("Ext. signal 1", "S") == "didv"
    assert quantity("Ext. signal 1", "V") is None
    assert quantity("Tunnel Current", "A") == "current"
    assert quantity("Current Setpoint", "A") == "current"
    assert quantity("Topography", "m") == "topograph"


def test_own_lock_in_off_does_not_count_for_an_external_one():
    assert _choose(["Z", "LIX_1_omega", "dI/dV"], off=True) == 2
    assert _choose(["Z", "LIX_1_omega"], off=True) == 0


def test_asked_for_by_name_without_signs_or_by_its_beginning():
    names = ["LIX_1_omega", "LIX_2_omega", "Z"]
    assert _choose(names, "lix 1 omega") == 0
    assert _choose(names, "z") == 2
    assert _choose(names, "Topograph") == 2
    assert _choose(names, "LIX1") == 0
    with pytest.raises(InputError, match="more than one channel 'LIX'"):
        _choose(names, "LIX")
    with pytest.raises(InputError, match="no channel ''"):
        _choose(names, "")


def test_nothing_suitable():
    with pytest.raises(InputError, match="--channel among: Current, Bias"):
        _choose(["Current", "Bias"])


def test_a_direction_that_was_not_recorded():
    with pytest.raises(InputError, match="was not recorded backward"):
        _choose(["Z"], direction="backward")


def test_current_of_a_sweep_is_differentiated():
    bias = np.linspace(-0.1, 0.1, 11)
    slope = 1e-9 * (1 + np.arange(16.0).reshape(4, 4))
    current = slope * (0.5 + bias[:, None, None])
    recording = _recording(
        [
            Channel("Current", "A", bias, lambda: current, sweep=True),
            _channel("Z", "m"),
        ]
    )
    for wanted in (None, "derivative"):
        maps = select_maps(recording, ReadOptions(channel=wanted))
        assert (maps.channel, maps.unit) == ("d(Current)/dV", "S")
        assert any("numerical derivative" in n for n in maps.provenance)
        for image in maps.data:
            np.testing.assert_allclose(image, slope, rtol=1e-5)
    assert select_maps(recording, ReadOptions(channel="Current")).unit == "A"
    with pytest.raises(InputError, match="no current over a bias sweep"):
        _choose(["Z"], "derivative")


def test_a_lock_in_that_passes_on_the_feedback_error_is_seen():
    error = 1 + np.random.default_rng(0).normal(size=(1, 8, 8))
    channels = [
        _channel("Current", "A", error),
        _channel("LIX", "A", -2 * error),
        _channel("Z", "m"),
    ]
    recording = _recording(channels)
    chosen = select_channel(recording, ReadOptions())
    assert chosen.channel.name == "Z"
    assert "a copy of Current" in chosen.reason
    assert list(lock_in_faults(recording)) == ["LIX"]
    assert not is_copy(error, error[:, :4])


def test_a_direction_that_holds_noise_gives_way_to_the_other():
    rng = np.random.default_rng(1)
    noise, signal = rng.normal(size=(2, 1, 16, 16))
    noise -= noise.mean()
    channels = [
        _channel("LIA Current", "A", noise),
        _channel("LIA Current", "A", 3 + signal, direction="backward"),
    ]
    chosen = select_channel(_recording(channels), ReadOptions())
    assert chosen.channel.direction == "backward"
    maps = select_maps(_recording(channels), ReadOptions())
    assert "warning: LIA Current forward holds noise about zero; read " in (
        " ".join(maps.provenance)
    )
    asked = ReadOptions(channel="LIA Current")
    assert select_channel(_recording(channels), asked).channel is channels[0]


def test_unknown_bias_and_extent_must_be_given():
    unknown = _recording(
        [Channel("Z", "m", np.array([np.nan]), lambda: SIGNAL)],
        extent_nm=None,
    )
    with pytest.raises(InputError, match="--bias"):
        select_maps(unknown, ReadOptions())
    with pytest.raises(InputError, match="--extent-nm"):
        select_maps(unknown, ReadOptions(bias_v=(0.1,)))
    maps = select_maps(unknown, ReadOptions(bias_v=(0.1,), extent_nm=(3, 4)))
    assert maps.bias_v == [0.1]
    assert maps.extent_nm == (3, 4)


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


@pytest.mark.parametrize("biases", [(0.1, 0.2, 0.4), (0.1, 0.2, 0.3, 0.4)])
def test_a_derivative_over_too_few_given_biases(biases):
    """Uneven ones as well, which another routine differentiates."""
    sweep = _channel("Current", "A", np.ones((6, 4, 4)), sweep=True)
    with pytest.raises(InputError, match=f"file: 6 maps .*: {len(biases)}"):
        select_maps(_recording([sweep]), ReadOptions(bias_v=biases))


@pytest.mark.parametrize("wanted", [None, "derivative"])
def test_a_sweep_that_was_not_recorded_backward(wanted):
    sweep = _channel("Current", "A", np.ones((6, 4, 4)), sweep=True)
    options = ReadOptions(channel=wanted, direction="backward")
    with pytest.raises(InputError, match="was not recorded backward"):
        select_maps(_recording([sweep]), options)


@pytest.mark.parametrize(
    ("height", "feedback"),
    [
        (np.full((1, 8, 8), 2.5), None),  # Z has one value
        (None, False),  # the file says so
        (np.random.default_rng(2).normal(size=(1, 8, 8)), False),
    ],
)
def test_at_constant_height_di_dv_may_look_like_the_current(height, feedback):
    current = 1 + np.random.default_rng(0).normal(size=(1, 8, 8))
    channels = [
        _channel("Current", "A", current),
        _channel("LIX", "A", 2 * current),
    ]
    if height is not None:
        channels.append(_channel("Z", "m", height))
    recording = _recording(channels, shape=(8, 8), feedback=feedback)
    assert select_channel(recording, ReadOptions()).channel.name == "LIX"
    assert not lock_in_faults(recording)


def test_where_the_height_is_constant_the_current_is_looked_at():
    flat, current = np.full((1, 4, 4), 1e-7), SIGNAL * 1e-9
    channels = [_channel("Z", "m", flat), _channel("Current", "A", current)]
    maps = select_maps(_recording(channels), ReadOptions())
    assert maps.channel == "Current"
    told = [n for n in maps.provenance if n.startswith("warning: at constant")]
    assert len(told) == 1
    asked = select_channel(_recording(channels), ReadOptions(channel="Z"))
    assert asked.channel.name == "Z"
    with pytest.raises(InputError, match="the topograph has one value"):
        select_maps(_recording(channels[:1]), ReadOptions())


def test_a_real_scan_at_constant_height(shared_file):
    maps = read_maps(shared_file("readers/nanonis_constant_height_177.sxm"))
    assert (maps.channel, maps.unit) == ("Current", "A")
    assert any("constant height" in note for note in maps.provenance)


@pytest.mark.parametrize("bias_mv", ["008", "045", "080", "175"])
def test_real_di_dv_at_constant_height(shared_file, bias_mv):
    maps = read_maps(shared_file(f"ag111_corral/corral_{bias_mv}mV.dat"))
    assert maps.channel == "Lock-in X"
    assert maps.bias_v == pytest.approx([int(bias_mv) / 1000])


@pytest.mark.parametrize("bias", [(10.0,), (-50.0,), (0.1, 8.0)])
def test_a_bias_in_mv_is_asked_about(bias):
    with pytest.raises(
        InputError, match=rf"was {max(bias, key=abs):g} mV mean"
    ):
        ReadOptions(bias_v=bias)


def test_a_bias_of_a_file_that_may_be_in_mv_is_doubted():
    channel = _channel("Z", "m")
    channel = dataclasses.replace(channel, bias_v=np.array([20.0]))
    maps = select_maps(_recording([channel]), ReadOptions())
    assert any("if mV was meant" in note for note in maps.provenance)


def test_what_a_file_does_not_tell_is_one_message():
    channel = dataclasses.replace(_channel("Z", "m"), bias_v=np.array([np.nan]))
    with pytest.raises(
        InputError,
        match=r"bias of map 0 and its size.*--bias.*"
        r"--extent-nm, height and width",
    ):
        select_maps(_recording([channel], extent_nm=None), ReadOptions())
