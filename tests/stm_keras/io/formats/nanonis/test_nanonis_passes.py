import numpy as np
import pytest

from stm_keras.io.reader import open_recording, read_maps

WAYS = ("forward", "backward")


@pytest.fixture
def passes(tmp_path, tiny):
    """Writes a multi-pass scan; gives its path and the images in it."""

    def write(biases_v, names=("[P{}]_Z",), **options):
        path = tmp_path / "passes.sxm"
        module = tiny("nanonis_sxm")
        content, images = module.multipass_bytes(biases_v, names, **options)
        path.write_bytes(content)
        return path, images

    return write


@pytest.mark.parametrize("name", ["[P{}]_Z", "[P{}] Z", "Z_[P{}]"])
@pytest.mark.parametrize("scan_dir", ["up", "down"])
def test_passes_of_several_biases_are_a_stack(passes, name, scan_dir):
    biases = [(0.1, 0.2), (-0.3, -0.4), (0.05, 0.06)]
    path, images = passes(biases, (name,), scan_dir=scan_dir)
    for place, way in enumerate(WAYS):
        maps = read_maps(path, channel="Z", direction=way)
        # Each way of each pass has a bias of its own.
        np.testing.assert_allclose(maps.bias_v, [b[place] for b in biases])
        np.testing.assert_array_equal(
            maps.data, [images[number, way] for number in (1, 2, 3)]
        )
        assert any("pass 2 at" in line for line in maps.provenance)
    by_bias = read_maps(path, direction="backward").sorted_by_bias()
    np.testing.assert_array_equal(by_bias.data[0], images[2, "backward"])


def test_every_quantity_has_its_stack(passes):
    names = ("[P{}]_Z", "[P{}]_Current", "[P{}]_LI_Demod_1_X")
    path, images = passes([(0.1, 0.1), (-0.2, -0.2)], names)
    found = {(c.name, c.direction) for c in open_recording(path).channels}
    assert found == {
        (name, way) for name in ("Z", "Current", "LI_Demod_1_X") for way in WAYS
    }
    maps = read_maps(path, channel="LI_Demod_1_X")
    np.testing.assert_array_equal(maps.data[1], images[2, "forward"] + 2)
    assert maps.shape == (2, 5, 4)


def test_passes_of_one_bias_stay_apart(passes):
    names = ("[P{}]_Z", "[P{}]_Current")
    path, images = passes([(0.1, 0.1), (0.1, 0.1)], names)
    names = {channel.name for channel in open_recording(path).channels}
    assert names == {"Z [P1]", "Z [P2]", "Current [P1]", "Current [P2]"}
    maps = read_maps(path, channel="Z [P2]", direction="backward")
    np.testing.assert_array_equal(maps.data[0], images[2, "backward"])
    np.testing.assert_allclose(maps.bias_v, [0.1])
    # The first pass is the topograph that is looked at unless asked.
    assert read_maps(path).channel == "Z [P1]"


def test_a_pass_without_its_own_bias_has_the_scan_s(tmp_path, tiny):
    module = tiny("nanonis_sxm")
    own = {"Bias_override": "TRUE", "Bias_override_value": "-2.0E-1"}
    kept = {"Bias_override": "FALSE", "Bias_override_value": "9.9E+0"}
    lifted = {"Z_Setp_override": "TRUE", "Z_Setp_override_value": "3.000E-10"}
    played = {"Playback": "TRUE", "Playback-Offset": "-1.0E-10"}
    table = module.pass_table([kept, kept, own | lifted, own | played])
    image = np.arange(12.0).reshape(3, 4)
    both = {"forward": image, "backward": image + 1}
    path = tmp_path / "passes.sxm"
    path.write_bytes(
        module.sxm_bytes(
            [("[P1]_Z", "m", both), ("[P2]_Z", "m", both)],
            fields={
                "Multipass-Config": table,
                "Z-Controller>Setpoint unit": "A",
            },
            bias_v="5.0E-2",
        )
    )
    forward, backward = open_recording(path).channels
    np.testing.assert_allclose(forward.bias_v, [0.05, -0.2])
    assert forward.note == (
        "pass 1 at 0.05 V; pass 2 at -0.2 V, set point 3.000E-10 A"
    )
    assert "playing back a former pass, offset -1.0E-10" in backward.note


def test_a_channel_of_one_pass_alone(tmp_path, tiny):
    module = tiny("nanonis_sxm")
    image = {"forward": np.arange(12.0).reshape(3, 4)}
    own = {"Bias_override": "TRUE", "Bias_override_value": "-2.0E-1"}
    path = tmp_path / "passes.sxm"
    path.write_bytes(
        module.sxm_bytes(
            [("[P1]_Z", "m", image), ("[P2]_LI_Demod_1_X", "A", image)],
            fields={"Multipass-Config": module.pass_table([{}, {}, own, own])},
        )
    )
    height, lock_in = open_recording(path).channels
    assert (height.name, lock_in.name) == ("Z", "LI_Demod_1_X")
    assert (height.bias_v, lock_in.bias_v) == (0.01, -0.2)


@pytest.mark.parametrize(
    "table", ["", "\tRecord-Ch", "\tRecord-Ch\n\t1\n\t2\n\t3", "\n\t\n"]
)
def test_no_table_that_fits_the_passes(passes, table):
    path, images = passes([(0.1, 0.1), (-0.2, -0.2)])
    content = path.read_bytes()
    start = content.index(b"\tRecord-Ch")
    end = content.index(b":DATA_INFO:")
    path.write_bytes(content[:start] + table.encode() + b"\n" + content[end:])
    recording = open_recording(path)
    assert "warning: no table of 2 passes" in recording.notes[0]
    maps = read_maps(path, channel="Z [P2]", bias_v=[-0.2])
    np.testing.assert_array_equal(maps.data[0], images[2, "forward"])


def test_channels_that_name_no_pass(passes):
    path, _ = passes([(0.1, 0.1)], ("Z",))
    (note,) = open_recording(path).notes
    assert "no channel names its pass" in note
    assert read_maps(path).bias_v.tolist() == [0.01]


def test_random_damage_gives_maps_or_one_line(passes, mutated, refusals):
    path, _ = passes([(0.1, 0.1), (-0.2, -0.3)])
    content = path.read_bytes()
    copies = mutated(content, 800, 13, content.index(b"\x1a\x04"))
    messages = refusals(path, copies)
    assert len(messages) < 800
    assert len(set(messages)) > 20
