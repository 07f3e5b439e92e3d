import tracemalloc

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps


@pytest.fixture
def igor(tiny):
    return tiny("igor")


@pytest.fixture
def write(tmp_path, igor):
    def save(*args, content=None, **options):
        path = tmp_path / "wave.ibw"
        path.write_bytes(content or igor.wave(*args, **options))
        return path

    return save


@pytest.fixture
def cube():
    """x, y and bias, as Igor counts them."""
    return 2 + np.random.default_rng(2).normal(size=(6, 5, 4))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["f4", "f8", "i1", "i2", "i4", "i8"])
def test_x_counts_fastest_and_y_rises(write, cube, order, kind):
    cube = np.round(cube * 10)
    maps = read_maps(write(cube, order=order, kind=kind))
    assert maps.shape == (4, 5, 6)
    for column in range(6):
        for row in range(5):
            np.testing.assert_array_equal(
                maps.data[:, row, column], cube[column, 4 - row].astype("f4")
            )
    np.testing.assert_allclose(maps.bias_v, [-0.02, -0.01, 0, 0.01])
    assert maps.extent_nm == pytest.approx((5, 6))
    assert maps.unit == "A"


def test_axes_that_fall(write, cube):
    falling = ((-1e-9, 0.0), (-1e-9, 0.0), (-0.01, 0.02))
    maps = read_maps(write(cube, scales=falling))
    # Column 0 is the smallest x, row 0 the largest y.
    np.testing.assert_allclose(
        maps.data, np.transpose(cube, (2, 1, 0))[:, :, ::-1], rtol=1e-6
    )
    np.testing.assert_allclose(maps.bias_v, [0.02, 0.01, 0, -0.01])


@pytest.mark.parametrize(
    ("units", "extent_nm", "bias_v"),
    [
        (("nm", "nm", "mV"), (5, 6), [-20, -10, 0, 10]),
        (("Å", "Å", "eV"), (0.5, 0.6), [-2e4, -1e4, 0, 1e4]),
    ],
)
def test_units_of_the_axes(write, cube, units, extent_nm, bias_v):
    scales = ((1, 0), (1, 0), (10, -20) if units[2] == "mV" else (1e4, -2e4))
    maps = read_maps(write(cube, scales=scales, units=units))
    assert maps.extent_nm == pytest.approx(extent_nm)
    factor = 1e-3 if units[2] == "mV" else 1
    np.testing.assert_allclose(maps.bias_v, np.array(bias_v) * factor)


def test_without_units_the_user_says(write, cube):
    path = write(cube, units=("", "", ""), data_unit="nA/V")
    with pytest.raises(InputError, match="bias"):
        read_maps(path)
    maps = read_maps(path, bias_v=range(4), extent_nm=(3, 4))
    assert maps.unit == "S"
    np.testing.assert_allclose(
        maps.data[1, 4, 2], 1e-9 * cube[2, 0, 1], rtol=1e-6
    )


def test_layers_of_an_asylum_file(write, igor, tmp_path):
    path = write(content=igor.tiny_files()["asylum.ibw"])
    recording = open_recording(path)
    kinds = [(c.name, c.direction, c.unit) for c in recording.channels]
    assert kinds == [("Height", "forward", "m"), ("Height", "backward", "m")]
    assert recording.channels[0].bias_v.tolist() == [0.2]
    assert recording.metadata["FastScanSize"] == "6e-9"


def test_size_of_the_frame_from_an_asylum_note(write, cube):
    note = "FastScanSize: 2e-8\rSlowScanSize: 1e-8\r"
    recording = open_recording(
        write(cube[..., :2], units=("",) * 3, labels=("A", "B"), note=note)
    )
    assert recording.extent_nm == pytest.approx((10, 20))
    assert [c.name for c in recording.channels] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "note", "bias_v"),
    [
        ("Topo", "Bias: 50 mV\rDate: today", 0.05),
        ("dIdV_20mV", "", 0.02),
        ("Z", "Bias=-0.1", -0.1),
        ("Z", "nothing said", np.nan),
    ],
)
def test_bias_of_one_image(write, cube, name, note, bias_v):
    recording = open_recording(write(cube[..., 0], name=name, note=note))
    np.testing.assert_allclose(recording.channels[0].bias_v, [bias_v])


def test_place_of_the_frame(write, cube):
    scales = ((1e-9, 10e-9), (1e-9, -4e-9), (0.01, 0))
    maps = read_maps(write(cube, scales=scales))
    assert maps.placement.centre_nm == pytest.approx((12.5, -2))
    assert read_maps(write(cube)).placement is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sides": (6, 5, 5)}, "truncated"),
        ({"sides": (30000, 30000, 2000)}, "truncated"),
        ({"sides": (6, -5, -4)}, "promises"),
        ({"data_bytes": 17}, "truncated"),
        ({"version": 2}, "version 2"),
        ({"version": 7}, "no Igor"),
        ({"kind": "c8"}, "complex"),
        ({"scales": ((np.nan, 0), (1, 0), (1, 0))}, "uneven axis"),
        ({"scales": ((0, 0), (1, 0), (1, 0))}, "uneven axis"),
    ],
)
def test_headers_that_lie(write, cube, options, message):
    path = write(cube, **options)
    tracemalloc.start()
    with pytest.raises(InputError, match=message):
        open_recording(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000


def test_four_axes(write):
    values = 3 + np.random.default_rng(1).normal(size=(6, 5, 4, 2))
    scales = ((1e-9, 0),) * 2 + ((0.1, 0), (1, 0))
    units = ("m", "m", "V", "")
    with pytest.raises(InputError, match="neither bias, y nor x"):
        open_recording(write(values, scales=scales, units=units))
    labels = ("CurrentTrace", "LockinTrace")
    maps = read_maps(write(values, scales=scales, units=units, labels=labels))
    assert (maps.channel, maps.shape) == ("Lockin", (4, 5, 6))
    np.testing.assert_allclose(
        maps.data[2, 1, 3], values[3, 3, 2, 1], rtol=1e-6
    )


def test_a_single_row_is_no_image(write):
    with pytest.raises(InputError, match="no image"):
        open_recording(write(np.arange(1000.0), kind="i1"))


def test_a_wrong_sum(write, cube):
    content = bytearray(write(cube).read_bytes())
    content[100] ^= 1
    with pytest.raises(InputError, match="sum"):
        open_recording(write(content=bytes(content)))


@pytest.mark.parametrize("cut", [0, 1, 2, 63, 383, 384, 500, -1])
def test_cut_short(write, cube, cut):
    content = write(cube, note="a note").read_bytes()
    path = write(content=content[:cut] or b"\0")
    with pytest.raises(InputError):
        open_recording(path)


def test_a_second_reader_agrees(write, cube):
    binarywave = pytest.importorskip("igor2.binarywave")
    for order in "<>":
        path = write(cube, order=order, note="Bias: 1 V")
        theirs = binarywave.load(str(path))["wave"]
        ours = open_recording(path).channels[0].load()
        np.testing.assert_array_equal(
            np.transpose(theirs["wData"], (2, 1, 0))[:, ::-1], ours
        )
        assert theirs["note"] == b"Bias: 1 V"


def test_damaged_files_are_refused_or_read(tmp_path, igor, mutated, refusals):
    refused = 0
    for n, content in enumerate(igor.tiny_files().values()):
        damaged = mutated(content, 40, seed=n, damaged_part=400)
        # With the sum as it should be, the words themselves are tried.
        copies = map(igor.with_right_sum, damaged)
        refused += len(refusals(tmp_path / "wave.ibw", copies))
    assert refused > 20
