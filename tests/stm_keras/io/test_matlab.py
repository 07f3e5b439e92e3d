import struct
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

_OPTIONS = {"bias_v": [0.0, 1.0, 2.0], "extent_nm": (1.0, 1.0)}


@pytest.fixture
def writer(tiny):
    return tiny("matlab")


@pytest.fixture
def mat(tmp_path, writer):
    def write(version="6", **arrays):
        path = tmp_path / "maps.mat"
        written = (
            writer.mat73_bytes(**arrays)
            if version == "7.3"
            else writer.mat_bytes(version, **arrays)
        )
        path.write_bytes(written)
        return path

    return write


@pytest.mark.parametrize("version", ["6", "7", "7.3"])
def test_pages_are_maps_whatever_the_version(mat, writer, version):
    stack = writer.stack()
    path = mat(
        version,
        didv=stack,
        bias_mV=np.array([-100.0, 0.0, 100.0]),
        extent_nm=np.array([8.0, 10.0]),
    )
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data, np.moveaxis(stack, 2, 0))
    np.testing.assert_allclose(maps.bias_v, [-0.1, 0, 0.1])
    assert maps.extent_nm == (8, 10)
    assert maps.channel == "didv"
    assert "biases from bias_mV, taken as mV" in maps.provenance


def test_level_4_holds_one_map(mat, writer):
    image = writer.stack()[..., 0].astype(float)
    maps = read_maps(mat("4", topo=image, V=0.3, pixel_nm=0.5))
    np.testing.assert_array_equal(maps.data[0], image.astype(np.float32))
    assert maps.bias_v.tolist() == [0.3]
    assert maps.extent_nm == (2, 2.5)


def test_level_5_bytes_by_hand(tmp_path):
    """From the format's description, big-endian, without a library."""
    array = np.arange(24, dtype=">f8").reshape(2, 3, 4)

    def element(kind, content):
        padded = content.ljust(-(-len(content) // 8) * 8, b"\0")
        return struct.pack(">II", kind, len(content)) + padded

    matrix = (
        element(6, struct.pack(">II", 6, 0))  # flags: mxDOUBLE_CLASS
        + element(5, struct.pack(">3i", 2, 3, 4))
        + element(1, b"maps")
        + element(9, array.tobytes(order="F"))
    )
    preamble = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path = tmp_path / "hand.mat"
    packed = zlib.compress(element(14, matrix))
    for whole in (
        element(14, matrix),
        struct.pack(">II", 15, len(packed)) + packed,
    ):
        path.write_bytes(preamble + whole)
        channel = open_recording(path).channels[0]
        assert channel.name == "maps"
        np.testing.assert_array_equal(channel.load(), np.moveaxis(array, 2, 0))


@pytest.mark.parametrize(
    ("shape", "n_biases", "order", "doubt"),
    [
        ((4, 5, 7), 7, "[row, col, bias]", False),
        ((7, 4, 5), 7, "[bias, row, col]", False),
        ((4, 7, 5), 7, "[row, bias, col]", False),
        ((4, 4, 7), 0, "[row, col, bias]", True),
        ((7, 4, 4), 0, "[bias, row, col]", True),
        ((5, 5, 5), 5, "[row, col, bias]", True),
        ((5, 4, 5), 5, "[row, col, bias]", True),
        ((4, 5, 7), 0, "[row, col, bias]", True),
    ],
)
def test_the_axis_of_the_biases(mat, shape, n_biases, order, doubt):
    values = np.random.default_rng(1).normal(size=shape)
    arrays = {"maps": values}
    if n_biases:
        arrays["V"] = np.linspace(-1, 1, n_biases)
    recording = open_recording(mat(**arrays))
    axis = order[1:-1].split(", ").index("bias")
    maps = recording.channels[0].load()
    np.testing.assert_array_equal(maps, np.moveaxis(values, axis, 0))
    [note] = [line for line in recording.notes if "taken as [" in line]
    assert order in note
    assert note.startswith("warning: ") == doubt


def test_arrays_of_one_frame_are_channels(mat, writer):
    stack = writer.stack()
    path = mat(
        I=stack,
        dIdV=3 + writer.stack(2),
        small=stack[:2],
        bias=np.array([0.1, 0.2, 0.3]),
        extent_nm=5.0,
    )
    recording = open_recording(path)
    assert [c.name for c in recording.channels] == ["I", "dIdV"]
    assert read_maps(path).channel == "dIdV"
    assert read_maps(path, channel="I").channel == "I"
    path.with_name("maps.mat.yaml").write_text("key: I\nunit: nA")
    maps = read_maps(path)
    assert (maps.channel, maps.unit) == ("I", "A")
    np.testing.assert_allclose(maps.data[0], 1e-9 * stack[..., 0], rtol=1e-6)
    path.with_name("maps.mat.yaml").write_text("unit: nA")
    with pytest.raises(InputError, match="need a key"):
        read_maps(path)
    path.with_name("maps.mat.yaml").write_text("key: J")
    with pytest.raises(
        InputError, match=r"no array of numbers named 'J'.*dIdV"
    ):
        read_maps(path)


def test_a_sidecar_turns_arrays_saved_as_x_y(mat, writer):
    stack = writer.stack()
    path = mat(maps=stack.transpose(2, 1, 0))
    path.with_name("maps.mat.yaml").write_text("axes: [bias, col, row]")
    maps = read_maps(path, **_OPTIONS)
    np.testing.assert_array_equal(maps.data, np.moveaxis(stack, 2, 0))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"s": {"maps": np.ones((2, 2))}}, r"no maps.*s \(struct\).*-struct"),
        ({"text": "hello"}, r"no maps.*text \(text\)"),
        ({"maps": np.ones((2, 3, 4)) * 1j}, r"no maps.*maps \(complex"),
        ({"maps": np.ones((2, 3, 4, 5))}, "no maps"),
        ({}, "no maps.*nothing"),
    ],
)
def test_files_without_maps(mat, arrays, message):
    with pytest.raises(InputError, match=message):
        read_maps(mat(**arrays), **_OPTIONS)


def test_hdf5_that_lies_or_leads_elsewhere(tmp_path):
    path = tmp_path / "maps.mat"
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["maps"] = values
    with h5py.File(path, "w") as file:
        file["maps"] = h5py.ExternalLink("other.h5", "maps")
    with pytest.raises(InputError, match="no maps"):
        read_maps(path, **_OPTIONS)
    for packed in (None, "gzip"):
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "maps", (10**5, 10**4, 10**4), "f8", compression=packed
            )
        with pytest.raises(InputError):
            read_maps(path, **_OPTIONS)
    layout = h5py.VirtualLayout((3, 4, 5), "f8")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "maps", (3, 4, 5))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("maps", layout)
    with pytest.raises(InputError):
        read_maps(path, **_OPTIONS)


def _level_5_bomb(shape, n_zeros):
    """A compressed array of zeros, whatever its shape promises."""
    head = struct.pack("<6I", 6, 8, 6, 0, 5, 12)
    head += struct.pack("<3i", *shape).ljust(16, b"\0")
    head += struct.pack("<II", 1, 4) + b"maps".ljust(8, b"\0")
    size = 8 * int(np.prod(shape, dtype=object)) % (1 << 32)
    head += struct.pack("<II", 9, size)
    inner = struct.pack("<II", 14, (len(head) + size) % (1 << 32)) + head
    packer = zlib.compressobj(9)
    packed = packer.compress(inner)
    for _ in range(n_zeros >> 20):
        packed += packer.compress(bytes(1 << 20))
    packed += packer.flush()
    preamble = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return preamble + struct.pack("<II", 15, len(packed)) + packed


@pytest.mark.parametrize(
    ("shape", "n_zeros"),
    [
        ((3, 1000, 2**15), 200 << 20),  # a true bomb
        ((2, 1000, 1000), 200 << 20),  # more in the stream than promised
        ((2**15, 2**15, 2**15), 0),  # terabytes, and nothing there
        ((2, 1000, 1000), 0),
    ],
)
def test_bombs_are_not_unpacked(tmp_path, shape, n_zeros):
    path = tmp_path / "bomb.mat"
    path.write_bytes(_level_5_bomb(shape, n_zeros))
    tracemalloc.start()
    with pytest.raises(InputError):
        read_maps(path, **_OPTIONS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20


@pytest.mark.parametrize("version", ["6", "7.3"])
def test_memory_stays_below_four_times_the_file(tmp_path, version):
    path = tmp_path / "maps.mat"
    values = np.random.default_rng(0).normal(size=(100, 100, 40))
    if version == "6":
        savemat(path, {"maps": values})
    else:
        with h5py.File(path, "w") as file:
            file["maps"] = values.T
    tracemalloc.start()
    maps = read_maps(path, bias_v=[n / 40 for n in range(40)], extent_nm=(1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert maps.shape == (40, 100, 100)
    assert peak < 4 * path.stat().st_size


def test_random_damage_gives_a_recording_or_one_line(
    tmp_path, tiny, mutated, refusals
):
    for name, content in tiny("matlab").tiny_files().items():
        path = tmp_path / name
        assert not refusals(path, [content])
        assert len(refusals(path, mutated(content, 40, seed=3))) > 2
