"""Real grids against their bytes, taken apart here without the reader."""

import numpy as np
import pytest

from stm_keras.io.reader import open_recording, read_maps


class Raw:
    """A grid as its bytes have it, in the order of the measurement.

    `centre`, `rows` and so on were read off the headers by eye.
    """

    def __init__(self, path, columns, rows, points, n_parameters, names):
        content = path.read_bytes()
        start = content.index(b":HEADER_END:\r\n") + 14
        values = np.frombuffer(content[start:], ">f4").astype(np.float32)
        size = n_parameters + len(names) * points
        self.parameters = values.reshape(rows, columns, size)[
            ..., :n_parameters
        ]
        sweeps = values.reshape(rows, columns, size)[..., n_parameters:]
        self.sweeps = dict(
            zip(
                names,
                np.moveaxis(sweeps.reshape(rows, columns, -1, points), 2, 0),
                strict=True,
            )
        )


HUNFEN = (
    "Current",
    "Bias(AI5)",
    "7280DSP Lockin-X",
    "7280DSP Lockin-Y",
    "LIR 1 omega",
    "LIY 1 omega",
)
SPMGRIDS = (
    "Current",
    "Applied Voltage measured",
    "Bias",
    "X [sweep]",
    "Y [sweep]",
    "Z [sweep]",
    "Phase",
    "Amplitude",
    "Frequency Shift",
    "Excitation",
)
GRIDS = {
    "davis_map2": {
        "layout": (40, 40, 100, 10, ("Current", "Input 6")),
        "ends": (-0.4, 0.4),
        "extent": (4.959236, 4.959236),
        "units": {"Current": "A", "Input 6": "V", "Z": "m", "X": "m"},
    },
    "hunfen_grid008": {
        "layout": (32, 1, 401, 10, (*HUNFEN, *(f"{n} b" for n in HUNFEN))),
        "ends": (0.002, -0.004),
        "extent": (53.54185 / 31, 53.54185 * 32 / 31),
        # A percentage is a number.
        "units": {"Bias(AI5)": "V", "LIR 1 omega": "A", HUNFEN[2]: ""},
        "factors": {HUNFEN[2]: 0.01, HUNFEN[3]: 0.01},
    },
    "spmgrids_bias": {
        "layout": (20, 20, 128, 18, SPMGRIDS),
        "ends": (0.2, -0.1),
        "extent": (15.0, 15.0),
        "units": {"Bias": "V", "Phase": "deg", "Frequency Shift": "Hz"},
    },
}


@pytest.fixture(params=GRIDS, name="grid")
def _grid(request, shared_file):
    facts = GRIDS[request.param]
    path = shared_file(f"readers/{request.param}.3ds")
    return path, facts, Raw(path, *facts["layout"])


def test_every_sweep_and_the_bias(grid):
    path, facts, raw = grid
    recording = open_recording(path)
    swept = [channel for channel in recording.channels if channel.sweep]
    columns, rows, points, *_ = facts["layout"]
    assert recording.shape == (rows, columns)
    np.testing.assert_allclose(recording.extent_nm, facts["extent"], rtol=1e-6)
    assert len(swept) == len(raw.sweeps)
    for channel, (name, sweeps) in zip(swept, raw.sweeps.items(), strict=True):
        back = channel.direction == "backward"
        assert name == f"{channel.name}{' b' * back}"
        # The first point is the bottom left: the last row's first column.
        expected = np.moveaxis(sweeps[::-1], -1, 0)
        factor = facts.get("factors", {}).get(channel.name, 1)
        np.testing.assert_allclose(
            channel.load(), expected * np.float32(factor), rtol=1e-6
        )
        np.testing.assert_allclose(
            channel.bias_v,
            np.linspace(*facts["ends"], points),
            rtol=0,
            atol=1e-12,
        )
    units = {channel.name: channel.unit for channel in recording.channels}
    assert facts["units"].items() <= units.items()


def test_pixels_lie_where_the_points_were_measured(grid):
    path, _, raw = grid
    maps = read_maps(path, channel="Current")
    _, rows, columns = maps.shape
    x, y = raw.parameters[..., 2], raw.parameters[..., 3]
    pixels = np.argwhere(np.ones((rows, columns)))
    places = maps.scanner_nm(pixels).reshape(rows, columns, 2)
    # The header has seven digits of some 600 nm.
    away = places - np.stack([x, y], -1)[::-1] * 1e9
    assert np.abs(away).max() < 3e-4
    # Any other orientation or sense of the angle would be far off.
    assert np.abs(places[::-1, :] - places).max() > 1 or rows == 1
    assert not any("warning" in note for note in maps.provenance)


def test_heights_are_an_image(grid):
    path, _, raw = grid
    (height,) = (c for c in open_recording(path).channels if c.name == "Z")
    np.testing.assert_array_equal(height.load()[0], raw.parameters[::-1, :, 4])


@pytest.mark.parametrize(
    ("name", "volts"),
    # The controller's own to rounding; a voltmeter's to a fifth of a step.
    [("Bias", 1e-7), ("Applied Voltage measured", 5e-4)],
)
def test_nominal_bias_against_the_recorded(shared_file, name, volts):
    recording = open_recording(shared_file("readers/spmgrids_bias.3ds"))
    (channel,) = (c for c in recording.channels if c.name == name)
    away = channel.load() - channel.bias_v[:, None, None]
    assert np.abs(away).max() < volts


def test_the_way_back_is_stored_in_the_order_of_the_way_forward(shared_file):
    path = shared_file("readers/hunfen_grid008.3ds")
    for direction in ("forward", "backward"):
        maps = read_maps(path, channel="Bias(AI5)", direction=direction)
        mean = maps.data.mean(axis=(1, 2))
        # An input with a divider and an offset: it tells the order alone.
        slope, offset = np.polyfit(maps.bias_v, mean, 1)
        assert slope == pytest.approx(0.875, abs=0.005)
        assert offset == pytest.approx(1.85e-3, abs=2e-5)


def test_what_is_chosen(shared_file):
    davis = read_maps(shared_file("readers/davis_map2.3ds"))
    assert (davis.channel, davis.unit) == ("d(Current)/dV", "S")
    # Input 6 is the lock-in's output: the derivative's picture, scaled.
    lock_in = read_maps(davis.source, channel="Input 6")
    assert (
        np.corrcoef(
            davis.data.mean(axis=(1, 2)), lock_in.data.mean(axis=(1, 2))
        )[0, 1]
        > 0.995
    )
    line = read_maps(shared_file("readers/hunfen_grid008.3ds"))
    assert line.channel == "7280DSP Lockin-X"
    recording = open_recording(line.source)
    assert recording.metadata["comment"] == "line cross the step 0.1 T"
    assert recording.metadata["sweeps"] == "4"
    assert recording.metadata["lock-in"].startswith("off")
