"""Scan lines that hold no signal: dead and noisy ones.

NaN is "not measured": bad lines become it, and no line is filled in.
"""

import numpy as np
from scipy import ndimage

from stm_keras.io.maps import ConductanceMaps

# A line is noisy where the median size of its curvature (Laplacian of
# Gaussian, so about one pixel in scale) stands out from that of the lines
# around it by this factor and this many robust standard deviations.
_NOISE_SIGMA_PX = 1.0
_NOISY_FACTOR = 1.5
_NOISY_DEVIATIONS = 5.0
_LINES_AROUND = 31
_MIN_LINES = 16  # with fewer there is no telling what is usual
_MAX_MASKED_SHARE = 0.25
_MAD_TO_STD = 1.4826  # of a normal distribution


def mask_bad_lines(maps: ConductanceMaps) -> ConductanceMaps:
    """Take noisy and dead scan lines as not measured, and report the rest.

    A dead line holds one value from end to end. A noisy line's median
    curvature stands out from that of the lines around it; the median is not
    moved by impurities, which cover a small part of a line. Beside very
    noisy lines up to two more may go on either side. Where more than a
    quarter of a map's lines would go, its noisy ones stay.

    Args:
        maps: the maps. Bands that are NaN stay so and are reported.

    Returns:
        Maps with those lines NaN; `provenance` names the lines of each map.
    """
    data = maps.data.copy()
    found: list[str] = []
    for index, image in enumerate(data):
        unmeasured = np.isnan(image).all(axis=1)
        dead = ~unmeasured & (np.ptp(image, axis=1) == 0)
        noisy = _noisy_lines(image, ~unmeasured & ~dead)
        image[dead | noisy] = np.nan
        for lines, name in (
            (unmeasured, "not measured"),
            (dead, "dead"),
            (noisy, "noisy"),
        ):
            if lines.any():
                found.append(f"map {index}: lines {ranges(lines)} {name}")
    if not found:
        return maps.with_data(data, "no bad lines found")
    return maps.with_data(data, "bad lines masked: " + "; ".join(found))


def _noisy_lines(image: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Lines whose noise stands out from the lines around them, bool [H]."""
    noisy = np.zeros(usable.size, dtype=bool)
    if usable.sum() < _MIN_LINES:
        return noisy
    lines = image[usable].astype(np.float64)
    lines -= np.nanmedian(lines, axis=1, keepdims=True)
    curvature = np.empty_like(lines)
    starts = np.diff(usable.astype(np.int8), prepend=0) == 1
    runs = np.cumsum(starts)[usable]
    # Run by run: across a gap, lines that are no neighbours make a step.
    for run in np.unique(runs):
        part = np.nan_to_num(lines[runs == run])
        curvature[runs == run] = np.abs(
            ndimage.gaussian_laplace(part, _NOISE_SIGMA_PX)
        )
    level = np.log(np.median(curvature, axis=1) + np.finfo(np.float64).tiny)
    excess = level - ndimage.median_filter(level, _LINES_AROUND, mode="nearest")
    spread = _MAD_TO_STD * np.median(np.abs(excess))
    stands_out = excess > max(np.log(_NOISY_FACTOR), _NOISY_DEVIATIONS * spread)
    if stands_out.sum() <= _MAX_MASKED_SHARE * stands_out.size:
        noisy[np.flatnonzero(usable)[stands_out]] = True
    return noisy


def ranges(lines: np.ndarray) -> str:
    """Runs of lines, bool [H], as text, such as "0-3, 7"."""
    edges = np.flatnonzero(np.diff(lines.astype(np.int8), prepend=0, append=0))
    return ", ".join(
        f"{first}-{end - 1}" if end - first > 1 else f"{first}"
        for first, end in edges.reshape(-1, 2)
    )
