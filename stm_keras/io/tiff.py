"""TIFF images (.tif): the pages of a stack are maps at one bias each.

The size of a pixel is taken from where ImageJ and OME-TIFF keep it, or from
the resolution of plain TIFF where that is no printer's; biases from ImageJ's
slice labels, such as "-0.1 V", where every page has one. All else comes from
a sidecar. The library makes room for what a page's tags promise, and unpacks
a strip or tile to whatever it holds: sizes are checked against the file's own
first.
"""

import io
import logging
import re
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from stm_keras.errors import InputError
from stm_keras.io.arrays import stack_recording
from stm_keras.io.recording import Recording
from stm_keras.io.units import finite_number, nm_per, volts_per
from stm_keras.io.unpacking import unpacking_limit

_MAX_PAGES = 4096
_PLAIN, _DEFLATE, _OLD_DEFLATE = 1, 8, 32946
_RGB = 2  # photometric interpretation
_NO_PREDICTOR, _HORIZONTAL = 1, 2
_ORIENTATION = 274
# Where row 0 and column 0 lie: top left, top right, bottom right, bottom left.
_TURNS: dict[int, tuple[slice, slice]] = {
    1: (slice(None), slice(None)),
    2: (slice(None), slice(None, None, -1)),
    3: (slice(None, None, -1), slice(None, None, -1)),
    4: (slice(None, None, -1), slice(None)),
}

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_NM_PER_RESOLUTION_UNIT = {2: 2.54e7, 3: 1e7}  # inch, cm
_COARSEST_NM = 1000.0  # a printer has 40,000 nm and more a pixel
_IMAGEJ_METADATA = 50839
_LABEL = re.compile(
    r"(?<![\w.])([-+\u2212]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?)\s*(m?e?V)\b",
    re.IGNORECASE,
)
# Instruments other than those of the makers of OME write no XML by hand; the
# few attributes that count are found without a parser that could be misled.
_OME_SIZE = re.compile(r'\bPhysicalSize([XY])="([^"]{1,40})"')
_OME_UNIT = re.compile(r'\bPhysicalSize([XY])Unit="([^"]{1,40})"')
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")  # as ImageJ writes µ and Å
_LONGEST_DESCRIPTION = 1 << 16


def read_pages(
    path: Path, file: tifffile.TiffFile, content: bytes, n_images: int
) -> np.ndarray:
    """Read all pages of a file.

    Args:
        path: the file, for messages.
        file: the same, opened.
        content: its bytes.
        n_images: how many images ImageJ says that there are; it writes only
            the first one's page where the stack is large.

    Returns:
        [V, H, W], of the file's type, row 0 the top.

    Raises:
        InputError: where a page does not fit the file, or another page.
    """
    images, seen = list[np.ndarray](), set[int]()
    for page in islice(file.pages, _MAX_PAGES + 1):
        if page.offset in seen:
            raise InputError(f"{path}: its pages lead round in a circle.")
        seen.add(page.offset)
        if len(seen) > _MAX_PAGES:
            raise InputError(
                f"{path}: more than {_MAX_PAGES} pages. Cut it into smaller "
                "stacks."
            )
        checked = checked_page(path, page, content)
        image = checked.asarray().reshape(-1, *_frame(checked))
        if images and image.shape[1:] != images[0].shape[1:]:
            raise InputError(
                f"{path}: page {len(seen) - 1} has {image.shape[1]} x "
                f"{image.shape[2]} px, the first {images[0].shape[1]} x "
                f"{images[0].shape[2]}. Give maps of one size."
            )
        images.append(image[(..., *_turn(path, checked))])
    if len(seen) == 1 and n_images > 1 and len(images[0]) == 1:
        first = checked_page(path, file.pages[0], content)
        run = _run_of_images(path, first, content, n_images)
        return run[(..., *_turn(path, first))]
    return np.concatenate(images)


def checked_page(path: Path, page: Any, content: bytes) -> tifffile.TiffPage:
    """The page, once it is sure to hold what its tags promise.

    Raises:
        InputError: where it does not, or is no map.
    """
    dtype = page.dtype
    if dtype is None or dtype.kind not in "fiu":
        raise InputError(f"{path}: no pages of plain numbers in it.")
    # Some writers call three planes colours, whatever they hold.
    is_colour = page.photometric == _RGB and dtype.kind != "f"
    is_separate = page.axes == "SYX" and not is_colour
    if page.axes != "YX" and not is_separate:
        raise InputError(
            f"{path}: holds colours or a volume a page. Save the maps "
            "themselves, one number a pixel."
        )
    if page.compression not in (_PLAIN, _DEFLATE, _OLD_DEFLATE):
        raise InputError(
            f"{path}: compressed in a way that is not read "
            f"({int(page.compression)}). Save it uncompressed or with deflate."
        )
    if page.predictor not in (_NO_PREDICTOR, _HORIZONTAL):
        raise InputError(
            f"{path}: compressed with a predictor that is not read "
            f"({int(page.predictor)}). Save it without."
        )
    sizes = _segment_bytes(page)
    offsets, counts = page.dataoffsets, page.databytecounts
    if not (
        len(sizes) == len(offsets) == len(counts)
        and all(n >= 0 for n in (*offsets, *counts))
        and sum(counts) <= len(content)
        and all(
            start + n <= len(content)
            for start, n in zip(offsets, counts, strict=True)
        )
    ):
        raise _misfit(path)
    for start, n, wanted in zip(offsets, counts, sizes, strict=True):
        if page.compression != _PLAIN:
            n = _unpacked_size(path, content[start : start + n], max(wanted))
        if n not in wanted:
            raise _misfit(path)
    return page


def _frame(page: tifffile.TiffPage) -> tuple[int, int]:
    return page.shape[-2], page.shape[-1]


def _turn(path: Path, page: tifffile.TiffPage) -> tuple[slice, slice]:
    turn = _TURNS.get(page.tags.valueof(_ORIENTATION, 1))
    if turn is None:
        raise InputError(
            f"{path}: stored with rows and columns exchanged, which is not "
            "read. Save it upright."
        )
    return turn


def _segment_bytes(page: tifffile.TiffPage) -> list[tuple[int, ...]]:
    """How many bytes each strip or tile may hold.

    The last strip may end with the image or be filled up.
    """
    height, width = _frame(page)
    planes = page.shape[0] if len(page.shape) == 3 else 1
    item = page.dtype.itemsize if page.dtype is not None else 1
    if page.is_tiled:
        across = -(-width // page.tilewidth)
        down = -(-height // page.tilelength)
        n_tiles = planes * across * down
        size = page.tilewidth * page.tilelength * item
        # No more of them than the file has entries for.
        return [(size,)] * min(n_tiles, len(page.dataoffsets) + 1)
    rows = min(page.rowsperstrip, height)
    if rows < 1 or width < 1:
        return []
    sizes = []
    for first in range(0, height, rows)[: len(page.dataoffsets) + 1]:
        held = min(rows, height - first) * width * item
        sizes.append(tuple({held, rows * width * item}))
    return (sizes * planes)[: len(page.dataoffsets) + 1]


def _unpacked_size(path: Path, content: bytes, wanted: int) -> int:
    """How many bytes a deflate stream holds, up to one more than wanted."""
    limit = min(wanted, unpacking_limit(len(content)))
    try:
        return len(zlib.decompressobj().decompress(content, limit + 1))
    except zlib.error as error:
        raise _misfit(path) from error


def _run_of_images(
    path: Path, page: tifffile.TiffPage, content: bytes, n_images: int
) -> np.ndarray:
    """Images that follow each other without pages of their own."""
    start = page.dataoffsets[0]
    n_numbers = n_images * page.shape[0] * page.shape[1]
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    if (
        page.compression != _PLAIN
        or not page.is_contiguous
        or start + n_numbers * dtype.itemsize > len(content)
    ):
        raise _misfit(path)
    run = np.frombuffer(content, dtype, n_numbers, start)
    return run.reshape(n_images, *page.shape)


def _misfit(path: Path) -> InputError:
    return InputError(
        f"{path}: promises more or other data than the file holds. It is "
        "truncated or damaged: save it again."
    )


# What the library finds odd in a file is no news for the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(path: Path) -> Recording:
    """Read a stack of pages from a TIFF file.

    Args:
        path: a file with pages of one size in shades of grey, integers or
            floats, uncompressed or packed with deflate. A sidecar (see
            `sidecar.py`) takes the place of what the file says.

    Raises:
        InputError: for a damaged or truncated file, colours, pages that
            differ, another compression, or sizes beyond the file's own.
        OSError: where it cannot be read.
    """
    content = path.read_bytes()
    try:
        # Hooks for microscopes of other kinds only add ways to go wrong.
        with tifffile.TiffFile(
            io.BytesIO(content), is_lsm=False, is_ndpi=False, is_scanimage=False
        ) as file:
            first = checked_page(path, file.pages[0], content)
            description = str(first.description)[:_LONGEST_DESCRIPTION]
            pixel = _pixel_nm(first, description)
            labels = _labels(first)
            maps = read_pages(path, file, content, _n_images(description))
    except InputError:
        raise
    except Exception as error:  # the library's own are of many kinds
        raise InputError(
            f"{path}: no readable TIFF file. It is truncated or damaged: "
            "save it again."
        ) from error
    bias = _bias(labels, len(maps))
    notes = ["pixel from the TIFF's resolution"] if pixel is not None else []
    notes += ["biases from the slices' labels"] if bias is not None else []
    return stack_recording(
        path,
        "TIFF image",
        maps,
        bias_v=bias,
        extent_nm=None if pixel is None else pixel * maps.shape[-2:],
        notes=tuple(notes),
    )


def _n_images(description: str) -> int:
    """Images of a stack of ImageJ's, which may write one page for all."""
    found = re.search(r"^images=([0-9]{1,9})\s*$", description, re.MULTILINE)
    is_imagej = description.startswith("ImageJ=")
    return int(found[1]) if is_imagej and found else 1


def _labels(page: tifffile.TiffPage) -> list[str]:
    tag = page.tags.get(_IMAGEJ_METADATA)
    metadata = None if tag is None else tag.value
    labels = metadata.get("Labels") if isinstance(metadata, dict) else None
    labels = [labels] if isinstance(labels, str) else labels
    return [str(label) for label in labels or ()]


def _bias(labels: list[str], n_maps: int) -> np.ndarray | None:
    """Biases [V] from labels; None unless each holds one and no more."""
    if len(labels) != n_maps:
        return None
    found = [_LABEL.findall(label[:200]) for label in labels]
    if any(len(matches) != 1 for matches in found):
        return None
    values = []
    for [(number, unit)] in found:
        volts = volts_per(unit)
        if volts is None:
            return None
        values.append(float(number.replace("\u2212", "-")) * volts)
    return np.array(values)


def _pixel_nm(page: tifffile.TiffPage, description: str) -> np.ndarray | None:
    """Height and width of a pixel [nm]; None where the file does not tell."""
    if "<OME" in description:
        sizes = dict(_OME_SIZE.findall(description))
        units = dict(_OME_UNIT.findall(description))
        pixel = [
            _positive(sizes.get(axis)) * (nm_per(units.get(axis, "µm")) or 0)
            for axis in "YX"
        ]
    else:
        unit_nm = _resolution_unit_nm(page, description)
        pixel = [
            unit_nm / resolution if resolution else 0.0
            for resolution in (
                _rational(page, _Y_RESOLUTION),
                _rational(page, _X_RESOLUTION),
            )
        ]
    if all(0 < size <= _COARSEST_NM for size in pixel):
        return np.array(pixel)
    return None


def _resolution_unit_nm(page: tifffile.TiffPage, description: str) -> float:
    """The unit [nm] in which pixels are counted; 0 where unknown."""
    if description.startswith("ImageJ="):
        found = re.search(r"^unit=(.{1,20})$", description, re.MULTILINE)
        unit = found[1].strip() if found else ""
        return nm_per(_ESCAPED.sub(lambda m: chr(int(m[1], 16)), unit)) or 0.0
    unit = page.tags.valueof(_RESOLUTION_UNIT)
    try:
        return _NM_PER_RESOLUTION_UNIT.get(int(unit), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _rational(page: tifffile.TiffPage, code: int) -> float:
    """Pixels per unit; 0 where the tag is missing or no fraction."""
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) != 2 or not value[1]:
        return 0.0
    return max(0.0, float(value[0]) / float(value[1]))


def _positive(text: str | None) -> float:
    return max(0.0, finite_number(text) or 0.0)
