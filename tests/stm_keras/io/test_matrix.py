import struct

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.matrix import open_mtrx
from stm_keras.io.reader import format_of, read_maps


@pytest.fixture(name="mtrx")
def _mtrx(tiny):
    return tiny("matrix")


@pytest.fixture(name="written")
def _written(mtrx, tmp_path):
    """Writes a session; gives the path of one of its data files."""

    def write(data, channel=None, given=None):
        files = mtrx.session_files(data, given)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        channel = channel or next(iter(data))
        return tmp_path / f"{mtrx.RUN_NAME}{channel}_mtrx"

    return write


def only(recording, name, direction):
    found = [
        c
        for c in recording.channels
        if c.name == name and c.direction == direction
    ]
    assert len(found) == 1
    return found[0]


def current(counts):
    return (counts - 3.0) * (1 + 105) / (2.4e15 * 105)


def test_four_traces_of_an_image(mtrx, written):
    counts = mtrx.counts(2 * 4 * 2 * 6)
    recording = open_mtrx(written({"Z": mtrx.data_file(counts)}))
    taken = ((counts - 5.0) / 2e12).reshape(2, 4, 2, 6)
    # up: the first line is the bottom; back: the first point is the right
    expected = {
        ("Z", "forward"): taken[0, ::-1, 0],
        ("Z", "backward"): taken[0, ::-1, 1, ::-1],
        ("Z down", "forward"): taken[1, :, 0],
        ("Z down", "backward"): taken[1, :, 1, ::-1],
    }
    assert len(recording.channels) == 4
    for (name, direction), image in expected.items():
        channel = only(recording, name, direction)
        assert channel.unit == "m"
        assert channel.bias_v == pytest.approx([-0.5])
        np.testing.assert_allclose(channel.load()[0], image, rtol=1e-6)


def test_frame_and_text(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    recording = open_mtrx(path)
    assert recording.shape == (4, 6)
    assert recording.extent_nm == pytest.approx((8, 6))
    assert recording.placement.centre_nm == pytest.approx((100, -200))
    assert recording.metadata == {
        "sample": "Größe",
        "date": "2025-11-25 10:11:12 UTC",
        "set point": "1e-10 A",
    }
    assert recording.notes == ()
    assert format_of(path).name == "Omicron Matrix"
    assert read_maps(path).channel == "Z"


@pytest.mark.parametrize("x_retrace", [True, False])
@pytest.mark.parametrize("y_retrace", [True, False])
def test_retraces_need_not_be_taken(mtrx, written, x_retrace, y_retrace):
    given = mtrx.parameters(
        XYScanner__X_Retrace=x_retrace, XYScanner__Y_Retrace=y_retrace
    )
    n = 24 * (1 + x_retrace) * (1 + y_retrace)
    counts = mtrx.counts(n)
    path = written({"I": mtrx.data_file(counts)}, given=given)
    recording = open_mtrx(path)
    assert len(recording.channels) == (1 + x_retrace) * (1 + y_retrace)
    first = current(counts.reshape(-1, 6)[:: 1 + x_retrace][:4][::-1])
    np.testing.assert_allclose(
        only(recording, "I", "forward").load()[0], first, rtol=1e-6
    )


def test_sweeps_on_a_subgrid(mtrx, written):
    # ceil(4 / 3) rows and ceil(6 / 2) columns
    counts = mtrx.counts(2 * 2 * 2 * 3 * 2 * 5)
    recording = open_mtrx(written({"I(V)": mtrx.data_file(counts)}))
    assert recording.shape == (2, 3)
    taken = current(counts).reshape(2, 2, 2, 3, 2, 5)
    for direction, ramp in (("forward", 0), ("backward", 1)):
        channel = only(recording, "I", direction)
        assert channel.sweep
        assert channel.bias_v == pytest.approx([0.2, 0.1, 0, -0.1, -0.2])
        maps = np.moveaxis(taken[0, ::-1, 0, :, ramp], -1, 0)
        maps = maps[::-1] if ramp else maps
        np.testing.assert_allclose(channel.load(), maps, rtol=1e-6)
        back = only(recording, "I of lines back", direction)
        maps = np.moveaxis(taken[0, ::-1, 1, ::-1, ramp], -1, 0)
        maps = maps[::-1] if ramp else maps
        np.testing.assert_allclose(back.load(), maps, rtol=1e-6)
        down = only(recording, "I down", direction)
        maps = np.moveaxis(taken[1, :, 0, :, ramp], -1, 0)
        maps = maps[::-1] if ramp else maps
        np.testing.assert_allclose(down.load(), maps, rtol=1e-6)
    # a cell is 2 x 3 of the image's pixels of 1 x 2 nm; its point is the
    # first of them, counted from the lower left
    assert recording.extent_nm == pytest.approx((2 * 3 * 2, 3 * 2 * 1))
    place = recording.placement
    first_row, first_column = 1.5, 0.5  # of the grid's points, in cells
    x, y = place.to_scanner(
        [(first_row * 6, first_column * 2)], recording.extent_nm
    )[0]
    assert (x, y) == pytest.approx((100 - 3 + 0.5, -200 - 4 + 1))


def test_current_is_differentiated_and_aux_is_taken(mtrx, written):
    data = {
        name: mtrx.data_file(mtrx.counts(240)) for name in ("I(V)", "Aux1(V)")
    }
    assert read_maps(written(data)).channel == "d(I)/dV"
    given = mtrx.parameters(
        XYScanner__X_Retrace=False,
        XYScanner__Y_Retrace=False,
        Spectroscopy__Enable_Device_1_Ramp_Reversal=False,
    )
    data = {"Aux1(V)": mtrx.data_file(mtrx.counts(30))}
    maps = read_maps(written(data, given=given))
    assert (maps.channel, maps.unit, maps.shape) == ("Aux1", "V", (5, 2, 3))


def test_parameters_are_those_of_the_files_entry(mtrx, tmp_path):
    """Changes before the entry count, those after it do not."""
    name = mtrx.RUN_NAME + "Z_mtrx"
    known = mtrx.parameter_file(
        mtrx.change("GapVoltageControl.Voltage", 0.25, "Volt"),
        mtrx.entry(name),
        mtrx.change("GapVoltageControl.Voltage", 2.0, "Volt"),
        given=mtrx.parameters(),
    )
    (tmp_path / f"{mtrx.SESSION}_0001.mtrx").write_bytes(known)
    (tmp_path / name).write_bytes(mtrx.data_file(mtrx.counts(96)))
    recording = open_mtrx(tmp_path / name)
    assert recording.channels[0].bias_v == pytest.approx([0.25])


def test_a_session_goes_on_in_further_files(mtrx, tmp_path):
    name = mtrx.RUN_NAME + "Z_mtrx"
    first = mtrx.parameter_file(
        mtrx.change("GapVoltageControl.Voltage", 0.75, "Volt"),
        given=mtrx.parameters(),
    )
    (tmp_path / f"{mtrx.SESSION}_0001.mtrx").write_bytes(first)
    second = mtrx.MAGIC + mtrx.entry(name)
    (tmp_path / f"{mtrx.SESSION}_0002.mtrx").write_bytes(second)
    (tmp_path / name).write_bytes(mtrx.data_file(mtrx.counts(96)))
    recording = open_mtrx(tmp_path / name)
    assert recording.channels[0].bias_v == pytest.approx([0.75])


def test_what_was_not_measured_is_nan(mtrx, written):
    counts = mtrx.counts(40)
    data = {"I": mtrx.data_file(counts, intended=96)}
    recording = open_mtrx(written(data))
    # three lines there and back, and four points of the fourth
    assert [c.name for c in recording.channels] == ["I", "I"]
    forward = only(recording, "I", "forward").load()[0]
    backward = only(recording, "I", "backward").load()[0]
    assert np.isnan(forward[0]).tolist() == [False] * 4 + [True] * 2
    assert np.isnan(backward).all(axis=1).tolist() == [True] + [False] * 3
    np.testing.assert_allclose(forward[3], current(counts[:6]), rtol=1e-6)
    assert any("unfinished: 40 of 48" in note for note in recording.notes)


def test_missing_parameter_file_is_named(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    path.with_name(f"{mtrx.SESSION}_0001.mtrx").unlink()
    with pytest.raises(InputError, match=r"_0001\.mtrx is missing beside"):
        read_maps(path)


def test_parameter_file_itself_and_renamed_files_are_refused(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    with pytest.raises(InputError, match="found by itself"):
        read_maps(path.with_name(f"{mtrx.SESSION}_0001.mtrx"))
    renamed = path.rename(path.with_name(f"{mtrx.SESSION}--9_9.Z_mtrx"))
    with pytest.raises(InputError, match="does not list it"):
        open_mtrx(renamed)


def test_single_spectra_and_other_ramps_are_refused(mtrx, written):
    one = mtrx.parameters(XYScanner__Points=1, XYScanner__Lines=1)
    with pytest.raises(InputError, match="no map"):
        open_mtrx(written({"I(V)": mtrx.data_file(mtrx.counts(10))}, given=one))
    with pytest.raises(InputError, match="single spectra"):
        open_mtrx(written({"I(V)": mtrx.data_file(mtrx.counts(10))}))
    with pytest.raises(InputError, match="something else than the bias"):
        open_mtrx(written({"I(Z)": mtrx.data_file(mtrx.counts(240))}))


@pytest.mark.parametrize("points", [2**31 - 1, 100_000, 0, -5])
def test_sizes_beyond_the_file_are_refused(mtrx, written, points):
    given = mtrx.parameters(XYScanner__Points=points, XYScanner__Lines=2**30)
    content = mtrx.data_file(mtrx.counts(96), intended=2**32 - 1)
    with pytest.raises(InputError, match=r"do not fit|no map"):
        open_mtrx(written({"Z": content}, given=given))
    given = mtrx.parameters(Spectroscopy__Device_1_Points=2**31 - 1)
    with pytest.raises(InputError, match="do not fit"):
        open_mtrx(written({"I(V)": content}, given=given))


def test_unknown_scale_leaves_counts(mtrx, written):
    recording = open_mtrx(written({"Df": mtrx.data_file(mtrx.counts(96))}))
    channel = only(recording, "Df", "forward")
    assert channel.unit == ""
    assert "counts" in channel.note
    expected = mtrx.counts(96).reshape(2, 4, 2, 6)[0, ::-1, 0]
    np.testing.assert_allclose(channel.load()[0], expected)


def test_truncated_files_are_refused(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    whole = path.read_bytes()
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            open_mtrx(path)
    path.write_bytes(whole)
    known = path.with_name(f"{mtrx.SESSION}_0001.mtrx")
    content = known.read_bytes()
    end = content.index(mtrx.entry(path.name)) + len(mtrx.entry(path.name))
    for size in range(0, end, 11):
        known.write_bytes(content[:size])
        with pytest.raises(InputError):
            open_mtrx(path)


def test_mutated_files_give_an_error_or_an_answer(
    mtrx, mutated, refusal, tmp_path
):
    files = {**mtrx.companion_files(), **mtrx.tiny_files()}
    messages = []
    for damaged, content in files.items():
        for name in files:
            (tmp_path / name).write_bytes(files[name])
        known = damaged.endswith("_0001.mtrx")
        for copy in mutated(content, 80 if known else 40, seed=13):
            (tmp_path / damaged).write_bytes(copy)
            for name in mtrx.tiny_files() if known else [damaged]:
                messages.append(refusal(tmp_path / name))
    assert any(messages)


def test_a_block_that_ends_the_file_early_is_told(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    known = path.with_name(f"{mtrx.SESSION}_0001.mtrx")
    content = bytearray(known.read_bytes())
    place = content.index(b"APEE") + 4
    content[place : place + 4] = struct.pack("<I", 2**32 - 1)
    known.write_bytes(content)
    with pytest.raises(InputError, match="a block ends early"):
        open_mtrx(path)
