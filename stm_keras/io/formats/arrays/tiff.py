"""TIFF images (.tif): the pages of a stack are maps at one bias each.

The size of a pixel is taken from where ImageJ and OME-TIFF keep it, or from
the resolution of plain TIFF where that is no printer's; biases from ImageJ's
slice labels, such as "-0.1 V", where every page has one. All else comes from
a sidecar.
"""

import io
import logging
import re
from pathlib import Path

import numpy as np
import tifffile

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.bare import stack_recording
from stm_keras.io.formats.arrays.tiff_pages import checked_page, read_pages
from stm_keras.io.recording import Recording
from stm_keras.io.si_units import nm_per, volts_per

# What the library finds odd in a file is no news for the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_NM_PER_RESOLUTION_UNIT = {2: 2.54e7, 3: 1e7}  # inch, cm
_COARSEST_NM = 1000.0  # a printer has 40,000 nm and more a pixel
_IMAGEJ_METADATA = 50839
_LABEL = re.compile(
    r"(?<![\w.])([-+\u2212]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(m?e?V)\b",
    re.IGNORECASE,
)
# Instruments other than those of the makers of OME write no XML by hand; the
# few attributes that count are found without a parser that could be misled.
_OME_SIZE = re.compile(r'\bPhysicalSize([XY])="([^"]{1,40})"')
_OME_UNIT = re.compile(r'\bPhysicalSize([XY])Unit="([^"]{1,40})"')
_ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")  # as ImageJ writes µ and Å
_LONGEST_DESCRIPTION = 1 << 16


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
    found = re.search(r"^images=(\d{1,9})\s*$", description, re.MULTILINE)
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
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
