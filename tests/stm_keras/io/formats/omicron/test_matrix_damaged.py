import struct

import pytest

from stm_keras.errors import InputError
from stm_keras.io.formats.omicron.matrix import open_mtrx


def test_truncated_files_are_refused(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    whole = path.read_bytes()
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError):
            open_mtrx(path)
    path.write_bytes(whole)
    known = path.with_name(f"{mtrx.SESSION}_0001.mtrx")
    content = known.read_bytes()
    end = content.index(mtrx.entry(path.name)) + len(mtrx.entry(path.name))
    for size in range(0, end, 11):
        known.write_bytes(content[:size])
        with pytest.raises(InputError):
            open_mtrx(path)


def test_mutated_files_give_an_error_or_an_answer(
    mtrx, mutated, refusal, tmp_path
):
    files = {**mtrx.companion_files(), **mtrx.tiny_files()}
    messages = []
    for damaged, content in files.items():
        for name in files:
            (tmp_path / name).write_bytes(files[name])
        known = damaged.endswith("_0001.mtrx")
        for copy in mutated(content, 300 if known else 150, seed=13):
            (tmp_path / damaged).write_bytes(copy)
            for name in mtrx.tiny_files() if known else [damaged]:
                messages.append(refusal(tmp_path / name))
    assert any(messages)


def test_a_block_that_ends_the_file_early_is_told(mtrx, written):
    path = written({"Z": mtrx.data_file(mtrx.counts(96))})
    known = path.with_name(f"{mtrx.SESSION}_0001.mtrx")
    content = bytearray(known.read_bytes())
    place = content.index(b"APEE") + 4
    content[place : place + 4] = struct.pack("<I", 2**32 - 1)
    known.write_bytes(content)
    with pytest.raises(InputError, match="a block ends early"):
        open_mtrx(path)
