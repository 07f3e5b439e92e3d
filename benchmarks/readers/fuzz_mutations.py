"""Damage to files, for fuzzing: what disks, networks and malice do."""

from collections.abc import Callable, Sequence

import numpy as np

Mutation = Callable[[bytearray, np.random.Generator, Sequence[bytes]], None]

_INTEGERS = (0, -1, 1, 2, 255, 2**15, 2**16 - 1, 10**6, 2**31 - 1, 2**31)
_INTEGERS = (*_INTEGERS, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
_TEXTS = (b"0", b"-1", b"2147483648", b"9223372036854775808", b"1e308")
_TEXTS = (*_TEXTS, b"1e400", b"nan", b"inf", b"-0", b"9" * 400, b"", b"1e-320")
_ODD_BYTES = (b"\0", b"\xff", b"\n", b"\r\n", b"\xb5", b"\xc3\xa9", b"=", b'"')


def mutated(
    files: Sequence[bytes], which: int, rng: np.random.Generator
) -> bytes:
    """A damaged copy of one of some files.

    Args:
        files: sound files of one format.
        which: the one to damage.
        rng: decides how; one to three kinds of damage.
    """
    content = bytearray(files[which])
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        if not content:
            break
        kind = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))]
        kind(content, rng, files)
    return bytes(content)


def _place(content: bytearray, rng: np.random.Generator) -> int:
    """A byte, in every other case one near the front, where headers are."""
    end = len(content)
    if rng.integers(2):
        end = min(end, 512)
    return int(rng.integers(end))


def _cut(content: bytearray, rng: np.random.Generator, _: object) -> None:
    del content[int(rng.integers(len(content))) :]


def _flip(content: bytearray, rng: np.random.Generator, _: object) -> None:
    for _n in range(int(rng.integers(1, 5))):
        at = _place(content, rng)
        if rng.integers(2):
            content[at] ^= 1 << int(rng.integers(8))
        else:
            content[at] = int(rng.integers(256))


def _splice(content: bytearray, rng: np.random.Generator, _: object) -> None:
    """A piece repeated elsewhere, moved over another, or left out."""
    at, length = _place(content, rng), int(rng.integers(1, 64))
    piece = content[at : at + length]
    other = _place(content, rng)
    over = int(rng.integers(2)) * length
    content[other : other + over] = piece if rng.integers(3) else b""


def _cross(
    content: bytearray, rng: np.random.Generator, files: Sequence[bytes]
) -> None:
    """The front of one file and the end of another."""
    other = files[int(rng.integers(len(files)))]
    at = int(rng.integers(len(content)))
    shift = int(rng.integers(-8, 9)) if rng.integers(2) else 0
    content[at:] = other[max(0, at + shift) :]


def _append(content: bytearray, rng: np.random.Generator, _: object) -> None:
    length = int(rng.integers(1, 4096))
    kind = rng.integers(3)
    if kind == 0:
        content += bytes(length)
    elif kind == 1:
        content += rng.bytes(length)
    else:
        content += content[:length]


def _integer(content: bytearray, rng: np.random.Generator, _: object) -> None:
    """A number at the edge of its type, where a binary field may be."""
    size = int(rng.choice((1, 2, 4, 8)))
    value = _INTEGERS[int(rng.integers(len(_INTEGERS)))] % (1 << 8 * size)
    order = "little" if rng.integers(2) else "big"
    at = _place(content, rng)
    if rng.integers(4):
        at -= at % min(size, 4)
    content[at : at + size] = value.to_bytes(size, order)


def _digits(content: bytearray, rng: np.random.Generator, _: object) -> None:
    """Figures of a header, one by one."""
    digits = _digit_places(content)
    if digits.size:
        for at in rng.choice(digits, size=2):
            content[at] = int(rng.choice(list(b"0123456789-+.eE, ")))


def _number(content: bytearray, rng: np.random.Generator, _: object) -> None:
    """A whole number of a header, replaced by one at the edge."""
    digits = _digit_places(content)
    if not digits.size:
        return
    start = end = int(rng.choice(digits))
    while start > 0 and content[start - 1] in b"0123456789.+-":
        start -= 1
    while end < len(content) and content[end] in b"0123456789.":
        end += 1
    content[start:end] = _TEXTS[int(rng.integers(len(_TEXTS)))]


def _odd(content: bytearray, rng: np.random.Generator, _: object) -> None:
    """Signs of other encodings and of the header's own grammar."""
    at = _place(content, rng)
    over = int(rng.integers(2))
    content[at : at + over] = _ODD_BYTES[int(rng.integers(len(_ODD_BYTES)))]


def _digit_places(content: bytearray) -> np.ndarray:
    values = np.frombuffer(bytes(content), np.uint8)
    return np.flatnonzero((values >= 48) & (values <= 57))


_MUTATIONS: tuple[Mutation, ...] = (
    *(_cut, _flip, _splice, _cross, _append, _integer, _digits, _number, _odd),
    *(_flip, _integer, _integer, _number),  # what headers are full of
)
