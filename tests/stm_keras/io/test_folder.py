import os

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.folder import expand


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
