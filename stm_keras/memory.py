"""How the process holds on to memory."""

import ctypes
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_PLENTY_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep large blocks that were freed, for the next ones.

    By default it returns each to the system and has the next one's pages
    mapped and cleared anew. The arrays of a network are large and live
    shortly: on two cores a stack of 126 maps of 80 x 80 px takes three
    quarters of the time once they are kept. The process then stays as large
    as it ever was.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _PLENTY_BYTES)
    )
