import tracemalloc

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording, read_maps


@pytest.fixture
def gwy(tiny):
    return tiny("gwyddion")


@pytest.fixture
def write(tmp_path, gwy):
    def save(*components, content=None):
        path = tmp_path / "file.gwy"
        path.write_bytes(content or gwy.gwy_file(*components))
        return path

    return save


@pytest.fixture
def image():
    return np.random.default_rng(2).normal(size=(6, 8)) + 4


def test_rows_from_the_top_and_units(write, gwy, image):
    path = write(
        ("/0/data", "o", gwy.field(image, size_m=(6e-9, 4e-9))),
        ("/0/data/title", "s", "dI/dV 50 mV"),
    )
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data[0], image.astype(np.float32))
    assert maps.extent_nm == pytest.approx((6, 4))
    assert (maps.channel, maps.unit) == ("dI/dV", "A")
    assert maps.bias_v.tolist() == [0.05]


def test_images_of_several_biases_are_a_stack(write, gwy):
    recording = open_recording(write(content=gwy.images()))
    by_name = {(c.name, c.direction): c for c in recording.channels}
    assert set(by_name) == {
        *(("dI/dV", "forward"), ("dI/dV", "backward"), ("Z", "forward")),
    }
    stack = by_name["dI/dV", "backward"]
    assert stack.bias_v.tolist() == [-0.05, 0.1]
    assert stack.load().shape == (2, 6, 8)
    assert not stack.sweep


def test_images_of_one_bias_stay_apart(write, gwy, image):
    parts = []
    for n, shift in enumerate((0, 1)):
        parts += [
            (f"/{n}/data", "o", gwy.field(image + shift)),
            (f"/{n}/data/title", "s", "dI/dV"),
            (f"/{n}/meta", "o", gwy.meta(Bias="0.1")),
        ]
    path = write(*parts)
    names = [channel.name for channel in open_recording(path).channels]
    assert names == ["dI/dV", "dI/dV 2"]
    second = read_maps(path, channel="dI/dV 2")
    np.testing.assert_allclose(second.data[0], image + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("texts", "bias_v"),
    [
        ({"Bias": "50 mV"}, 0.05),
        ({"Bias (mV)": "-20"}, -0.02),
        ({"V_gap": "0.3 V"}, 0.3),
        ({"Bias voltage": "1.5E-1"}, 0.15),
        ({"Bias>Bias (V)": "0.2"}, 0.2),
        ({"Scan angle": "30 deg"}, np.nan),
        ({"Bias": "off"}, np.nan),
        ({"Tip bias": "0.2"}, np.nan),
    ],
)
def test_bias_in_metadata(write, gwy, image, texts, bias_v):
    path = write(
        ("/0/data", "o", gwy.field(image)),
        ("/0/data/title", "s", "dI/dV"),
        ("/0/meta", "o", gwy.meta(**texts)),
    )
    recording = open_recording(path)
    np.testing.assert_allclose(recording.channels[0].bias_v, [bias_v])
    assert recording.metadata == texts


@pytest.mark.parametrize(
    ("title", "parts"),
    [
        ("Z (Forward)", ("Z", "forward")),
        ("Z (Backward)", ("Z", "backward")),
        ("Current [bwd]", ("Current", "backward")),
        ("HeightRetrace", ("Height", "backward")),
        ("HeightTrace", ("Height", "forward")),
        ("Backtrace", ("Backtrace", "forward")),
        ("LI_Demod_1_X backward", ("LI_Demod_1_X", "backward")),
        ("Forward", ("Forward", "forward")),
        ("", ("Data 0", "forward")),
    ],
)
def test_direction_in_the_title(write, gwy, image, title, parts):
    named = [("/0/data/title", "s", title)] if title else []
    path = write(("/0/data", "o", gwy.field(image)), *named)
    (channel,) = open_recording(path).channels
    assert (channel.name, channel.direction) == parts


def test_volume_along_the_bias(write, gwy):
    cube = 2 + np.random.default_rng(3).normal(size=(5, 4, 6))
    title = ("/brick/0/title", "s", "dI/dV")
    path = write(("/brick/0", "o", gwy.brick(cube, sweep=(-0.1, 0.05))), title)
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data, cube.astype(np.float32))
    np.testing.assert_allclose(maps.bias_v, [-0.1, -0.05, 0, 0.05, 0.1])
    uneven = [-100, -50, 0, 10, 200]
    path = write(
        ("/brick/0", "o", gwy.brick(cube, points=uneven, z_unit="mV")), title
    )
    np.testing.assert_allclose(read_maps(path).bias_v, np.array(uneven) / 1e3)


def test_current_over_a_volume_is_differentiated(write, gwy):
    bias = np.arange(5)[:, None, None] * 0.1 - 0.2
    slope = 1e-9 * (2 + np.arange(24).reshape(4, 6))
    path = write(
        ("/brick/0", "o", gwy.brick(slope * bias, sweep=(-0.2, 0.1))),
        ("/brick/0/title", "s", "Current"),
    )
    maps = read_maps(path)
    assert maps.unit == "S"
    np.testing.assert_allclose(
        maps.data, np.broadcast_to(slope, (5, 4, 6)), rtol=1e-5
    )


def test_a_third_axis_of_another_kind_has_no_bias(write, gwy):
    cube = np.random.default_rng(3).normal(size=(5, 4, 6))
    path = write(("/brick/0", "o", gwy.brick(cube, z_unit="m")))
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    assert read_maps(path, bias_v=np.arange(5) / 5).shape == (5, 4, 6)


def test_place_of_the_frame(write, gwy, image):
    field = gwy.field(image, size_m=(6e-9, 8e-9), offset_m=(10e-9, 20e-9))
    path = write(("/0/data", "o", field), ("/0/data/title", "s", "Z 1 V"))
    # Gwyddion's y points down, the scanner's up.
    maps = read_maps(path)
    assert maps.placement.centre_nm == pytest.approx((14, -23))
    corner = np.ravel(maps.scanner_nm([(-0.5, -0.5)]))
    assert corner == pytest.approx((10, -20))


def test_log_and_mask_are_said(write, gwy, image):
    path = write(
        ("/0/data", "o", gwy.field(image)),
        ("/0/data/title", "s", "Z 1 V"),
        ("/0/mask", "o", gwy.field(image > 4)),
        (
            "/0/data/log",
            "o",
            gwy.gwy_object(
                "GwyStringList",
                ("strings", "S", ["proc::level()@2020-01-01", "tool::crop"]),
            ),
        ),
    )
    provenance = read_maps(path).provenance
    assert "in Gwyddion: proc::level, tool::crop" in provenance
    assert "the mask of Z is not applied" in provenance


def test_other_sizes_are_left_out_and_said(write, gwy, image):
    cube = 2 + np.random.default_rng(3).normal(size=(5, 3, 3))
    path = write(
        ("/0/data", "o", gwy.field(image)),
        ("/0/data/title", "s", "Z"),
        ("/brick/0", "o", gwy.brick(cube)),
        ("/brick/0/title", "s", "dI/dV"),
    )
    recording = open_recording(path)
    assert recording.shape == (3, 3)
    (note,) = recording.notes
    assert note.startswith("warning: ")
    assert "left out: Z" in note


@pytest.mark.parametrize(("xres", "yres"), [(8, 7), (0, 6), (-8, -6), (1, 1)])
def test_sizes_that_do_not_fit(write, gwy, image, xres, yres):
    field = gwy.field(image)
    for name, value in (("xres", xres), ("yres", yres)):
        place = field.index(name.encode()) + len(name) + 2
        field = (
            field[:place]
            + value.to_bytes(4, "little", signed=True)
            + (field[place + 4 :])
        )
    with pytest.raises(InputError, match=r"promises.*the file holds 48"):
        open_recording(write(("/0/data", "o", field)))


def test_terabytes_are_not_allocated(write, gwy, image):
    content = write(("/0/data", "o", gwy.field(image))).read_bytes()
    place = content.index(b"data\0D") + 6
    lying = content[:place] + b"\xff\xff\xff\xff" + content[place + 4 :]
    tracemalloc.start()
    with pytest.raises(InputError, match="truncated"):
        open_recording(write(content=lying))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


def test_nested_without_end(write, gwy):
    nested = gwy.unit("m")
    for _ in range(3000):
        nested = gwy.gwy_object("GwyContainer", ("a", "o", nested))
    with pytest.raises(InputError, match="nested"):
        open_recording(write(("/0/data", "o", nested)))


def test_nothing_to_read(write, gwy):
    with pytest.raises(InputError, match="no image and no volume"):
        open_recording(write(("/filename", "s", "x")))


def test_a_foreign_code_page(write, gwy, image):
    content = gwy.gwy_file(
        ("/0/data", "o", gwy.field(image)), ("/0/data/title", "s", "Q Z")
    ).replace(b"Q Z", b"\xb5 Z")
    (channel,) = open_recording(write(content=content)).channels
    assert channel.name == "µ Z"


def test_the_library_reads_the_same(write, gwy, tmp_path):
    objects = pytest.importorskip("gwyfile").objects
    path = write(content=gwy.images())
    theirs = objects.GwyObject.fromfile(str(path))
    ours = {(c.name, c.direction): c for c in open_recording(path).channels}
    np.testing.assert_array_equal(
        theirs["/2/data"].data, ours["dI/dV", "forward"].load()[1]
    )


def test_what_the_library_writes(tmp_path, image):
    objects = pytest.importorskip("gwyfile").objects
    container = objects.GwyContainer()
    container["/0/data"] = objects.GwyDataField(
        image, xreal=8e-9, yreal=6e-9, si_unit_xy="m", si_unit_z="S"
    )
    container["/0/data/title"] = "Lockin 0.1 V"
    path = tmp_path / "theirs.gwy"
    container.tofile(str(path))
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.data[0], image.astype(np.float32))
    assert (maps.unit, maps.extent_nm) == ("S", pytest.approx((6, 8)))


def test_damaged_files_are_refused_or_read(tmp_path, gwy, mutated, refusals):
    refused = 0
    for n, content in enumerate(gwy.tiny_files().values()):
        copies = mutated(content, 60, seed=n)
        refused += len(refusals(tmp_path / "file.gwy", copies))
    assert refused > 20
