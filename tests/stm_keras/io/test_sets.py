"""Files of one frame as one stack."""

import dataclasses
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.placement import Placement
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import expand, joined, read_stack


@pytest.fixture
def folder(tmp_path, sxm_bytes, two_channels):
    def fill(*names):
        scan = sxm_bytes(two_channels)
        for name in names:
            path = tmp_path / "day" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir()
            elif path.suffix == ".npy":
                np.save(path, np.eye(3))
            else:
                magic = b"ONTMATRX" if "mtrx" in name else scan
                magic = b"PK\x03\x04" if ".zip" in name else magic
                text = path.suffix in (".txt", ".csv", ".yaml", ".png")
                path.write_bytes(b"text" if text else magic)
        return tmp_path / "day"

    return fill


def names(expanded):
    return [path.name for path in expanded.paths]


def test_known_files_in_the_order_in_which_people_count(folder):
    day = folder("s10.sxm", "s2.sxm", "S3.sxm", "a.npy", "b", "s2.sxm_old")
    found = expand([day])
    assert names(found) == ["a.npy", "b", "s2.sxm", "s2.sxm_old", "S3.sxm"] + [
        "s10.sxm"
    ]
    assert found.notes == ()
    assert all(path.parent == day for path in found.paths)


def test_other_files_are_named(folder):
    day = folder("s.sxm", *(f"t{n}.txt" for n in range(12)), "c.zip")
    found = expand([day])
    assert names(found) == ["s.sxm"]
    assert found.notes == (
        f"{day}: skipped c.zip, t0.txt, t1.txt, t2.txt, t3.txt and 8 more",
    )


def test_what_belongs_to_others_is_passed_over_silently(folder):
    day = folder(
        *("run--1_1.Z_mtrx", "run_0001.mtrx", "run_0002.MTRX"),
        *("maps.npy", "maps.npy.yaml", "s.sxm", "s.yaml"),
        *(".hidden.sxm", "~$s.sxm", "s.sxm.part", "s.sxm~", "s.tmp"),
        *("S.npy", "mask.npy", "mask.tif", "positions.csv", "overview.png"),
    )
    found = expand([day])
    assert names(found) == ["maps.npy", "run--1_1.Z_mtrx", "s.sxm"]
    assert found.notes == ()


def test_folders_within_are_left_alone_but_zarr_stores_are_files(folder):
    day = folder("s.sxm", "old/t.sxm", "maps.zarr/zarr.json")
    assert names(expand([day])) == ["maps.zarr", "s.sxm"]
    assert names(expand([day / "maps.zarr"])) == ["maps.zarr"]


def test_files_are_handed_on_and_come_once(folder):
    day = folder("s1.sxm", "s2.sxm", "t.txt")
    asked = [day / "t.txt", day / "s2.sxm", day, day / "absent.sxm"]
    found = expand(str(path) for path in asked)
    assert names(found) == ["t.txt", "s2.sxm", "s1.sxm", "absent.sxm"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a.txt", "b.csv"), r"day: no file of a known format. It holds a.txt"),
        ((".hidden.sxm",), "day: no file of a known format. It is empty"),
        (("old/s.sxm",), "day: no file of a known format. It holds old"),
    ],
)
def test_a_folder_without_maps(folder, files, message):
    with pytest.raises(InputError, match=message) as error:
        expand([folder(*files)])
    assert "\n" not in str(error.value)


def test_names_that_would_reach_the_terminal(folder):
    day = folder("s.sxm", "a\x1b[31m\n.txt")
    [note] = expand([day]).notes
    assert note.isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read(folder):
    day = folder("s.sxm")
    day.chmod(0)
    try:
        with pytest.raises(InputError, match="Cannot read the folder"):
            expand([day])
    finally:
        day.chmod(0o700)


def _maps(bias_v, *, seed=0, **changes):
    shape = (len(bias_v), 6, 8)
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    maps = ConductanceMaps(data, np.array(bias_v), (3.0, 4.0), "LI X", "S")
    return dataclasses.replace(maps, **changes)


@pytest.fixture
def saved(tmp_path):
    def save(name, *args, **changes):
        path = tmp_path / f"{name}.npz"
        write_npz(_maps(*args, **changes), path)
        return path

    return save


@pytest.fixture
def scan(tmp_path, sxm_bytes):
    """A Nanonis scan with Z, a current and a lock-in that carries a signal."""

    def save(name, bias_v, *, lock_in=True, silent=False, **options):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        noise = rng.normal(size=(6, 8)).astype(np.float32)
        other = rng.normal(size=(6, 8)).astype(np.float32)
        channels = [
            ("Z", "m", {"forward": noise, "backward": noise}),
            (
                "LI_Demod_1_X",
                "A",
                {
                    "forward": noise if silent else 3 + noise,
                    "backward": other if silent else 3 + noise,
                },
            ),
        ]
        content = sxm_bytes(
            channels[: 1 + lock_in], bias_v=f"{bias_v:.3E}", **options
        )
        path = tmp_path / f"{name}.sxm"
        path.write_bytes(content)
        return path

    return save


def test_files_make_one_stack_by_bias(scan):
    paths = [scan(f"s{n}", b) for n, b in enumerate((0.1, -0.3, 0.0))]
    maps = read_stack(paths)
    np.testing.assert_allclose(maps.bias_v, [-0.3, 0, 0.1])
    assert (maps.channel, maps.unit) == ("LI_Demod_1_X", "A")
    assert all(str(path) in maps.source for path in paths)
    for path in paths:
        assert any(
            line.startswith(f"{path}: channel") for line in maps.provenance
        )
    alone = read_stack(paths[1:2])
    np.testing.assert_array_equal(maps.data[0], alone.data[0])


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    split=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_the_order_of_the_files_does_not_matter(saved, split, seed, data):
    rng = np.random.default_rng(seed)
    biases = rng.choice(np.arange(-50, 50), sum(split), replace=False) / 100
    parts = np.split(biases, np.cumsum(split)[:-1])
    paths = [saved(f"part{n}", part, seed=n) for n, part in enumerate(parts)]
    first = read_stack(paths)
    other = read_stack(data.draw(st.permutations(paths)))
    np.testing.assert_array_equal(first.data, other.data)
    np.testing.assert_array_equal(first.bias_v, np.sort(biases))
    np.testing.assert_array_equal(first.bias_v, other.bias_v)
    assert first.source == other.source
    assert first.provenance == other.provenance


def test_the_rest_is_asked_for_the_channel_of_the_first(scan):
    low, high = scan("low", -0.2), scan("high", 0.2, lock_in=False)
    with pytest.raises(InputError, match=r"high.sxm: no channel 'LI_Demod"):
        read_stack([high, low])
    maps = read_stack([high, low], ReadOptions(channel="topograph"))
    assert (maps.channel, maps.unit) == ("Z", "m")


def test_a_lock_in_that_was_off_in_one_file(scan):
    paths = [scan("on", -0.2), scan("noise", 0.2, silent=True)]
    with pytest.raises(InputError, match=r"noise.sxm: LI_Demod_1_X holds no"):
        read_stack(paths)
    asked = read_stack(paths, ReadOptions(channel="LI_Demod_1_X"))
    assert asked.shape[0] == 2


def test_the_direction_is_that_asked_for(scan):
    paths = [scan("a", -0.2), scan("b", 0.2)]
    maps = read_stack(paths, ReadOptions(direction="backward"))
    assert sum("backward" in line for line in maps.provenance) == 2


def test_biases_that_the_user_gives_are_taken_file_by_file(saved):
    paths = [saved("b", [5.0, 6.0]), saved("a", [7.0], seed=1)]
    given = ReadOptions(bias_v=(0.3, -0.1, 0.2))
    maps = read_stack(paths, given)
    assert maps.bias_v.tolist() == [-0.1, 0.2, 0.3]
    np.testing.assert_array_equal(maps.data[1], _maps([0], seed=1).data[0])
    for wrong in ((0.3, -0.1), (0.3, -0.1, 0.2, 0.4)):
        with pytest.raises(InputError, match="bias"):
            read_stack(paths, ReadOptions(bias_v=wrong))


@pytest.mark.parametrize("bias", [0.1, 0.1 + 1e-8])
def test_two_files_of_one_bias(saved, bias):
    paths = [saved("a", [0.1, 0.2]), saved("b", [0.3, bias])]
    with pytest.raises(InputError, match=r"a\.npz .*b\.npz both hold.* 0\.1 V"):
        read_stack(paths)


def test_one_file_may_hold_a_bias_twice(saved):
    assert read_stack([saved("a", [0.1, 0.1]), saved("b", [0.2])]).shape[0] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.eye(4)[None]}, r"b.npz has 4 x 4 px, .*a.npz 6 x 8 px"),
        (
            {"extent_nm": (3.0, 4.1)},
            r"b.npz spans 3 x 4.1 nm \(height x width\), .*a.npz 3 x 4",
        ),
        ({"unit": "A"}, r"b.npz holds LI X in 'A', .*a.npz LI X in 'S'"),
        ({"channel": "Z"}, r"b.npz: no channel 'LI X'"),
        (
            {"placement": Placement((1.0, 2.0), 33.0)},
            r"b.npz is turned by 33 degrees, .*a.npz by 3:",
        ),
    ],
)
def test_files_of_differing_frames(saved, changes, message):
    placement = Placement((1.0, 2.0), 3.0)
    first = saved("a", [0.1], placement=placement)
    other = saved("b", [0.2], **{"placement": placement} | changes)
    with pytest.raises(InputError, match=message):
        read_stack([first, other])


def test_a_frame_that_moved_is_named(saved):
    def at(x, angle=3.0):
        return Placement((x, 2.0), angle)

    first = saved("a", [0.1], placement=at(1.0))
    near = saved("b", [0.2], placement=at(1.3, 363.0))  # 0.5 nm a pixel
    far = saved("c", [0.3], placement=at(2.0))
    maps = read_stack([first, near])
    assert maps.placement == at(1.0)
    assert not any("warning" in line for line in maps.provenance)
    [warning] = [
        line
        for line in read_stack([first, near, far]).provenance
        if line.startswith("warning: ")
    ]
    assert "c.npz lies 1 nm (2.0 px) from that of" in warning


def test_warnings_of_a_file_stay_warnings():
    noted = [
        _maps([0.1], source="a", provenance=("warning: odd", "cut")),
        _maps([0.2], source="b"),
    ]
    assert joined(noted).provenance == ("warning: a: odd", "a: cut")


def test_one_file_keeps_all_it_has(saved):
    placement = Placement((1.0, 2.0), 3.0)
    maps = read_stack([saved("a", [0.2, 0.1], placement=placement)])
    assert maps.bias_v.tolist() == [0.1, 0.2]
    assert maps.placement == placement


def test_nothing_to_read():
    with pytest.raises(InputError, match="at least one file"):
        read_stack([])


def test_files_of_a_folder_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", maps=np.eye(4))
    for name, content in (("b.sxm", b""), ("c.sxm", b"text"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(content)
    locked = tmp_path / "e.sxm"
    locked.write_bytes(b":NANONIS_VERSION:")
    sound = Path.open

    def opened(path, *arguments, **named):
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return sound(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", opened)
    (note,) = expand([tmp_path]).notes
    assert "b.sxm (empty)" in note
    assert "c.sxm (its content is of no known format)" in note
    assert "d.txt, e.sxm (Permission denied)" in note
