import math

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.io.sidecar import KEYS, read_sidecar

_NM = st.floats(1e-3, 1e6)
_V = st.floats(-10, 10)
_WHOLE = """
bias_v: [-0.1, 0, 1e-1]
extent_nm: [8, 10]
channel: LI Demod 1 X
unit: nS
"""


@pytest.fixture
def beside(tmp_path):
    """Writes a bare stack and its sidecar; gives the stack's path."""
    stack = np.random.default_rng(2).normal(size=(3, 4, 5))

    def write(text, array=stack, suffix=".yaml"):
        path = tmp_path / "maps.npy"
        np.save(path, array)
        content = text if isinstance(text, bytes) else text.encode()
        (tmp_path / f"maps.npy{suffix}").write_bytes(content)
        return path

    write.stack = stack
    return write


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_sidecar_gives_an_array_its_units(beside, suffix):
    maps = read_maps(beside(_WHOLE, suffix=suffix))
    np.testing.assert_allclose(maps.bias_v, [-0.1, 0, 0.1])
    assert maps.extent_nm == (8, 10)
    assert (maps.channel, maps.unit) == ("LI Demod 1 X", "S")
    np.testing.assert_allclose(maps.data, 1e-9 * beside.stack, rtol=1e-6)
    assert any("as maps.npy.yaml says" in n for n in maps.provenance) or (
        suffix == ".yml"
    )


def test_the_name_without_the_suffix_will_do(beside, tmp_path):
    path = beside(_WHOLE)
    (tmp_path / "maps.npy.yaml").rename(tmp_path / "maps.yaml")
    assert read_maps(path).extent_nm == (8, 10)
    (tmp_path / "maps.npy.yml").write_text(_WHOLE)
    with pytest.raises(InputError, match=r"two sidecars, maps.npy.yml and ma"):
        read_maps(path)


@pytest.mark.parametrize(
    ("bias", "values"),
    [
        ("{first: -0.1, last: 0.1, count: 3}", [-0.1, 0, 0.1]),
        ("{first: 0.1, last: -0.1, step: 0.1}", [0.1, 0, -0.1]),
        ("{first: 0.1, last: -0.1}", [0.1, 0, -0.1]),
        ("{first: 1e-1, step: -5e-2}", [0.1, 0.05, 0]),
        ("{first: 0, step: 0.3, count: 3}", [0, 0.3, 0.6]),
    ],
)
def test_biases_that_step(beside, bias, values):
    path = beside(f"bias: {bias}\nextent_nm: 3")
    np.testing.assert_allclose(read_maps(path).bias_v, values, atol=1e-12)
    assert read_maps(path).extent_nm == (3, 3)


def test_orders_of_axes_and_rows(beside):
    stack = beside.stack
    turned = stack.transpose(1, 2, 0)[::-1]
    text = "axes: [row, col, bias]\nrow0: bottom\npixel_nm: [0.5, 0.25]\n"
    maps = read_maps(beside(text, turned), bias_v=[0, 1, 2])
    np.testing.assert_array_equal(maps.data, stack.astype(np.float32))
    assert maps.extent_nm == (2, 1.25)
    text = "axes: [col, row]\nextent_nm: 1\nbias_v: 0.3"
    maps = read_maps(beside(text, stack[1].T))
    np.testing.assert_array_equal(maps.data[0], stack[1].astype(np.float32))


def test_the_placement(beside):
    text = _WHOLE + "centre_nm: [3, -4]\nangle_deg: 90\n"
    maps = read_maps(beside(text))
    # The top left corner, at 90 degrees, lies below and left of the centre.
    np.testing.assert_allclose(
        maps.scanner_nm([[-0.5, -0.5]]), [[3 - 4, -4 - 5]]
    )
    with pytest.raises(InputError, match="angle_deg needs centre_nm"):
        read_maps(beside(_WHOLE + "angle_deg: 3"))


def test_it_takes_the_place_of_what_the_file_says(tmp_path):
    stack = np.random.default_rng(0).normal(size=(2, 4, 4))
    path = tmp_path / "maps.npz"
    own = {"bias_v": [1, 2], "extent_nm": [9, 9], "unit": "A", "channel": "I"}
    placed = {"centre_nm": [1.0, 2.0], "angle_deg": 5.0}
    np.savez(path, maps=stack, other=stack + 1, **own, **placed)
    (tmp_path / "maps.npz.yaml").write_text(
        "key: other\nbias_v: [0.1, 0.2]\nangle_deg: 7"
    )
    maps = read_maps(path)
    np.testing.assert_allclose(maps.data, stack + 1, rtol=1e-6)
    assert maps.bias_v.tolist() == [0.1, 0.2]
    assert (maps.extent_nm, maps.channel, maps.unit) == ((9, 9), "I", "A")
    assert maps.placement.centre_nm == (1, 2)
    assert maps.placement.angle_deg == 7
    assert any(
        "bias, key, angle: as maps.npz.yaml says" in note
        for note in maps.provenance
    )


@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    known=st.fixed_dictionaries(
        {},
        optional={
            "bias_v": st.lists(_V, min_size=1, max_size=5),
            "extent_nm": st.tuples(_NM, _NM).map(list),
            "channel": st.text(
                # Spaces of other kinds are not printed as they are.
                st.characters(
                    codec="utf-8",
                    exclude_categories=("C", "Z"),
                    include_characters=" ",
                ),
                max_size=30,
            ),
            "row0": st.sampled_from(["top", "bottom"]),
            "axes": st.permutations(["bias", "row", "col"]),
            "key": st.sampled_from(["maps", "off", "1:30", "null", "1e-3"]),
            "centre_nm": st.tuples(_V, _V).map(list),
            "angle_deg": st.floats(-360, 360),
        },
    )
)
def test_round_trip(tmp_path, known):
    text = yaml.safe_dump(known, allow_unicode=True)
    (tmp_path / "maps.npy.yaml").write_text(text, encoding="utf-8")
    back = read_sidecar(tmp_path / "maps.npy")
    for key, value in known.items():
        if key == "row0":
            assert back.bottom_first == (value == "bottom")
        elif key == "channel":
            assert back.channel == value.strip()
        else:
            expected = tuple(value) if isinstance(value, list) else value
            assert getattr(back, key) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bias: 3\n", "bias must be {first, last, count}"),
        ("bias: {first: 0}", "bias must be"),
        ("bias: {first: 0, last: 1, width: 3}", "bias must be"),
        ("bias: {first: 0, step: 0}", "bias must be"),
        ("bias: {first: 0, last: 1, count: 2.5}", "bias must be"),
        ("bias: {first: 0, last: 1, count: 4}", "4 biases.* 3 map"),
        ("bias: {first: 0, last: 1, step: 1e-300}", "biases.* 3 map"),
        ("bias_v: [0, 1]", "2 biases, the file 3 map"),
        ("bias_v: [0, 1, .nan]", "bias_v must be a list"),
        ("bias_v: [0, 1, off]", "bias_v must be a list.*off"),
        ("bias_v: []", "bias_v must be a list"),
        ("bias_v: [0, [1], 2]", "bias_v must be a list"),
        ("bias_v: [0,1,2]\nbias: {first: 1, step: 1}", "keep one"),
        ("extent_nm: [1, 2, 3]", "extent_nm must be height and width"),
        ("extent_nm: -3", "extent_nm must be height and width"),
        ("extent_nm:", "extent_nm must be height and width"),
        ("extent_nm: 3\npixel_nm: 1", "keep one"),
        ("channel: [a]", "channel must be a text"),
        ("row0: up", "row0 must be top or bottom. Got: up"),
        ("axes: [x, y]", "axes must be a list of bias, row and col"),
        ("axes: [row, col]", "axes names 2 axes.*3, 4, 5"),
        ("centre_nm: 3", "centre_nm must be x and y"),
        ("angle_deg: east", "angle_deg must be an angle"),
        ("extents: 3", "unknown key 'extents'. Known: bias_v, bias"),
        ("- 3", "no keys"),
        ("just a text", "no keys"),
        ("unit: nS\nunit: S", "line 2: 'unit' is given twice"),
        ("unit: [", "line 2: no readable YAML"),
        ("unit: nS\n\tx: 3", "line 2: no readable YAML"),
        ("? [a]\n: 3", "line 1: a key must be a word"),
        ("unit: &a nS", "anchors and aliases"),
        ("unit: *a", "(anchors and aliases|undefined alias)"),
        ("unit: !!python/object/apply:os.system [ls]", "tags"),
        ("unit: nS\n---\nunit: S", "no readable YAML"),
        (b"unit: \xb5S", "no readable YAML"),
        (b"\xff\xfe\x00", "no readable YAML"),
        ("[" * 60000, "nested too deeply"),
        ("{a: " * 9000, "nested too deeply"),
        ("#" * 70000, "larger than"),
        ("channel: " + "x" * 3000, "channel must be a text"),
    ],
)
def test_wrong_sidecars(beside, text, message):
    path = beside(text)
    with pytest.raises(InputError, match=message) as error:
        read_maps(path, bias_v=None, extent_nm=(1, 1))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert "maps.npy.yaml" in str(error.value)


def test_a_billion_laughs(beside):
    lines = ["a: &a [x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    with pytest.raises(InputError, match="line 1: anchors and aliases"):
        read_sidecar(beside("\n".join(lines)))


def test_an_empty_sidecar_says_nothing(beside):
    assert read_sidecar(beside("# units follow\n")).unit is None
    (path := beside("")).with_name("maps.npy.yaml").unlink()
    assert read_sidecar(path) is None


def test_every_key_is_told_in_the_documentation():
    from stm_keras.io import sidecar

    for key in KEYS:
        assert f"{key}" in (sidecar.__doc__ or "")


def test_random_damage_gives_a_sidecar_or_one_line(beside, mutated):
    text = _WHOLE + "bias: {first: 1, step: 2}\naxes: [bias, row, col]\n"
    path = beside(text)
    sidecar = path.with_name("maps.npy.yaml")
    messages = []
    for copy in mutated(text.encode(), 1500, seed=4):
        sidecar.write_bytes(copy)
        try:
            found = read_sidecar(path)
        except InputError as error:
            messages.append(str(error))
        else:
            assert found is not None
            assert found.angle_deg is None or math.isfinite(found.angle_deg)
    assert len(messages) > 300
    assert not any("\n" in message for message in messages)
