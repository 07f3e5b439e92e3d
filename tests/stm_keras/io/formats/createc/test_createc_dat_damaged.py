import zlib

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.formats.createc.createc_dat import open_dat


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Num_X": "1000000", "Num_Y": "1000000"}, "more than the file"),
        ({"Num_X": "9e300"}, "more than the file"),
        ({"Num_X": "0"}, "no size"),
        ({"Num_Y": "nan"}, "no size"),
        ({"Channels": "100000"}, "promises 100000"),
        ({"Channels": "-2"}, "promises -2"),
    ],
)
@pytest.mark.parametrize("magic", ["[Paramco32]", "[Paramet32]"])
def test_lying_headers_are_refused(dat, opened, magic, changes, message):
    content = dat.dat_bytes(dat.counts(), magic=magic, **changes)
    with pytest.raises(InputError, match=message):
        opened(content)


@pytest.mark.parametrize("kind", ["packed", "unpacked", "integers"])
def test_truncated_files_are_refused(dat, opened, kind):
    whole = dat.tiny_files()[f"{kind}.dat"]
    for size in (0, 5, 400, 16383, 16384, 16390, 16384 + 60):
        with pytest.raises(InputError):
            opened(whole[:size])


def test_a_bomb_is_not_unpacked(dat, opened):
    header = dat.dat_bytes(
        dat.counts(), Num_X="65536", Num_Y="65536", Channels="4"
    )[: dat.HEADER_BYTES]
    bomb = header + zlib.compress(bytes(1 << 26), 9)
    with pytest.raises(InputError, match="more than the file"):
        opened(bomb)


def test_nothing_scanned_is_refused(dat, opened):
    with pytest.raises(InputError, match="no scanned row"):
        opened(dat.dat_bytes(np.zeros((4, 4, 6))))


def test_damaged_images_give_an_error_or_an_answer(dat, tmp_path):
    path = tmp_path / "a.dat"
    content = bytearray(dat.tiny_files()["packed.dat"])
    for place in range(dat.HEADER_BYTES, len(content)):
        content[place] ^= 0x55
        path.write_bytes(content)
        content[place] ^= 0x55
        try:
            assert open_dat(path).shape == (4, 6)
        except InputError as error:
            assert "damaged" in str(error) or "early" in str(error)  # noqa: PT017


def test_mutated_files_give_an_error_or_an_answer(
    dat, mutated, refusals, tmp_path
):
    messages = []
    for content in dat.tiny_files().values():
        copies = mutated(content, 150, seed=7, damaged_part=1500)
        messages += refusals(tmp_path / "a.dat", copies)
    assert messages
