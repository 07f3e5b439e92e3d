import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.io.reader import open_recording, read_maps
from stm_keras.maps import ConductanceMaps, Placement

_SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=5)
_VALUES = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))


@pytest.fixture
def parts():
    rng = np.random.default_rng(1)
    return {
        "maps": rng.normal(size=(3, 4, 5)),
        "bias_v": np.array([-0.1, 0.0, 0.1]),
        "extent_nm": np.array([8.0, 10.0]),
    }


@pytest.fixture
def npz(tmp_path):
    def write(parts, compressed=True):
        path = tmp_path / "maps.npz"
        (np.savez_compressed if compressed else np.savez)(path, **parts)
        return path

    return write


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    data=hnp.arrays(np.float32, _SHAPES, elements=_VALUES),
    extent=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
    text=st.text(st.characters(min_codepoint=32, max_codepoint=126)),
)
def test_round_trip(tmp_path, data, extent, text):
    bias = np.linspace(-1, 1, len(data))
    try:
        maps = ConductanceMaps(
            data,
            bias,
            extent,
            text.strip(),
            "A",
            provenance=("made", "cut"),
            placement=Placement((extent[0], -3.0), 30.0),
        )
    except InputError:
        return  # nothing to see in these maps
    path = tmp_path / "maps.npz"
    write_npz(maps, path)
    back = read_maps(path)
    np.testing.assert_array_equal(back.data, maps.data)
    np.testing.assert_array_equal(back.bias_v, maps.bias_v)
    assert back.extent_nm == maps.extent_nm
    assert (back.channel, back.unit) == (maps.channel, "A")
    assert back.provenance[:2] == ("made", "cut")
    assert back.placement == maps.placement


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8", "<i2", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_real_type_and_order(npz, parts, dtype, order):
    values = np.arange(60).reshape(3, 4, 5)
    parts["maps"] = np.asarray(values, dtype=dtype, order=order)
    np.testing.assert_array_equal(read_maps(npz(parts)).data, values)


def test_one_map_needs_no_first_axis(npz, parts):
    parts |= {"maps": parts["maps"][0], "bias_v": 0.2}
    maps = read_maps(npz(parts))
    assert maps.shape == (1, 4, 5)
    assert maps.bias_v.tolist() == [0.2]


def test_infinite_values_are_masked_and_said(npz, parts):
    parts["maps"][0, 1, 1] = np.inf
    maps = read_maps(npz(parts))
    assert not maps.mask[1, 1]
    assert "1 infinite" in maps.provenance[-1]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("maps", "key 'maps' is missing"),
        ("bias_v", "bias of map 0.*--bias"),
        ("extent_nm", "--extent-nm"),
    ],
)
def test_missing_key(npz, parts, key, message):
    del parts[key]
    with pytest.raises(InputError, match=message):
        read_maps(npz(parts))


def test_options_stand_in_for_keys(npz, parts):
    path = npz({"maps": parts["maps"]})
    maps = read_maps(path, bias_v=[1, 2, 3], extent_nm=(4.0, 5.0))
    assert maps.bias_v.tolist() == [1, 2, 3]
    assert maps.extent_nm == (4.0, 5.0)


def test_maps_of_differing_size(npz, parts):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.ones((3, 3)), np.ones((4, 4))]
    with pytest.raises(InputError, match=r"pickled.*differ in size"):
        read_maps(npz(parts | {"maps": ragged}))


def test_pickles_are_never_loaded(npz, parts, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").write_text, ("x",))

    trap = np.array([Trap()], dtype=object)
    for key in ("maps", "bias_v", "extent_nm"):
        with pytest.raises(InputError, match="pickled"):
            read_maps(npz(parts | {key: trap}))
    np.save(tmp_path / "trap.npy", trap)
    with pytest.raises(InputError, match="pickled"):
        read_maps(tmp_path / "trap.npy", bias_v=[0], extent_nm=(1, 1))
    assert not tmp_path.joinpath("sprung").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias_v": np.array([0.1])}, "3 maps need as many biases"),
        ({"bias_v": np.array([0.1, np.nan, 0])}, "bias of map 1"),
        ({"extent_nm": np.array([1.0])}, "height and width"),
        ({"extent_nm": np.array([1.0, -1.0])}, "extent"),
        ({"maps": np.ones((3, 4, 5), complex)}, "real numbers"),
        ({"maps": np.array(["a", "b"])}, "real numbers"),
        ({"maps": np.zeros((3, 0, 5))}, "shape"),
        ({"maps": np.zeros((3, 4, 5))}, "same value"),
        ({"maps": np.full((3, 4, 5), np.nan)}, "all NaN"),
        ({"maps": np.zeros((1, 3, 4, 5))}, "shape"),
        ({"maps": np.float64(3)}, "shape"),
        ({"channel": np.array([1.0])}, "text"),
    ],
)
def test_wrong_content(npz, parts, change, message):
    with pytest.raises(InputError, match=message):
        read_maps(npz(parts | change))


def _zip_of(path, content, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("maps.npy", content)
    return path


def _npy(shape, body=b""):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return header.getvalue() + body


def test_zip_bomb_is_not_unpacked(tmp_path):
    n_bytes = 100 << 20
    path = _zip_of(tmp_path / "bomb.npz", bytes(n_bytes))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match="would unpack"):
        read_maps(path)


@pytest.mark.parametrize(
    "shape", [(10**6, 10**6, 10**6), (-1, 4, 4), (0, 10**30), (1,) * 70, (2, 2)]
)
def test_lying_array_headers(tmp_path, shape):
    content = _npy(shape, b"1234")
    path = _zip_of(tmp_path / "lie.npz", content)
    with pytest.raises(InputError, match="promises"):
        read_maps(path)
    (tmp_path / "lie.npy").write_bytes(content)
    with pytest.raises(InputError, match="promises"):
        read_maps(tmp_path / "lie.npy", bias_v=[0], extent_nm=(1, 1))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_unpack_without_bound(tmp_path, method):
    path = _zip_of(tmp_path / "odd.npz", _npy((2, 2), bytes(16)), method)
    with pytest.raises(InputError, match="packed"):
        read_maps(path)


def test_no_array_at_all(tmp_path):
    path = _zip_of(tmp_path / "text.npz", b"hello")
    with pytest.raises(InputError, match="no readable NumPy array"):
        read_maps(path)


def test_npy_says_which_option_is_missing(tmp_path, parts):
    path = tmp_path / "maps.npy"
    np.save(path, parts["maps"])
    with pytest.raises(InputError, match="--bias"):
        read_maps(path, extent_nm=(8, 10))
    with pytest.raises(InputError, match="--extent-nm"):
        read_maps(path, bias_v=[1, 2, 3])
    maps = read_maps(path, bias_v=[1, 2, 3], extent_nm=(8, 10))
    np.testing.assert_array_equal(maps.data, parts["maps"].astype(np.float32))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated"):
        read_maps(path, bias_v=[1, 2, 3], extent_nm=(8, 10))


@pytest.mark.parametrize(
    ("suffix", "compressed"), [(".npz", True), (".npz", False), (".npy", False)]
)
def test_random_damage_gives_maps_or_one_line(
    npz, parts, tmp_path, mutated, suffix, compressed
):
    if suffix == ".npz":
        content = npz(parts, compressed).read_bytes()
        options, part = {}, None
    else:
        np.save(tmp_path / "maps.npy", parts["maps"])
        content = (tmp_path / "maps.npy").read_bytes()
        # Damage to the numbers themselves gives other numbers.
        options = {"bias_v": [0, 1, 2], "extent_nm": (1.0, 1.0)}
        part = 128
    path = tmp_path / f"damaged{suffix}"
    messages = []
    for copy in mutated(content, 250, seed=23, damaged_part=part):
        path.write_bytes(copy)
        try:
            maps = read_maps(path, **options)
        except InputError as error:
            messages.append(str(error))
        else:
            assert maps.data.size <= len(content)
    assert len(messages) > 60
    assert not any("\n" in message for message in messages)


def test_a_failed_write_leaves_the_old_file(tmp_path, npz, parts, monkeypatch):
    path = npz(parts)
    before = path.read_bytes()
    maps = read_maps(path)

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="No space"):
        write_npz(maps, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_archive_is_told_in_a_short_line(npz, parts):
    path = npz(parts | {"more": np.arange(2000)}, compressed=False)
    content = bytearray(path.read_bytes())
    # A member's name of 3000 bytes: the length lies 4 bytes before it.
    struct.pack_into("<H", content, content.index(b"maps.npy") - 4, 3000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged .npz \(File name") as error:
        read_maps(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_a_sparse_array_larger_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "sparse.npy"
    shape = (1, 50_000, 50_000)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + 8 * shape[1] * shape[2])
    with pytest.raises(InputError, match=r"18.6 GiB.*smaller files"):
        open_recording(path)


def test_too_little_memory_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "maps.npy"
    np.save(path, np.eye(4))

    def full(*_):
        raise MemoryError

    monkeypatch.setattr("stm_keras.io.arrays.read_array", full)
    with pytest.raises(InputError, match="needs more memory than there is"):
        open_recording(path)
