"""Options that several commands share."""

import os
from typing import Annotated

import typer

from cli.grouped import READING
from stm_keras.errors import InputError
from stm_keras.models.shipped import DEFAULT

DataOut = Annotated[str, typer.Option(help="Directory of data sets.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there.")
]
Processes = Annotated[
    int | None,
    typer.Option(
        help="Processes that simulate at once; the data do not depend on it. "
        "By default as many as there are cores.",
        show_default=False,
    ),
]
BeamOptions = Annotated[
    str | None,
    typer.Option(
        help="Build with Apache Beam and these of its options, such as "
        '"--runner=DirectRunner --direct_num_workers=2 '
        '--direct_running_mode=multi_processing". See docs/scale.md.',
        show_default=False,
    ),
]
Surface = Annotated[
    str | None,
    typer.Option(
        help="Material of the files: au111, cu111, ag111, or m*/m_e and E0 "
        "[eV] of another: 0.38,-0.44. Its k(V) sets the scale; where the FFT "
        "rings of the maps lie clearly off it, the q that context is given "
        "follows them. Without it, q is measured in the FFT.",
        show_default=False,
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        help="Channel of the file to read, by its name there; topograph and "
        "derivative (of I(V)) are known to all files. By default dI/dV where "
        "it was recorded, else the derivative of I(V), else the topograph.",
        show_default=False,
        rich_help_panel=READING,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="Name of a model that ships (see `stmk models`), or a model "
        "directory.",
    ),
]
TrustModel = Annotated[
    bool,
    typer.Option(
        "--trust-model",
        help="Load a model that differs from its checksums, or whose graph "
        "can do more than compute. A model is a program: it may then do "
        "whatever you may.",
    ),
]
DEFAULT_DATA = "data"
DEFAULT_MODEL = DEFAULT


def all_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Numbers from text such as "-0.2,-0.1,0" or "-0.23:0.02:0.002".

    Args:
        text: numbers with commas, or FIRST:LAST:STEP with both ends in it.
        option: its name, for the error.

    Raises:
        InputError: where the text is neither.
    """
    if text is None:
        return None
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, step = (float(part) for part in text.split(":"))
        count = round((last - first) / step) + 1
        if not 1 <= count <= 100_000:
            raise ValueError
        return tuple(first + i * step for i in range(count))
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise InputError(
            f"{option} {text!r} is no list of numbers: write 0.1,0.2 or "
            "FIRST:LAST:STEP."
        ) from error


def number_range(text: str | None, option: str) -> tuple[float, float] | None:
    """Two numbers from text such as "0.5,1.5"; see `numbers`."""
    values = numbers(text, option)
    if values is None:
        return None
    if len(values) != 2:
        raise InputError(f"{option} {text!r}: give two numbers, such as 1,6.")
    return values[0], values[1]


def region_nm(
    text: str | None, option: str
) -> tuple[float, float, float, float] | None:
    """Top, left, height and width from "2,0,10,12.5"; see `numbers`."""
    values = numbers(text, option)
    if values is None:
        return None
    if len(values) != 4:
        raise InputError(
            f"{option} {text!r}: give TOP,LEFT,HEIGHT,WIDTH in nm, such as "
            "2,0,10,12.5."
        )
    return values[0], values[1], values[2], values[3]


def span(text: str | None, option: str) -> tuple[int | None, int | None]:
    """First and end from text such as "10:200"; an end may be left out.

    Args:
        text: FIRST:END [px]; None for all.
        option: its name, for the error.

    Raises:
        InputError: where the text is no such span.
    """
    if text is None:
        return None, None
    parts = text.split(":")
    try:
        if len(parts) != 2:
            raise ValueError
        first, end = (int(part) if part.strip() else None for part in parts)
    except ValueError as error:
        raise InputError(
            f"{option} {text!r}: give FIRST:END in whole px, such as 0:128."
        ) from error
    return first, end


def words(text: str | None) -> tuple[str, ...]:
    """Words from text such as "imagej, napari", in small letters."""
    parts = (text or "").lower().split(",")
    return tuple(part.strip() for part in parts if part.strip())


def whole_numbers(
    text: str | None, option: str, *, count: int | None = None
) -> tuple[int, ...] | None:
    """Whole numbers from 1 from text such as "1,4,16"; see `numbers`.

    Args:
        text: numbers with commas.
        option: its name, for the error.
        count: how many there must be; None for any.
    """
    values = numbers(text, option)
    if values is None:
        return None
    whole = all(value >= 1 and value == int(value) for value in values)
    if not whole or count not in (None, len(values)):
        example = ",".join(["20", "5", "5"][: count or 3])
        raise InputError(
            f"{option} {text!r}: give {count or 'any number of'} whole "
            f"numbers from 1, such as {example}."
        )
    return tuple(int(value) for value in values)


def counts_of_splits(text: str | None) -> tuple[int, int, int] | None:
    """Numbers of train, validation and test examples from "20000,500,500"."""
    counts = whole_numbers(text, "--examples", count=3)
    if counts is None:
        return None
    train, validation, test = counts
    return train, validation, test
