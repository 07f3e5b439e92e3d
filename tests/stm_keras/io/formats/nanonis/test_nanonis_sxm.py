import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps


@pytest.fixture
def scan(tmp_path, sxm_bytes):
    def write(channels, **options):
        path = tmp_path / "scan.sxm"
        path.write_bytes(sxm_bytes(channels, **options))
        return path

    return write


@pytest.mark.parametrize("scan_dir", ["up", "down"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("order", ["MSBFIRST", "LSBFIRST"])
def test_image_is_as_seen(scan, two_channels, scan_dir, direction, order):
    path = scan(two_channels, scan_dir=scan_dir, order=order)
    for name, unit, images in two_channels:
        maps = read_maps(path, channel=name, direction=direction)
        np.testing.assert_array_equal(maps.data[0], images[direction])
        assert (maps.channel, maps.unit) == (name, unit)


def test_units_and_sides(scan, two_channels):
    maps = read_maps(scan(two_channels, size_nm=(6.0, 8.0), bias_v="-2E-1"))
    assert maps.shape == (1, 6, 8)
    np.testing.assert_allclose(maps.extent_nm, (6.0, 8.0))
    np.testing.assert_allclose(maps.bias_v, [-0.2])
    assert "forward" in maps.provenance[0]


def test_channels_of_one_direction(scan, two_channels):
    images = two_channels[0][2]
    channels = [
        ("Current", "A", {"backward": images["forward"] * 2}),
        ("Z", "m", images),
    ]
    path = scan(channels)
    np.testing.assert_array_equal(
        read_maps(path, channel="Z").data[0], images["forward"]
    )
    with pytest.raises(InputError, match="not recorded forward"):
        read_maps(path, channel="Current")


def test_unfinished_scan_keeps_its_lines_unmeasured(scan, two_channels):
    for _, _, images in two_channels:
        images["forward"][:2] = np.nan  # an upward scan stopped early
    maps = read_maps(scan(two_channels, scan_dir="up"))
    assert not maps.mask[:2].any()
    assert maps.mask[2:].all()
    assert "warning: unfinished: 4 of 6 lines scanned" in maps.provenance


def test_running_lock_in_is_chosen(scan, two_channels):
    maps = read_maps(scan(two_channels))
    assert maps.channel == "LI_Demod_1_X"
    assert "dI/dV" in maps.provenance[1]


def test_lock_in_off_by_the_header(scan, two_channels):
    path = scan(two_channels, lock_in="OFF")
    maps = read_maps(path)
    assert maps.channel == "Z"
    assert "LI_Demod_1_X: the file says lock-in off" in maps.provenance[1]
    asked = read_maps(path, channel="LI_Demod_1_X")
    assert "lock-in off" in asked.provenance[1]


def test_lock_in_off_by_its_noise(scan, two_channels):
    rng = np.random.default_rng(2)
    shape = (40, 50)
    images = [rng.normal(size=shape) for _ in range(4)]
    channels = [
        ("Z", "m", {"forward": images[0], "backward": images[1]}),
        ("LIX_1_omega", "A", {"forward": images[2], "backward": images[3]}),
    ]
    maps = read_maps(scan(channels, lock_in="?"))
    assert maps.channel == "Z"
    assert "noise about zero" in maps.provenance[1]


def test_options_take_the_place_of_the_header(scan, two_channels):
    path = scan(two_channels, bias_v="n/a")
    with pytest.raises(InputError, match="--bias"):
        read_maps(path)
    maps = read_maps(path, bias_v=[0.3], extent_nm=(1.0, 2.0))
    assert maps.bias_v.tolist() == [0.3]
    assert maps.extent_nm == (1.0, 2.0)
    assert "bias as given by the user" in maps.provenance
    with pytest.raises(InputError, match="1 maps need as many biases"):
        read_maps(path, bias_v=[0.3, 0.4])


def test_header_text_of_any_kind(scan, two_channels):
    comment = "\xe4\xb5\x85 :SCAN_PIXELS: here\n:SCAN_PIXELS:\n9 9"
    maps = read_maps(scan(two_channels, comment=comment), channel="Z")
    np.testing.assert_array_equal(maps.data[0], two_channels[0][2]["forward"])


@pytest.mark.parametrize("value", [np.nan, 2.5])
def test_empty_and_constant_images(scan, value):
    image = np.full((4, 5), value)
    path = scan([("Z", "m", {"forward": image})])
    with pytest.raises(InputError, match="map 0"):
        read_maps(path)


def test_unknown_channel_lists_the_known(scan, two_channels):
    path = scan(two_channels)
    with pytest.raises(InputError, match="Z, LI_Demod_1_X"):
        read_maps(path, channel="Frequency")
    with pytest.raises(InputError, match="direction"):
        read_maps(path, direction="sideways")  # type: ignore[arg-type]


def test_random_damage_gives_maps_or_one_line(
    tmp_path, sxm_bytes, two_channels, mutated
):
    content = sxm_bytes(two_channels)
    path = tmp_path / "damaged.sxm"
    messages = []
    for copy in mutated(content, 1500, seed=11):
        path.write_bytes(copy)
        try:
            maps = read_maps(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert isinstance(maps, ConductanceMaps)
            assert maps.data.nbytes <= len(copy)
    assert 0 < len(messages) < 1500
    assert not any("\n" in message for message in messages)
