"""How far packed data may unpack, so that a small file cannot fill memory."""

from stm_keras.errors import InputError

MAX_COMPRESSION = 200
"""Noise hardly shrinks, smooth float32 maps some 10 x; deflate ends at 1032."""
_MAX_UNPACKED_BYTES = 1 << 31
_MOST_BYTES = 1 << 32
FREE_BYTES = 1 << 26
"""What a small file may unpack to, whatever its ratio [byte]: maps of which
little was measured are nearly all NaN."""


def check_room(where: str, n_bytes: int) -> None:
    """Refuse an array that no memory is likely to hold beside its maps.

    A file may be sparse: as long as its header promises, and empty.

    Raises:
        InputError: where it is larger than 4 GiB.
    """
    if n_bytes > _MOST_BYTES:
        raise InputError(
            f"{where} takes {n_bytes / 2**30:.3g} GiB, more than the "
            f"{_MOST_BYTES >> 30} GiB that are read at once. Cut it into "
            "smaller files."
        )


def unpacking_limit(stored: int) -> int:
    """Up to how many bytes so many stored ones may be unpacked, step by step.

    Where room is made beforehand, see `check_unpacked`.
    """
    return min(max(FREE_BYTES, MAX_COMPRESSION * stored), _MAX_UNPACKED_BYTES)


def check_unpacked(where: str, promised: int, stored: int) -> None:
    """Refuse an array that would be far larger than what is stored of it.

    Args:
        where: file and array, for the message.
        promised: size in memory [byte].
        stored: size in the file [byte].

    Raises:
        InputError: where it would be.
    """
    packed = min(_MAX_UNPACKED_BYTES, MAX_COMPRESSION * stored)
    if promised > max(FREE_BYTES, packed, stored):
        raise InputError(
            f"{where} would unpack from {stored} to {promised} bytes: "
            "refused. It is damaged, or write it in smaller or unpacked parts."
        )
