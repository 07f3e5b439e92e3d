import os

import pytest

from stm_keras.errors import InputError
from stm_keras.io import reader as table
from stm_keras.io.reader import FORMATS, format_of, read_maps


def test_missing(tmp_path):
    with pytest.raises(InputError, match=r"No such file.*absent"):
        read_maps(tmp_path / "absent.sxm")


def test_directory(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        read_maps(tmp_path)


def test_endless_device():
    with pytest.raises(InputError, match="is no file"):
        read_maps("/dev/zero")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n", bytes(99)])
@pytest.mark.parametrize("suffix", [".sxm", ".npz", ".npy", ".txt", ""])
def test_not_an_image_file(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_maps(path)
    for known in FORMATS:
        assert known.suffixes[0] in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path):
    path = tmp_path / "file.sxm"
    path.write_bytes(b"secret")
    path.chmod(0)
    with pytest.raises(InputError, match="Cannot read"):
        read_maps(path)


def test_content_counts_and_not_the_name(tmp_path, sxm_bytes, two_channels):
    path = tmp_path / "scan.npz"
    path.write_bytes(sxm_bytes(two_channels))
    assert read_maps(path).channel == "LI_Demod_1_X"


@pytest.mark.parametrize(
    "known",
    [known for known in FORMATS if not known.is_directory],
    ids=lambda known: known.name,
)
def test_a_file_of_nothing_but_its_magic(tmp_path, known):
    path = tmp_path / f"file{known.suffixes[0]}"
    for magic in known.magics or (b"",):
        for rest in (b"", b"\n", bytes(50), b"\x1a\x04"):
            path.write_bytes(magic + rest)
            with pytest.raises(InputError):
                read_maps(path, bias_v=[0.0], extent_nm=(1.0, 1.0))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "maps.zarr.zip"
    path.write_bytes(b"PK\3\4")

    def absent(name):
        raise ModuleNotFoundError(name="zarr")

    monkeypatch.setattr(table, "import_module", absent)
    with pytest.raises(InputError, match=r"zarr.*stm-keras\[zarr\]"):
        read_maps(path)


def test_hdf5_files_of_several_kinds_are_told_apart(tmp_path):
    for suffix, name in ((".mat", "MATLAB"), (".nc", "NetCDF"), ("", "NeXus")):
        path = tmp_path / f"file{suffix}"
        path.write_bytes(b"\x89HDF\r\n\x1a\n")
        assert format_of(path).name.startswith(name)
