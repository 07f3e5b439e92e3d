"""Friedel oscillations by the paper's formula (arXiv:2006.15898, Eq. 3)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.surfaces import paper_wave_numbers

_PAPER_K = paper_wave_numbers()[[0, -1]]
PAPER_K0_RAD_PX = float(_PAPER_K.mean())
PAPER_K_SPREAD_RAD_PX = float(np.ptp(_PAPER_K) / 2)

_CHUNK = 8
"""Fields computed at once: their phases fit the processor's cache."""


@dataclass(frozen=True)
class FriedelConfig:
    """What a Friedel field is drawn from.

    The paper gives neither the number of impurities nor the ranges of A and
    eps; the defaults here are choices, and each is an option.

    Attributes:
        size_px: side L of the square field [px].
        n_voltages: number of maps, N_v.
        k0_rad_px: wave number around which the maps' own are drawn [rad/px];
            by default the middle of the paper's Au(111) biases.
        k_spread_rad_px: half width of that range [rad/px].
        n_impurities: fewest and most impurities in the field, N_i.
        eps_px: cutoff of the divergence at an impurity [px].
        on_grid: impurities sit on pixel centres, no two on the same one (the
            paper's labels); otherwise anywhere in the field.
        amplitude: range of A_w, drawn for every impurity and voltage.
        phase_rad: range of alpha_w [rad], likewise.
        margin_px: width of a border around the field [px] with impurities of
            the same density, whose waves reach the field. 0 is the paper's.
    """

    size_px: int = 20
    n_voltages: int = 16
    k0_rad_px: float = PAPER_K0_RAD_PX
    k_spread_rad_px: float = PAPER_K_SPREAD_RAD_PX
    n_impurities: tuple[int, int] = (1, 6)
    eps_px: float = 1.0
    on_grid: bool = True
    amplitude: tuple[float, float] = (0.5, 1.5)
    phase_rad: tuple[float, float] = (0.0, 2 * np.pi)
    margin_px: int = 0

    def __post_init__(self) -> None:
        self._require_positive("size_px", "n_voltages", "k0_rad_px", "eps_px")
        for name in ("n_impurities", "amplitude", "phase_rad"):
            low, high = getattr(self, name)
            if not -np.inf < low <= high < np.inf:
                raise InputError(
                    f"`{name}` must be (low, high). Received: ({low}, {high})"
                )
        if self.n_impurities[0] < 1:
            raise InputError(
                "A field without impurities has no label: `n_impurities` must "
                f"be at least 1. Received: {self.n_impurities[0]}"
            )
        if self.on_grid and self.n_impurities[1] > self.size_px**2:
            raise InputError(
                f"{self.n_impurities[1]} impurities do not fit on the "
                f"{self.size_px} x {self.size_px} px grid: ask for fewer."
            )
        if not 0 <= self.k_spread_rad_px < self.k0_rad_px:
            raise InputError(
                "`k_spread_rad_px` must lie in [0, k0_rad_px). Received: "
                f"k_spread_rad_px={self.k_spread_rad_px:g}"
            )
        if 2 * (self.k0_rad_px + self.k_spread_rad_px) > np.pi:
            raise InputError(
                "The pixel is too coarse for the waves: 2k reaches "
                f"{2 * (self.k0_rad_px + self.k_spread_rad_px):.3g} rad/px, "
                "and beyond pi (two pixels a wave) they alias. Lower "
                "`k0_rad_px` or `k_spread_rad_px`."
            )
        if self.margin_px < 0:
            raise InputError(
                f"`margin_px` must be >= 0. Received: {self.margin_px}"
            )

    def _require_positive(self, *names: str) -> None:
        for name in names:
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(
                    f"`{name}` must be positive. "
                    f"Received: {name}={getattr(self, name)}"
                )


class FriedelFields(NamedTuple):
    """A batch of simulated fields without noise.

    Attributes:
        maps: float32 [B, V, L, L] in [-1, 1], each of mean zero.
        positions: B arrays, float32 [n, 2], row and column [px] of the
            impurities inside the field.
        wave_numbers: k of every map, float32 [B, V] [rad/px].
    """

    maps: np.ndarray
    positions: list[np.ndarray]
    wave_numbers: np.ndarray


def friedel_sum(
    positions: np.ndarray,
    amplitudes: np.ndarray,
    phases: np.ndarray,
    wave_numbers: np.ndarray,
    *,
    size_px: int,
    eps_px: float,
) -> np.ndarray:
    """Eq. 3 of arXiv:2006.15898 for a batch of fields, not yet normalised.

    Args:
        positions: impurities, row and column, float [B, n, 2] [px].
        amplitudes: A, [B, V, n]; 0 switches an impurity off.
        phases: alpha, [B, V, n] [rad].
        wave_numbers: k, [B, V] [rad/px].
        size_px: side L of the fields [px].
        eps_px: the cutoff epsilon [px].

    Returns:
        dn, float32 [B, V, L, L].
    """
    axis = np.arange(size_px, dtype=np.float32)
    rows, cols = np.moveaxis(positions.astype(np.float32), -1, 0)
    distance = np.hypot(
        axis[:, None] - rows[..., None, None], axis - cols[..., None, None]
    ).reshape(*rows.shape, -1)
    decay = (distance + np.float32(eps_px)) ** -2
    k2 = 2 * wave_numbers.astype(np.float32)
    waves = k2[..., None, None] * distance[:, None]
    waves += phases.astype(np.float32)[..., None]
    np.cos(waves, out=waves)
    waves *= decay[:, None]
    # sum_w A_w (...): a small matrix product for every field and voltage.
    fields = amplitudes.astype(np.float32)[..., None, :] @ waves
    return fields.reshape(*k2.shape, size_px, size_px)


def normalise(maps: np.ndarray) -> np.ndarray:
    """Subtract each map's mean, then divide by its largest absolute value.

    Args:
        maps: [..., H, W].

    Returns:
        The same shape and dtype, in [-1, 1]; a constant map becomes 0.
    """
    maps = maps - maps.mean(axis=(-2, -1), keepdims=True)
    largest = np.abs(maps).max(axis=(-2, -1), keepdims=True)
    return maps / np.maximum(largest, np.finfo(maps.dtype).tiny)


def simulate_friedel(
    config: FriedelConfig,
    rng: np.random.Generator,
    n_fields: int,
    *,
    wave_numbers: np.ndarray | None = None,
) -> FriedelFields:
    """Draw fields of Eq. 3.

    Args:
        config: what to draw from.
        rng: the source of all randomness.
        n_fields: B.
        wave_numbers: k of the maps, [V] [rad/px], the same in all fields;
            None draws them.

    Returns:
        `FriedelFields` of B fields, clean: noise is added when training.
    """
    counts = rng.integers(*config.n_impurities, n_fields, endpoint=True)
    inside = [_draw_positions(config, rng, n) for n in counts]
    outside = [_draw_margin(config, rng, n) for n in counts]
    everywhere = [
        np.concatenate(pair) for pair in zip(inside, outside, strict=True)
    ]
    most = max(len(p) for p in everywhere)
    padded = np.zeros((n_fields, most, 2), np.float32)
    present = np.zeros((n_fields, 1, most), np.float32)
    for i, positions in enumerate(everywhere):
        padded[i, : len(positions)] = positions
        present[i, :, : len(positions)] = 1
    shape = (n_fields, config.n_voltages, most)
    amplitudes = rng.uniform(*config.amplitude, shape) * present
    phases = rng.uniform(*config.phase_rad, shape)
    if wave_numbers is None:
        k = config.k0_rad_px + config.k_spread_rad_px * np.sort(
            rng.uniform(-1, 1, shape[:2]), axis=1
        )
    else:
        k = np.broadcast_to(wave_numbers, shape[:2])
    maps = [
        friedel_sum(
            *(a[i : i + _CHUNK] for a in (padded, amplitudes, phases, k)),
            size_px=config.size_px,
            eps_px=config.eps_px,
        )
        for i in range(0, n_fields, _CHUNK)
    ]
    return FriedelFields(
        normalise(np.concatenate(maps)), inside, k.astype(np.float32)
    )


def _draw_positions(
    config: FriedelConfig, rng: np.random.Generator, n: int
) -> np.ndarray:
    size = config.size_px
    if config.on_grid:
        pixels = rng.choice(size**2, n, replace=False)
        return np.stack(np.divmod(pixels, size), axis=1).astype(np.float32)
    return rng.uniform(-0.5, size - 0.5, (n, 2)).astype(np.float32)


def _draw_margin(
    config: FriedelConfig, rng: np.random.Generator, n_inside: int
) -> np.ndarray:
    """Impurities of the border, as dense as the `n_inside` in the field."""
    size, margin = config.size_px, config.margin_px
    if margin == 0:
        return np.zeros((0, 2), np.float32)
    whole = size + 2 * margin
    n = rng.poisson(n_inside * (whole**2 / size**2))
    points = rng.uniform(-0.5 - margin, size - 0.5 + margin, (n, 2))
    within = np.all((points >= -0.5) & (points < size - 0.5), axis=1)
    return points[~within].astype(np.float32)
