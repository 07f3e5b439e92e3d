import io
import os
import resource
import subprocess
import threading
import zlib

import h5py
import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io import hdf5_storage
from stm_keras.io.hdf5_storage import contents, member
from stm_keras.io.reader import open_recording, read_maps


@pytest.fixture
def nexus(tiny):
    return tiny("nexus")


@pytest.fixture
def write(tmp_path):
    def save(content, name="file.nxs"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


@pytest.fixture
def image():
    return (3 + np.random.default_rng(1).normal(size=(6, 6))).astype("f4")


@pytest.fixture
def cube():
    return (3 + np.random.default_rng(1).normal(size=(4, 5, 6))).astype("f4")


def test_a_scan_with_the_bottom_row_first(write, nexus, image):
    path = write(nexus.stm({"li_demod_1_x_forward": image}))
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data[0], image[::-1])
    assert maps.channel == "li_demod_1_x"
    assert (maps.unit, maps.bias_v.tolist()) == ("A", [0.05])
    assert maps.extent_nm == pytest.approx((6, 8))
    assert maps.placement.centre_nm == pytest.approx((3, -2))
    metadata = open_recording(path).metadata
    assert metadata["title"] == "Cu(111), 5 K"
    assert metadata["definition"] == "NXstm"


@pytest.mark.parametrize("shape", [(6, 6), (4, 6), (6, 4)])
@pytest.mark.parametrize("swapped", [True, False])
def test_rows_are_y_whichever_axis_is_named_first(write, nexus, shape, swapped):
    image = np.random.default_rng(1).normal(size=shape)
    path = write(nexus.stm({"z_forward": image}, swapped=swapped))
    recording = open_recording(path)
    if shape == (6, 6) and not swapped:
        assert recording.shape == shape
    assert recording.shape == shape
    np.testing.assert_array_equal(recording.channels[0].load()[0], image[::-1])


def test_elsewhere_axes_are_what_they_say(write, nexus, image):
    path = write(nexus.stm({"z": image}, definition="NXarpes", axis_unit="m"))
    # Square, x named first: rows are x.
    np.testing.assert_array_equal(
        open_recording(path).channels[0].load()[0], image.T[::-1]
    )


def test_directions(write, nexus, image):
    path = write(nexus.stm({"z_forward": image, "z_backward": image + 1}))
    by_way = {c.direction: c for c in open_recording(path).channels}
    assert {c.name for c in by_way.values()} == {"z"}
    assert "mirrored" in by_way["backward"].note
    assert by_way["backward"].load().mean() > by_way["forward"].load().mean()


@pytest.mark.parametrize("linked", [False, True])
def test_spectra_on_a_grid(write, nexus, cube, linked):
    path = write(nexus.sweep(np.moveaxis(cube, 0, -1), linked=linked))
    maps = read_maps(path)
    # y falls with the row: row 0 is the top already.
    np.testing.assert_allclose(maps.data, cube * 1e-9, rtol=1e-6)
    assert (maps.channel, maps.unit) == ("didv", "S")
    np.testing.assert_allclose(maps.bias_v, np.linspace(-0.1, 0.1, 4))
    assert maps.extent_nm == pytest.approx((6, 8))
    assert maps.placement.centre_nm == pytest.approx((0, 0.5))


def test_entries_of_several_biases_are_a_stack(write, nexus, image):
    def fill(file):
        for n, bias in enumerate((0.2, -0.1)):
            part = nexus.stm({"didv": image + n}, bias=(bias, "V"))
            with h5py.File(io.BytesIO(part)) as other:
                other.copy("entry", file, f"entry{n}")

    maps = read_maps(write(nexus.hdf5(fill)))
    assert maps.bias_v.tolist() == [0.2, -0.1]
    np.testing.assert_allclose(maps.data[1], image[::-1] + 1)


def test_plain_datasets_by_their_attributes(write, nexus, cube):
    maps = read_maps(write(nexus.plain(cube), "file.h5"))
    np.testing.assert_allclose(maps.data, cube * 1e-9, rtol=1e-6)
    assert (maps.channel, maps.unit) == ("didv", "S")
    np.testing.assert_allclose(maps.bias_v, np.linspace(-0.05, 0.05, 4))
    assert maps.extent_nm == (6.0, 8.0)
    assert maps.placement.centre_nm == (1.0, 2.0)
    assert maps.placement.angle_deg == 30.0


def test_plain_datasets_beside_each_other(write, nexus, cube):
    def fill(file):
        file["maps"], file["extent_nm"] = cube, [6.0, 8.0]
        file["bias_v"] = [-0.1, 0, 0.1, 0.2]

    maps = read_maps(write(nexus.hdf5(fill), "file.h5"))
    np.testing.assert_array_equal(maps.data, cube)
    assert maps.bias_v.tolist() == [-0.1, 0, 0.1, 0.2]
    assert maps.extent_nm == (6.0, 8.0)


def test_dimension_scales(write, nexus, cube):
    def fill(file):
        file["didv"] = np.transpose(cube, (2, 0, 1))
        nexus.axis(file, "columns", nexus.centres(6, 8), "nm")
        nexus.axis(file, "bias", [-1, 0, 1, 2], "V")
        nexus.axis(file, "y", nexus.centres(5, 6), "nm")
        for i, name in enumerate(("columns", "bias", "y")):
            file[name].make_scale(name)
            file["didv"].dims[i].attach_scale(file[name])

    maps = read_maps(write(nexus.hdf5(fill), "file.h5"))
    np.testing.assert_array_equal(maps.data, cube[:, ::-1])
    assert maps.bias_v.tolist() == [-1, 0, 1, 2]


def test_integers_and_nan(write, nexus):
    values = np.arange(60).reshape(3, 4, 5)
    for kind in ("<i2", ">i4", "u1", "<f2", ">f8"):
        maps = read_maps(write(nexus.plain(values.astype(kind)), "file.h5"))
        np.testing.assert_allclose(maps.data * 1e9, values, rtol=1e-6)
    holes = values.astype(float)
    holes[1, 2, 3] = np.nan
    maps = read_maps(write(nexus.plain(holes), "file.h5"))
    assert not maps.mask[2, 3]


def test_what_was_never_written_is_not_measured(write, nexus, cube):
    def fill(file):
        data = file.create_dataset("didv", cube.shape, "f4", chunks=(4, 2, 3))
        data[:, :2] = cube[:, :2]
        data.attrs["bias_v"], data.attrs["extent_nm"] = range(4), (6, 8)

    path = write(nexus.hdf5(fill), "file.h5")
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data[:, :2], cube[:, :2])
    assert np.isnan(maps.data[:, 2:]).all()
    (note,) = open_recording(path).notes
    assert note.startswith("warning: unfinished, 4 parts")


def test_nothing_to_read_lists_what_there_is(write, nexus):
    def fill(file):
        file["spectra/current"] = np.arange(7.0)
        file["note"] = "text"

    with pytest.raises(InputError, match=r"/spectra/current \(7\).*bias_v"):
        open_recording(write(nexus.hdf5(fill), "file.h5"))


def _links_out(file, cube, tmp_path, kind):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["didv"] = cube
    if kind == "link":
        file["didv"] = h5py.ExternalLink(str(secret), "/didv")
    elif kind == "soft":
        file["out"] = h5py.ExternalLink(str(secret), "/")
        file["didv"] = h5py.SoftLink("/out/didv")
    elif kind == "virtual":
        layout = h5py.VirtualLayout(cube.shape, "f4")
        layout[:] = h5py.VirtualSource(str(secret), "didv", cube.shape)
        file.create_virtual_dataset("didv", layout)
    else:
        raw = tmp_path / "secret.raw"
        raw.write_bytes(cube.tobytes())
        file.create_dataset(
            "didv", cube.shape, "f4", external=[(str(raw), 0, cube.nbytes)]
        )


@pytest.mark.parametrize("kind", ["link", "soft", "virtual", "raw"])
def test_no_other_file_is_read(write, nexus, cube, tmp_path, kind):
    path = write(
        nexus.hdf5(lambda file: _links_out(file, cube, tmp_path, kind)),
        "file.h5",
    )
    with pytest.raises(InputError, match=r"other file|another file|no maps"):
        read_maps(path, bias_v=range(4), extent_nm=(6, 8))


def test_soft_links_within_the_file(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file["a/b"] = [1.0]
        file["a/c"] = h5py.SoftLink("b")
        file["d"] = h5py.SoftLink("/a/c")
        file["loop"] = h5py.SoftLink("/loop")
        file["a/round"] = file["/"]
        assert member(file, "d").name == "/a/b"
        assert member(file, "loop") is None
        assert member(file, "a/x") is None
        assert list(contents(file).datasets) == ["/a/b"]


@pytest.mark.parametrize("chunks", [None, (1, 64, 64)])
def test_terabytes_that_are_not_there(write, nexus, chunks):
    def fill(file):
        data = file.create_dataset(
            "didv", (1000, 50000, 50000), "f8", chunks=chunks
        )
        if chunks:
            data[0, :64, :64] = 1

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"refused|never written"):
        read_maps(write(nexus.hdf5(fill), "file.h5"))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100_000  # kB


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_packed_bomb(write, nexus, shuffle):
    def fill(file):
        file.create_dataset(
            "didv",
            (10, 1000, 1000),
            "f8",
            chunks=(10, 1000, 1000),
            compression=9,
            shuffle=shuffle,
        )[...] = 0

    with pytest.raises(InputError, match="would unpack"):
        read_maps(write(nexus.hdf5(fill), "file.h5"))


def test_a_chunk_that_unpacks_too_far(write, nexus):
    def fill(file):
        data = file.create_dataset(
            "didv", (2, 256, 256), "f8", chunks=(2, 256, 256), compression=1
        )
        packed = zlib.compress(bytes(80_000_000), 9)
        data.id.write_direct_chunk((0, 0, 0), packed)

    path = write(nexus.hdf5(fill), "file.h5")
    with pytest.raises(InputError, match="more than its chunks"):
        read_maps(path, bias_v=[0, 1], extent_nm=(1, 1))


def _heap(content):
    """Where the first collection of texts begins."""
    return content.index(b"GCOL\x01\0\0\0")


def test_a_heap_in_which_the_library_runs_in_circles(write, nexus, cube):
    content = bytearray(nexus.sweep(np.moveaxis(cube, 0, -1)))
    # Object 8, the unit: a size that leads to zeros in the midst.
    place = content.index(b"\x08\0\0\0\0\0\0\0", _heap(content)) + 8
    content[place] = 156
    with pytest.raises(InputError, match="texts are damaged"):
        open_recording(write(bytes(content)))


def test_a_text_of_gigabytes_that_is_not_there(write, nexus, cube):
    content = bytearray(nexus.sweep(np.moveaxis(cube, 0, -1)))
    start = _heap(content)
    reference = start.to_bytes(8, "little") + b"\x01\0\0\0"
    place = content.index(reference)
    content[place - 1] = 0x80  # the length's highest byte
    with pytest.raises(InputError, match="texts are damaged"):
        open_recording(write(bytes(content)))


@pytest.mark.parametrize("cut", [9, 60, 500, -1000, -1])
def test_cut_short(write, nexus, cube, cut):
    content = nexus.plain(cube)
    with pytest.raises(InputError, match=r"truncated|damaged|no maps"):
        read_maps(write(content[:cut], "file.h5"))


def test_damaged_files_are_refused_or_read(tmp_path, nexus, mutated, refusals):
    refused = 0
    for n, (name, content) in enumerate(nexus.tiny_files().items()):
        copies = mutated(content, 30, seed=n)
        refused += len(refusals(tmp_path / name, copies))
    assert refused > 5


def test_a_square_whose_statements_contradict(write, nexus, image):
    """Rows count y in files of probes; elsewhere nothing tells."""
    recording = open_recording(write(nexus.contradicting(image)))
    (channel,) = recording.channels
    np.testing.assert_array_equal(channel.load()[0], image)
    assert "contradict" in channel.note
    with pytest.raises(InputError, match="contradicting orders"):
        open_recording(write(nexus.contradicting(image, definition="NXarpes")))


@pytest.mark.parametrize("definition", ["NXafm", "NXarpes"])
def test_lengths_settle_what_contradicts(write, nexus, definition):
    image = np.random.default_rng(1).normal(size=(4, 6))
    content = nexus.contradicting(image, definition=definition)
    recording = open_recording(write(content))
    assert recording.shape == (4, 6)
    np.testing.assert_array_equal(recording.channels[0].load()[0], image)
    assert "settled by the axes' lengths" in recording.channels[0].note


def test_a_scan_counted_from_its_centre_with_row_0_the_bottom(
    write, nexus, image
):
    path = write(nexus.contradicting(image, corner=True))
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.channels[0].load()[0], image[::-1])
    assert recording.extent_nm == pytest.approx((6, 8))
    assert recording.placement.centre_nm == pytest.approx((3, -2))


def test_a_real_scan_and_the_sxm_that_it_was_made_of(shared_file):
    made = open_recording(shared_file("readers/pynxtools_afm.nxs"))
    scan = open_recording(shared_file("readers/pynxtools_afm.sxm"))
    assert made.extent_nm == pytest.approx(scan.extent_nm)
    np.testing.assert_allclose(
        made.placement.centre_nm, scan.placement.centre_nm
    )
    by_name = {(c.name.lower(), c.direction): c for c in scan.channels}
    for channel in made.channels:
        same = by_name[channel.name, channel.direction]
        np.testing.assert_allclose(channel.load(), same.load(), rtol=1e-6)
    assert len(made.channels) == 14


def test_groups_too_deep_are_refused(tmp_path):
    path = tmp_path / "deep.h5"
    with h5py.File(path, "w") as file:
        inner = file
        for _ in range(100):
            inner = inner.create_group("g")
            inner["maps"] = np.eye(4)
    with pytest.raises(InputError, match="64 groups in each other"):
        open_recording(path)


def test_a_small_table_is_no_image_beside_a_larger_array(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["film"] = np.ones((2, 2, 64, 64))
        file["film"].dims[1].label = "time"
        file["table"] = np.arange(12.0).reshape(6, 2)
    with pytest.raises(InputError, match="film"):
        open_recording(path)


@pytest.mark.parametrize("ends", ["crash", "sound"])
@pytest.mark.parametrize("threads", [1, 2])
def test_names_on_which_the_library_fails(tmp_path, monkeypatch, ends, threads):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w", track_order=True) as file:
        for number in range(12):  # more than eight are kept in a heap
            file[f"map {number}"] = np.eye(4)
    assert b"FRHP" in path.read_bytes()
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    if ends == "sound":
        assert len(open_recording(path).channels) == 12
        return
    if threads == 1:
        monkeypatch.setattr(hdf5_storage, "walk", lambda _: os.abort())
    else:
        monkeypatch.setattr(
            subprocess,
            "run",
            lambda *_, **__: subprocess.CompletedProcess([], -11),
        )
    with pytest.raises(InputError, match="fails on its names or texts"):
        open_recording(path)
