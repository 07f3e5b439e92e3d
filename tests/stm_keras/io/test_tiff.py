import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps

_BIAS = {"bias_v": [0.0, 1.0, 2.0], "extent_nm": (1.0, 1.0)}


@pytest.fixture
def writer(tiny):
    return tiny("tiff")


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "maps.tif"
        path.write_bytes(content)
        return path

    return save


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("options", [{}, {"rows_per_strip": 4, "packed": True}])
def test_pages_by_hand_are_maps(saved, writer, order, dtype, options):
    stack = (99 * np.abs(writer.stack())).astype(dtype)
    path = saved(
        writer.tiff_bytes(stack, order=order, pixel_nm=(0.2, 0.1), **options)
    )
    recording = open_recording(path)
    np.testing.assert_array_equal(recording.channels[0].load(), stack)
    assert recording.extent_nm == pytest.approx((1.2, 0.5))


def test_what_pillow_writes(tmp_path, writer):
    images = [Image.fromarray(image) for image in writer.stack()]
    path = tmp_path / "maps.tiff"
    images[0].save(path, save_all=True, append_images=images[1:])
    maps = read_maps(path, **_BIAS)
    np.testing.assert_array_equal(maps.data, writer.stack())


@pytest.mark.parametrize(
    ("unit", "nm"),
    [("nm", 1), ("\\u00B5m", 1e3), ("\\u00C5", 0.1), ("micron", 1e3)],
)
def test_size_and_biases_of_imagej(saved, writer, unit, nm):
    metadata = {"unit": unit, "axes": "ZYX"}
    metadata["Labels"] = ["V=-0.1 V", "map at 0 mV", "2.5e2 mV (up)"]
    path = saved(
        writer.written(
            writer.stack(),
            imagej=True,
            resolution=(10, 20),
            metadata=metadata,
        )
    )
    maps = read_maps(path)
    np.testing.assert_allclose(maps.bias_v, [-0.1, 0, 0.25])
    assert maps.extent_nm == pytest.approx((6 * nm / 20, 5 * nm / 10))
    assert "biases from the slices' labels" in maps.provenance


@pytest.mark.parametrize("labels", [["1 V", "2 V", "none"], ["1 V 2 V"] * 3])
def test_labels_that_are_no_biases(saved, writer, labels):
    metadata = {"Labels": labels, "axes": "ZYX"}
    path = saved(writer.written(writer.stack(), imagej=True, metadata=metadata))
    with pytest.raises(InputError, match=r"bias of map 0.*--bias"):
        read_maps(path, extent_nm=(1, 1))


def test_a_large_stack_of_imagej_has_one_page(saved, writer):
    stack = writer.stack()
    text = b"ImageJ=1.53t\nimages=3\nslices=3\nunit=nm\n\0"
    whole = writer.tiff_bytes(
        stack.reshape(1, 18, 5),
        tags={270: (2, text), 257: (4, [6]), 278: (4, [6]), 279: (4, [120])},
        order=">",
    )
    channel = open_recording(saved(whole)).channels[0]
    np.testing.assert_array_equal(channel.load(), stack)
    lying = whole.replace(b"images=3", b"images=9")
    with pytest.raises(InputError, match="promises more"):
        open_recording(saved(lying))


def test_size_in_ome(saved, writer):
    size = {"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "nm"}
    size |= {"PhysicalSizeY": 2e-4, "PhysicalSizeYUnit": "µm"}
    path = saved(
        writer.written(
            writer.stack(), ome=True, metadata={"axes": "ZYX", **size}
        )
    )
    assert read_maps(path, bias_v=[0, 1, 2]).extent_nm == pytest.approx(
        (1.2, 0.5)
    )


def test_a_printers_resolution_is_no_size(saved, writer):
    path = saved(writer.tiff_bytes(writer.stack(), pixel_nm=(35e4, 35e4)))
    with pytest.raises(InputError, match="--extent-nm"):
        read_maps(path, bias_v=[0, 1, 2])
    path.with_name("maps.yml").write_text("pixel_nm: 0.1\nunit: pA")
    maps = read_maps(path, bias_v=[0, 1, 2])
    assert maps.extent_nm == pytest.approx((0.6, 0.5))
    np.testing.assert_allclose(maps.data, 1e-12 * writer.stack(), rtol=1e-6)


@pytest.mark.parametrize(
    ("orientation", "rows", "columns"),
    [(1, 1, 1), (2, 1, -1), (3, -1, -1), (4, -1, 1)],
)
def test_row_0_is_the_top(saved, writer, orientation, rows, columns):
    stack = writer.stack()
    stored = stack[:, ::rows, ::columns]
    tags = {274: (3, [orientation])}
    channel = open_recording(
        saved(writer.tiff_bytes(stored, tags=tags))
    ).channels[0]
    np.testing.assert_array_equal(channel.load(), stack)


def test_three_planes_of_floats_are_maps(tmp_path, writer):
    path = tmp_path / "maps.tif"
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(path, writer.stack())
    np.testing.assert_array_equal(
        open_recording(path).channels[0].load(), writer.stack()
    )


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({259: (3, [5])}, r"compressed in a way.*\(5\)"),
        ({317: (3, [3])}, "predictor"),
        ({274: (3, [6])}, "rows and columns exchanged"),
        ({257: (4, [2**31])}, "promises more"),
        ({256: (4, [2**32 - 1])}, "promises more"),
        ({273: (4, [2**31])}, "promises more"),
        ({279: (4, [0])}, "promises more"),
        ({278: (4, [0])}, "."),
        ({258: (3, [1])}, "."),
        ({339: (3, [6])}, "no pages of plain numbers"),
        ({322: (4, [2**20]), 323: (4, [2**20])}, "."),
    ],
)
def test_tags_that_lie(saved, writer, tags, message):
    path = saved(writer.tiff_bytes(writer.stack(), tags=tags))
    with pytest.raises(InputError, match=message) as error:
        read_maps(path, **_BIAS)
    assert "\n" not in str(error.value)


def test_colours_and_pages_that_differ(saved, writer, tmp_path):
    colours = np.zeros((4, 5, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "maps.tif")
    with pytest.raises(InputError, match="holds colours"):
        open_recording(tmp_path / "maps.tif")
    sizes = [Image.fromarray(np.eye(n, dtype="f4")) for n in (3, 4)]
    sizes[0].save(tmp_path / "maps.tif", save_all=True, append_images=sizes[1:])
    with pytest.raises(InputError, match="page 1 has 4 x 4 px, the first 3"):
        open_recording(tmp_path / "maps.tif")


def test_pages_in_a_circle(saved, writer):
    once = writer.tiff_bytes(writer.stack())
    first = struct.unpack_from("<I", once, 4)[0]
    path = saved(writer.tiff_bytes(writer.stack(), next_page=first))
    with pytest.raises(InputError, match="circle"):
        open_recording(path)


def test_a_bomb_is_not_unpacked(saved, writer):
    page = np.zeros((1, 4000, 4000), np.float32)
    bomb = writer.tiff_bytes(
        page[:, :2, :2],
        packed=True,
        tags={256: (4, [20000]), 257: (4, [20000]), 278: (4, [20000])},
    )
    packer = zlib.compressobj(9)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300))
    zeros += packer.flush()
    at = len(bomb)
    bomb = bytearray(bomb + zeros)
    # Where the first page's strip lies and how long it is.
    tags = struct.unpack_from("<I", bomb, 4)[0] + 2
    for entry in range(10):
        code = struct.unpack_from("<H", bomb, tags + 12 * entry)[0]
        if code in (273, 279):
            value = at if code == 273 else len(zeros)
            struct.pack_into("<I", bomb, tags + 12 * entry + 8, value)
    path = saved(bytes(bomb))
    tracemalloc.start()
    with pytest.raises(InputError, match="promises more"):
        open_recording(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20


def test_memory_stays_below_four_times_the_file(tmp_path):
    path = tmp_path / "maps.tif"
    stack = np.random.default_rng(0).normal(size=(40, 100, 100)).astype("f4")
    tifffile.imwrite(path, stack)
    tracemalloc.start()
    read_maps(path, bias_v=[n / 40 for n in range(40)], extent_nm=(1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * path.stat().st_size


def test_random_damage_gives_a_recording_or_one_line(
    tmp_path, tiny, mutated, refusals, capfd
):
    for name, content in tiny("tiff").tiny_files().items():
        path = tmp_path / name
        assert not refusals(path, [content])
        assert len(refusals(path, mutated(content, 40, seed=3))) > 2
    assert capfd.readouterr().err == ""  # nothing from the library's log
