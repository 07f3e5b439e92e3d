"""What a training computes in: float32, or half as many bits where that pays.

Weights, losses, standardisation and the answer are float32 in all of them
(Keras's mixed precision); convolutions are what takes the time.
"""

from pathlib import Path
from typing import Literal, get_args

from stm_keras.errors import InputError

Precision = Literal["float32", "bfloat16", "float16"]

AUTO = "auto"
_CPU = Path("/proc/cpuinfo")
_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_bfloat16(cpuinfo: Path = _CPU) -> bool:
    """Whether the processor multiplies in bfloat16.

    Without it mixed precision is slower than float32.

    Args:
        cpuinfo: as Linux describes its processors; where there is none, as
            on other systems, the answer is no.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return bool(_FLAGS & set(flags.split()))


def precision_of(asked: str) -> Precision:
    """The precision that is meant.

    Args:
        asked: one of `Precision`, or "auto": bfloat16 where the processor
            has it, else float32.

    Raises:
        InputError: for another name.
    """
    if asked == AUTO:
        return "bfloat16" if has_bfloat16() else "float32"
    for known in get_args(Precision):
        if asked == known:
            return known
    known = ", ".join((AUTO, *get_args(Precision)))
    raise InputError(f"Unknown --precision {asked!r}. Known: {known}.")


def policy_of(precision: Precision) -> str:
    """Keras's dtype policy."""
    return precision if precision == "float32" else f"mixed_{precision}"
