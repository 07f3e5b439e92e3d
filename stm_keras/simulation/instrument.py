"""ONE instrument: what a microscope does to maps, each effect written once.

An effect is a `Part`: a frozen set of ranges and one function, `apply`, in
TensorFlow operations on batches [B, V, H, W]. Called with NumPy maps and a
generator it runs eagerly, for virtual experiments; inside `tf.data` the same
function is traced and runs on whole batches, for training. Only the source of
random numbers differs (`draws.py`).

TensorFlow's operations rather than `keras.ops`: an input pipeline is
TensorFlow's own whatever Keras runs on, and only they have real Fourier
transforms of maps and random numbers that follow from a seed alone.

Amplitudes are in units of the standard deviation of the maps (`scale`).
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import scipy.fft
import tensorflow as tf
from scipy.interpolate import BSpline, make_interp_spline

from stm_keras.errors import InputError
from stm_keras.simulation.draws import (
    Draws,
    GeneratorDraws,
    Shape,
    float32,
)
from stm_keras.simulation.ranges import (
    Range,
    check_maps,
    check_ranges,
    spread,
)
from stm_keras.units import BOLTZMANN_EV_PER_K

_AMPLITUDE_LIMITS: Range = (0.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """One effect of an experiment on its maps.

    Attributes:
        enabled: the part's switch; False returns the maps as they came.
    """

    enabled: bool = True

    def __call__(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> np.ndarray:
        """Apply the effect to one stack, eagerly.

        Args:
            maps: float32 [V, H, W], any unit; not changed.
            rng: source of randomness.
            scale: what amplitudes are multiples of, in the maps' unit; None
                takes the standard deviation of `maps` (`ranges.spread`).

        Returns:
            float32 [V, H, W], the unit of `maps`.

        Raises:
            InputError: for maps of another shape, or with NaN.
        """
        if not self.enabled:
            return maps
        check_maps(maps)
        scale = spread(maps) if scale is None else scale
        stack = float32(maps[None])
        return np.array(self.apply(stack, GeneratorDraws(rng), scale))[0]

    @abstractmethod
    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """Apply the effect to a batch, whatever the switch says.

        Args:
            maps: float32 [B, V, H, W], finite.
            draws: source of randomness; every stack has its own.
            scale: unit of amplitudes, a number or float32 [B, 1, 1, 1].

        Returns:
            float32 [B, V, H, W].
        """


# --- Fourier space -------------------------------------------------------


def frequencies(shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Angular frequencies of a real transform [rad/px].

    Args:
        shape: [B, V, H, W] of the maps.

    Returns:
        float32 [H, 1] and [1, W // 2 + 1].
    """
    height, width = shape[2], shape[3]
    rows = tf.range(height)
    rows = tf.where(rows > (height - 1) // 2, rows - height, rows)
    cols = tf.range(width // 2 + 1)
    row, col = (
        2 * math.pi * tf.cast(q, tf.float32) / tf.cast(n, tf.float32)
        for q, n in ((rows, height), (cols, width))
    )
    return row[:, None], col[None]


def mirrored(maps: tf.Tensor, pad: tf.Tensor | int) -> tf.Tensor:
    """Maps continued by their mirror image, [B, V, H + 2 pad, W + 2 pad].

    A Fourier transform takes maps for periodic, which they are not: mirrored
    beyond their edges they have no step there, whose ringing would reach far
    inside.
    """
    rim = pad * tf.constant([[0, 0], [0, 0], [1, 1], [1, 1]])
    return tf.pad(maps, rim, "SYMMETRIC")


def _pad(maps: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Width of a mirrored rim [px]: that wanted, or what the maps allow."""
    height, width = tf.unstack(tf.shape(maps)[2:])
    wanted = tf.cast(tf.math.ceil(wanted), tf.int32)
    return tf.minimum(wanted, tf.minimum(height, width))


def _filtered(
    maps: tf.Tensor, transfer: tf.Tensor, pad: tf.Tensor
) -> tf.Tensor:
    """Multiply mirrored maps in Fourier space and cut the rim off again."""
    height, width = tf.unstack(tf.shape(maps)[2:] - 2 * pad)
    wave = tf.signal.rfft2d(maps) * tf.cast(transfer, tf.complex64)
    changed = tf.signal.irfft2d(wave, tf.shape(maps)[2:])
    return changed[:, :, pad : pad + height, pad : pad + width]


@dataclass(frozen=True, kw_only=True)
class TipBlur(Part):
    """Blur by a tip that is not a point: a Gaussian, alike in all maps.

    Attributes:
        sigma_px: standard deviation along the narrow axis [px].
        anisotropy: wide axis over narrow axis, 1 or more, no unit. The
            direction of the wide axis is uniform.
    """

    sigma_px: Range = (0.1, 0.6)
    anisotropy: Range = (1.0, 1.5)

    def __post_init__(self) -> None:
        check_ranges(self, sigma_px=(0.0, 20.0), anisotropy=(1.0, 10.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        each = [tf.shape(maps)[0], 1, 1, 1]
        narrow = draws.uniform(each, self.sigma_px)
        wide = narrow * draws.uniform(each, self.anisotropy)
        angle = draws.uniform(each, (0.0, math.pi))
        # In Fourier space a Gaussian far narrower than a pixel is still
        # exact.
        pad = _pad(maps, 8 + 4 * tf.reduce_max(wide))
        maps = mirrored(maps, pad)
        row, col = frequencies(tf.shape(maps))
        along = wide * (row * tf.sin(angle) + col * tf.cos(angle))
        across = narrow * (row * tf.cos(angle) - col * tf.sin(angle))
        return _filtered(maps, tf.exp(-(along**2 + across**2) / 2), pad)


_SPLINE_RIM_PX = 16
"""A spline of degree 5 forgets what lies this far beyond: .43^16 = 1e-6."""


@dataclass(frozen=True, kw_only=True)
class Drift(Part):
    """Slow drift: each map is displaced along a smooth path.

    The mean of the path is zero, so true positions stay those of the mean
    map. Within one map the displacement is constant.

    Attributes:
        extent_px: greatest distance between any two displacements [px].
    """

    extent_px: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_ranges(self, extent_px=(0.0, 50.0))

    def path(self, n_maps: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the path of one stack.

        Args:
            n_maps: number of maps, in the order they were measured.
            rng: source of randomness.

        Returns:
            float64 [V, 2]: displacement (row, column) of each map [px].
        """
        paths = self.paths(1, n_maps, GeneratorDraws(rng))
        return np.asarray(paths, np.float64)[0]

    def paths(self, batch: Shape, n_maps: Shape, draws: Draws) -> tf.Tensor:
        """Draw paths: cubics in time, mostly their straight parts.

        Args:
            batch: number of stacks, B.
            n_maps: number of maps, in the order they were measured, V.
            draws: source of randomness.

        Returns:
            float32 [B, V, 2]: displacement (row, column) of each map [px].
        """
        extent = draws.uniform([batch, 1, 1], self.extent_px)
        bend = draws.normal([batch, 3, 2])
        t = tf.linspace(-1.0, 1.0, n_maps)
        # Legendre's polynomials, so that the three parts are independent.
        parts = [t, 0.4 * (1.5 * t**2 - 0.5), 0.2 * (2.5 * t**3 - 1.5 * t)]
        path = tf.einsum("nv,bnc->bvc", tf.stack(parts), bend)
        path -= tf.reduce_mean(path, axis=1, keepdims=True)
        apart = tf.norm(path[:, :, None] - path[:, None], axis=-1)
        widest = tf.reduce_max(apart, axis=(1, 2))[:, None, None]
        return path * tf.math.divide_no_nan(extent, widest)

    @staticmethod
    def displace(maps: np.ndarray, path: np.ndarray) -> np.ndarray:
        """Move each map of one stack by its displacement; see `displaced`.

        Args:
            maps: float32 [V, H, W].
            path: float [V, 2]: displacements (row, column) [px].

        Returns:
            float32 [V, H, W].
        """
        return np.asarray(displaced(float32(maps[None]), float32(path[None])))[
            0
        ]

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        return displaced(maps, self.paths(shape[0], shape[1], draws))


def displaced(maps: tf.Tensor, path: tf.Tensor) -> tf.Tensor:
    """Move each map by its displacement, the margin being mirrored.

    Splines of degree 5, as their factor in Fourier space (M. Unser et al.,
    IEEE Trans. Signal Process. 41, 821 (1993), doi:10.1109/78.193220), keep
    99.5% of a wave of 1.8 rad/px, the shortest of the paper's; a Fourier
    shift would ring at the edges.

    Args:
        maps: float32 [B, V, H, W].
        path: float32 [B, V, 2]: displacements (row, column) [px].

    Returns:
        float32 [B, V, H, W].
    """
    pad = _pad(maps, _SPLINE_RIM_PX + tf.reduce_max(tf.abs(path)))
    maps = mirrored(maps, pad)
    row, col = frequencies(tf.shape(maps))
    down, right = tf.unstack(path, axis=-1)
    transfer = tf.einsum(
        "bvh,bvw->bvhw",
        _spline_shift(row[:, 0], down),
        _spline_shift(col[0], right),
    )
    return _filtered(maps, transfer, pad)


def _spline_shift(q: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Factor of a shift by splines of degree 5, complex64 [B, V, Q].

    Args:
        q: frequencies, float32 [Q], rad/px.
        shift: float32 [B, V], px.
    """
    whole = tf.round(shift)
    near = tf.range(-3.0, 4.0)
    weight = _quintic(near - tf.expand_dims(shift - whole, -1))
    angle = tf.expand_dims(near + tf.expand_dims(whole, -1), -1) * q
    real = tf.einsum("bvn,bvnq->bvq", weight, tf.cos(angle))
    imaginary = tf.einsum("bvn,bvnq->bvq", weight, -tf.sin(angle))
    # What turns samples into the coefficients of the spline.
    inverse = 1 / ((66 + 52 * tf.cos(q) + 2 * tf.cos(2 * q)) / 120)
    return tf.complex(real * inverse, imaginary * inverse)


def _quintic(x: tf.Tensor) -> tf.Tensor:
    """The B-spline of degree 5 about 0, of the shape of `x` [px]."""
    inner = 3 - tf.abs(x)
    return (
        tf.nn.relu(inner) ** 5
        - 6 * tf.nn.relu(inner - 1) ** 5
        + 15 * tf.nn.relu(inner - 2) ** 5
    ) / 120


# --- energy --------------------------------------------------------------


def _energy_nodes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights that integrate over both kernels of the energy.

    The thermal kernel is minus the derivative of the Fermi function (full
    width 3.53 k_B T), that of the lock-in's first harmonic a half-ellipse
    (J. Klein et al., Phys. Rev. B 7, 2336 (1973)). The trapezium rule in
    steps of k_B T is exact to 1e-8 for the first, and Gauss-Chebyshev nodes
    are made for the second. Both go to a single node at zero width. The
    convolution is the sum of two independent energies: the outer sum of
    nodes, product of weights.

    Returns:
        Nodes in k_B T and in the modulation's rms, and weights (sum 1),
        float64 [N] each.
    """
    kt = np.arange(-20.0, 21.0)
    thermal = 1 / (4 * np.cosh(kt / 2) ** 2)
    angle = np.arange(1, 17) * math.pi / 17
    lock_in = np.sin(angle) ** 2
    of_kt, of_rms = np.meshgrid(kt, math.sqrt(2) * np.cos(angle), indexing="ij")
    weight = np.multiply.outer(thermal, lock_in)
    return of_kt.ravel(), of_rms.ravel(), weight.ravel() / weight.sum()


def broadening_matrix(
    bias_v: np.ndarray,
    temperature_k: tf.Tensor | np.ndarray,
    modulation_rms_v: tf.Tensor | np.ndarray,
) -> tf.Tensor:
    """Linear map from dI/dV at given biases to the broadened dI/dV.

    Between biases the signal is a cubic spline, so a kernel narrower than
    the step counts as it should. Beyond the first and last bias it is held
    constant.

    Args:
        bias_v: [V] biases [V], distinct, in any order.
        temperature_k: temperatures [B] [K], zero or above.
        modulation_rms_v: rms of the lock-in modulation [B] [V], zero or above.

    Returns:
        float64 [B, V, V]; every row sums to one.
    """
    order = np.argsort(bias_v)
    back = np.argsort(order)
    bias = np.asarray(bias_v, np.float64)[order]
    degree = min(3, len(bias) - 1)
    knots, to_spline = _spline_through(tuple(bias), degree)
    of_kt, of_rms, weight = _energy_nodes()
    kt = BOLTZMANN_EV_PER_K * tf.cast(temperature_k, tf.float64)
    rms = tf.cast(modulation_rms_v, tf.float64)
    energy = kt[:, None] * of_kt + rms[:, None] * of_rms
    at = energy[:, None, :] + bias[:, None]
    at = tf.clip_by_value(at, bias[0], bias[-1])
    averaged = _mean_basis(at, weight, knots, degree)
    matrix = tf.einsum("bvc,cw->bvw", averaged, to_spline)
    return tf.gather(tf.gather(matrix, back, axis=1), back, axis=2)


@functools.lru_cache(maxsize=8)
def _spline_through(
    bias_v: tuple[float, ...], degree: int
) -> tuple[np.ndarray, np.ndarray]:
    """Knots [V + degree + 1], and what turns values into coefficients."""
    knots = np.asarray(make_interp_spline(bias_v, bias_v, degree).t)
    basis = BSpline.design_matrix(bias_v, knots, degree).toarray()
    return knots, np.linalg.inv(basis)


def _mean_basis(
    at: tf.Tensor, weight: np.ndarray, knots: np.ndarray, degree: int
) -> tf.Tensor:
    """Means of all B-splines over nodes; de Boor's recursion where not zero.

    Args:
        at: places of the nodes, float64 [B, V, N].
        weight: of the nodes, float64 [N].
        knots: float64 [V + degree + 1].
        degree: of the splines.

    Returns:
        float64 [B, V, V].
    """
    shape, n_splines = tf.shape(at), len(knots) - degree - 1
    flat = tf.reshape(at, [-1])
    cell = tf.searchsorted(knots[degree + 1 : n_splines], flat, "right")
    cell += degree
    knots_ = tf.constant(knots)
    basis = [tf.ones_like(flat)]
    for j in range(1, degree + 1):
        saved, raised = tf.zeros_like(flat), []
        for r, value in enumerate(basis):
            right = tf.gather(knots_, cell + r + 1) - flat
            left = flat - tf.gather(knots_, cell + 1 - (j - r))
            part = value / (right + left)
            raised.append(saved + right * part)
            saved = left * part
        basis = [*raised, saved]
    values = tf.reshape(tf.stack(basis, axis=-1), [*tf.unstack(shape), -1])
    values *= weight[:, None]
    rows = tf.range(shape[0] * shape[1])[:, None, None] * n_splines
    columns = tf.reshape(cell - degree, [-1, shape[2], 1])
    columns += tf.range(degree + 1)
    total = tf.math.unsorted_segment_sum(
        tf.reshape(values, [-1]),
        tf.reshape(rows + columns, [-1]),
        shape[0] * shape[1] * n_splines,
    )
    return tf.reshape(total, [shape[0], shape[1], n_splines])


@dataclass(frozen=True, kw_only=True)
class EnergyResolution(Part):
    """Broadening over the bias axis by temperature and lock-in modulation.

    A stack of one map stays as it is: nothing is known of its neighbours.

    Attributes:
        temperature_k: of tip and sample [K].
        modulation_rms_v: rms of the lock-in's modulation [V]; its peak value
            is sqrt(2) times that.
        bias_v: the biases of the maps [V], one for each map.
    """

    temperature_k: Range = (4.0, 8.0)
    modulation_rms_v: Range = (0.001, 0.004)
    bias_v: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(
            self, temperature_k=(0.0, 400.0), modulation_rms_v=(0.0, 0.2)
        )
        if len(set(self.bias_v)) != len(self.bias_v):
            raise InputError(
                "EnergyResolution: `bias_v` must hold distinct biases; "
                "leave repeated maps out."
            )

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        n_maps = maps.shape[1]
        if n_maps is not None and len(self.bias_v) != n_maps:
            raise InputError(
                f"EnergyResolution: `bias_v` holds {len(self.bias_v)} biases "
                f"for {n_maps} maps. Give one for each map."
            )
        each = [tf.shape(maps)[0]]
        temperature = draws.uniform(each, self.temperature_k)
        modulation = draws.uniform(each, self.modulation_rms_v)
        if n_maps == 1:
            return maps
        matrix = broadening_matrix(
            np.asarray(self.bias_v), temperature, modulation
        )
        return tf.einsum("bvw,bwij->bvij", tf.cast(matrix, tf.float32), maps)


# --- noise ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Part):
    """Gaussian noise, independent in every pixel of every map.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
    """

    amplitude: Range = (0.1, 0.5)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        return maps + amplitude * draws.white(tf.shape(maps))


@dataclass(frozen=True, kw_only=True)
class UnevenNoise(Part):
    """White noise of each map's own strength: some of a stack are bad.

    Attributes:
        share: chance that a stack has it.
        amplitude: standard deviation that a stack's worst map may have
            [standard deviations of the maps]; most have far less, the cube
            of a uniform number of it.
    """

    share: float = 1.0
    amplitude: Range = (0.5, 4.0)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        of_each = draws.uniform([shape[0], shape[1], 1, 1], (0.0, 1.0)) ** 3
        has = draws.chance([shape[0], 1, 1, 1], self.share)
        strength = tf.where(has, amplitude * of_each, 0.0)
        return maps + strength * draws.white(shape)


def _amplitude(
    bounds: Range, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
) -> tf.Tensor:
    """One number for each stack, in the maps' unit, float32 [B, 1, 1, 1]."""
    return scale * draws.uniform([tf.shape(maps)[0], 1, 1, 1], bounds)


def _twice(n: tf.Tensor) -> tf.Tensor | int:
    """At least twice `n`, and quick to transform where `n` is known."""
    known = tf.get_static_value(n)
    if known is None:
        return 2 * n
    return scipy.fft.next_fast_len(2 * int(known), True) or 2 * int(known)


def _of_unit_deviation(field: tf.Tensor) -> tf.Tensor:
    """Each field [B, V, H, W] about 0, with standard deviation 1."""
    field -= tf.reduce_mean(field, axis=(2, 3), keepdims=True)
    deviation = tf.math.reduce_std(field, axis=(2, 3), keepdims=True)
    # A single pixel is all mean: nothing is left of it.
    return tf.math.divide_no_nan(field, deviation)


def power_law_noise(
    shape: tf.Tensor, exponent: tf.Tensor, draws: Draws
) -> tf.Tensor:
    """Random fields whose power falls as 1/f^exponent.

    They are made twice as large and cut: opposite edges of a field made by a
    Fourier transform are neighbours, those of a scan are not.

    Args:
        shape: [B, V, H, W], int32 [4].
        exponent: of the power against spatial frequency, zero or above,
            float32 [B, 1, 1, 1].
        draws: source of randomness.

    Returns:
        float32 [B, V, H, W]: each of mean 0 and standard deviation 1, and
        independent of the others.
    """
    rows, cols = _twice(shape[2]), _twice(shape[3])
    white = draws.white([shape[0], shape[1], rows, cols])
    q_row, q_col = frequencies(tf.shape(white))
    q = tf.sqrt(q_row**2 + q_col**2)
    # No mean: its frequency is zero.
    transfer = tf.where(q > 0, tf.maximum(q, 1e-6) ** (-exponent / 2), 0.0)
    wave = tf.signal.rfft2d(white) * tf.cast(transfer, tf.complex64)
    field = tf.signal.irfft2d(wave, [rows, cols])
    return _of_unit_deviation(field[:, :, : shape[2], : shape[3]])


def power_law_fields(
    shape: tuple[int, int, int], exponent: float, rng: np.random.Generator
) -> np.ndarray:
    """`power_law_noise` of one stack, as NumPy has it.

    Args:
        shape: (V, H, W), number and size of the fields.
        exponent: of the power against spatial frequency, zero or above.
        rng: source of randomness.

    Returns:
        float32 [V, H, W]: each of mean 0 and standard deviation 1.
    """
    draws = GeneratorDraws(rng)
    exponents = tf.fill([1, 1, 1, 1], np.float32(exponent))
    whole = tf.constant([1, *shape])
    return power_law_noise(whole, exponents, draws).numpy()[0]


@dataclass(frozen=True, kw_only=True)
class OneOverFNoise(Part):
    """Noise correlated over the frame, its power falling as 1/f^exponent.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        exponent: of the power against spatial frequency, no unit.
    """

    amplitude: Range = (0.1, 0.5)
    exponent: Range = (0.8, 1.6)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS, exponent=(0.0, 4.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        exponent = draws.uniform([tf.shape(maps)[0], 1, 1, 1], self.exponent)
        return maps + amplitude * power_law_noise(
            tf.shape(maps), exponent, draws
        )


@dataclass(frozen=True, kw_only=True)
class LineNoise(Part):
    """Noise that is smooth along each scan line and new in the next.

    Real noise is like this: the amplifier's bandwidth is below the pixels'
    rate, and lines are far apart in time.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        length_px: standard deviation of the Gaussian that smooths it along
            the line [px].
    """

    amplitude: Range = (0.0, 0.4)
    length_px: Range = (0.5, 3.0)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS, length_px=(0.0, 100.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        length = draws.uniform([shape[0], 1, 1, 1], self.length_px)
        # Twice as long and cut: a line's ends are no neighbours.
        cols = _twice(shape[3])
        white = draws.white([shape[0], shape[1], shape[2], cols])
        _, q = frequencies(tf.shape(white))
        wave = tf.signal.rfft(white) * tf.cast(
            tf.exp(-((length * q) ** 2) / 2), tf.complex64
        )
        field = tf.signal.irfft(wave, [cols])[..., : shape[3]]
        return maps + amplitude * _of_unit_deviation(field)


@dataclass(frozen=True, kw_only=True)
class ScanLineOffsets(Part):
    """An offset of every scan line (row), drawn anew in every map.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
    """

    amplitude: Range = (0.05, 0.2)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        batch, n_maps, height, _ = tf.unstack(tf.shape(maps))
        return maps + amplitude * draws.normal([batch, n_maps, height, 1])


# --- what changes slowly, or at once -------------------------------------


@dataclass(frozen=True, kw_only=True)
class MapGain(Part):
    """A factor of each map against the others of its stack (set point).

    Attributes:
        gain: bounds of the factor, no unit.
    """

    gain: Range = (0.7, 1.4)

    def __post_init__(self) -> None:
        check_ranges(self, gain=(0.0, 1000.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        return maps * draws.uniform([shape[0], shape[1], 1, 1], self.gain)


@dataclass(frozen=True, kw_only=True)
class TipJumps(Part):
    """A new state of the tip from some row of a map on, to its end.

    The maps after it start from the new state; an offset or a contrast of a
    whole map tells nothing about positions, so it is not carried on.

    Attributes:
        jumps_per_map: mean number of jumps in a map.
        offset: greatest jump of the offset, either sign [standard deviations
            of the maps].
        contrast: greatest relative change of the contrast about the map's
            mean, either sign, below 1, no unit.
    """

    jumps_per_map: Range = (0.0, 0.2)
    offset: Range = (0.1, 1.0)
    contrast: Range = (0.0, 0.3)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            jumps_per_map=(0.0, 100.0),
            offset=_AMPLITUDE_LIMITS,
            contrast=(0.0, 0.99),
        )

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        mean_number = draws.uniform([shape[0]], self.jumps_per_map)
        rows, offset, contrast = draws.jumps(
            mean_number, shape[:3], self.offset, self.contrast
        )
        # [B, V, K, H]: which rows each jump moves.
        after = tf.range(shape[2]) >= tf.expand_dims(rows, -1)
        steps = tf.where(after, tf.expand_dims(offset, -1), 0.0)
        factors = tf.where(after, tf.expand_dims(1 + contrast, -1), 1.0)
        step = tf.expand_dims(tf.reduce_sum(steps, axis=2), -1)
        factor = tf.expand_dims(tf.reduce_prod(factors, axis=2), -1)
        mean = tf.reduce_mean(maps, axis=(2, 3), keepdims=True)
        return mean + factor * (maps - mean) + scale * step


@dataclass(frozen=True, kw_only=True)
class BackgroundTilt(Part):
    """A plane in a uniform direction.

    Attributes:
        amplitude: standard deviation of the plane over the frame [standard
            deviations of the maps].
        of_each_map: every map has a plane of its own; else all share one.
    """

    amplitude: Range = (0.0, 0.5)
    of_each_map: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        each = [shape[0], shape[1] if self.of_each_map else 1, 1, 1]
        amplitude = scale * draws.uniform(each, self.amplitude)
        angle = draws.uniform(each, (0.0, 2 * math.pi))
        row, col = (
            tf.cast(tf.range(n), tf.float32) - tf.cast(n - 1, tf.float32) / 2
            for n in (shape[2], shape[3])
        )
        plane = tf.sin(angle) * row[:, None] + tf.cos(angle) * col
        return maps + amplitude * _of_unit_deviation(plane)


@dataclass(frozen=True, kw_only=True)
class DoubleTip(Part):
    """A second, weaker apex: the maps again, displaced, in all maps alike.

    True positions are those that the stronger apex sees.

    Attributes:
        share: share of stacks recorded with such a tip.
        strength: of the second apex over the first, no unit.
        distance_px: between the two [px], in a uniform direction.
    """

    share: float = 1.0
    strength: Range = (0.1, 0.6)
    distance_px: Range = (1.0, 6.0)

    def __post_init__(self) -> None:
        check_ranges(self, strength=(0.0, 1.0), distance_px=(0.0, 50.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        each = [shape[0], 1, 1, 1]
        double = draws.chance(each, self.share)
        strength = draws.uniform(each, self.strength)
        distance = draws.uniform(each[:3], self.distance_px)
        angle = draws.uniform(each[:3], (0.0, 2 * math.pi))
        step = distance * tf.concat([tf.sin(angle), tf.cos(angle)], axis=-1)
        path = tf.broadcast_to(step, [shape[0], shape[1], 2])
        both = (maps + strength * displaced(maps, path)) / (1 + strength)
        return tf.where(double, both, maps)


@dataclass(frozen=True, kw_only=True)
class MainsHum(Part):
    """A sine along the scan lines, of one frequency and a phase of each map.

    Lines do not take a whole number of its periods, so that it stands
    slanted in the frame.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        periods_per_line: periods of the mains while the tip crosses the
            frame once, no unit.
    """

    amplitude: Range = (0.1, 0.5)
    periods_per_line: Range = (1.0, 20.0)

    def __post_init__(self) -> None:
        check_ranges(
            self, amplitude=_AMPLITUDE_LIMITS, periods_per_line=(0.0, 1e4)
        )

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        each = [shape[0], 1, 1, 1]
        amplitude = _amplitude(self.amplitude, maps, draws, scale)
        periods = draws.uniform(each, self.periods_per_line)
        # By which part of a period the next line is late.
        slip = draws.uniform(each, (0.0, 1.0))
        start = draws.uniform([shape[0], shape[1], 1, 1], (0.0, 1.0))
        row = tf.cast(tf.range(shape[2]), tf.float32)[:, None]
        col = tf.cast(tf.range(shape[3]), tf.float32)
        along = periods * col / tf.cast(shape[3], tf.float32)
        hum = tf.sin(2 * math.pi * (along + slip * row + start))
        return maps + math.sqrt(2) * amplitude * hum


@dataclass(frozen=True, kw_only=True)
class InvertedContrast(Part):
    """Maps of the other sign, as a lock-in's phase or a topograph has them.

    Attributes:
        share: share of stacks whose maps are all inverted.
        share_of_maps: share of single maps inverted in the others.
    """

    share: float = 0.5
    share_of_maps: float = 0.0

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        whole = draws.chance([shape[0], 1, 1, 1], self.share)
        single = draws.chance([shape[0], shape[1], 1, 1], self.share_of_maps)
        return tf.where(whole | single, -maps, maps)


@dataclass(frozen=True, kw_only=True)
class MissingLines(Part):
    """A band of scan lines that was not measured, NaN in all maps.

    Let it act last: no other part takes NaN.

    Attributes:
        share: share of stacks with such a band.
        width: of the band, as a share of the frame's height.
    """

    share: float = 0.15
    width: Range = (0.02, 0.25)

    def __post_init__(self) -> None:
        check_ranges(self, width=(0.0, 1.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`."""
        shape = tf.shape(maps)
        each = [shape[0], 1, 1, 1]
        gap = draws.chance(each, self.share)
        height = tf.cast(shape[2], tf.float32)
        first = draws.uniform(each, (0.0, 1.0)) * height
        width = draws.uniform(each, self.width) * height
        line = tf.range(height)[:, None]
        lost = gap & (line >= first) & (line < first + width)
        return tf.where(lost, tf.constant(math.nan), maps)


# --- the whole instrument ------------------------------------------------


class Recording(NamedTuple):
    """What an acquisition gives, with what it knows and a user would not.

    Attributes:
        maps: float32 [V, H, W], the unit of the maps that went in.
        drift_px: float64 [V, 2]: true displacement (row, column) of each map
            [px]; zero where nothing drifts.
    """

    maps: np.ndarray
    drift_px: np.ndarray


@dataclass(frozen=True)
class Acquisition:
    """Parts of an experiment, applied one after another.

    Every part has randomness of its own: switching one off changes nothing
    about the others. Amplitudes are multiples of the standard deviation of
    the maps before the first part.

    Attributes:
        parts: in the order in which they act.
    """

    parts: tuple[Part, ...] = ()

    def __call__(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> np.ndarray:
        """Apply all parts; arguments and errors as in `record`.

        Returns:
            float32 [V, H, W].
        """
        return self.record(maps, rng, scale=scale).maps

    def record(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> Recording:
        """Apply all parts to one stack, eagerly, and keep the true drift.

        Args:
            maps: float32 [V, H, W], any unit; not changed.
            rng: source of randomness.
            scale: what amplitudes are multiples of, in the maps' unit; None
                takes the standard deviation of `maps`. Needed for maps
                without impurities, which would get no noise otherwise.

        Returns:
            The maps and the drift.

        Raises:
            InputError: for maps of another shape or with NaN, and where the
                biases of an `EnergyResolution` are not those of the maps.
        """
        check_maps(maps)
        scale = spread(maps) if scale is None else scale
        measured, drift = self.apply(
            float32(maps[None]), GeneratorDraws(rng), scale
        )
        return Recording(np.array(measured)[0], np.array(drift, np.float64)[0])

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Apply all parts to a batch.

        Args:
            maps: float32 [B, V, H, W], finite.
            draws: source of randomness.
            scale: unit of amplitudes, a number or float32 [B, 1, 1, 1].

        Returns:
            The maps, and the drift, float32 [B, V, 2] [px].
        """
        shape = tf.shape(maps)
        drift = tf.zeros([shape[0], shape[1], 2])
        own = draws.split(len(self.parts))
        for part, source in zip(self.parts, own, strict=True):
            if not part.enabled:
                continue
            if isinstance(part, Drift):
                path = part.paths(shape[0], shape[1], source)
                maps = displaced(maps, path)
                drift += path
            else:
                maps = part.apply(maps, source, scale)
        return maps, drift

    def with_bias(self, bias_v: Sequence[float] | np.ndarray) -> Self:
        """Tell the energy resolution at which biases the maps lie.

        Args:
            bias_v: [V] biases [V], one for each map, distinct.

        Returns:
            An acquisition of the same parts.
        """
        bias = tuple(float(b) for b in bias_v)
        return replace(
            self,
            parts=tuple(
                replace(p, bias_v=bias)
                if isinstance(p, EnergyResolution)
                else p
                for p in self.parts
            ),
        )

    def without(self, *kinds: type[Part]) -> Self:
        """Switch off all parts of some kinds, such as `Drift`."""
        return replace(
            self,
            parts=tuple(
                replace(p, enabled=False) if isinstance(p, kinds) else p
                for p in self.parts
            ),
        )


PRESETS: dict[str, Acquisition] = {
    "clean": Acquisition(),
    "typical": Acquisition(
        (
            EnergyResolution(
                temperature_k=(4.0, 6.0), modulation_rms_v=(0.001, 0.003)
            ),
            Drift(extent_px=(0.0, 0.3)),
            TipBlur(sigma_px=(0.1, 0.4), anisotropy=(1.0, 1.2)),
            TipJumps(
                jumps_per_map=(0.0, 0.05),
                offset=(0.1, 0.5),
                contrast=(0.0, 0.1),
            ),
            BackgroundTilt(amplitude=(0.0, 0.15)),
            OneOverFNoise(amplitude=(0.25, 0.25)),
            ScanLineOffsets(amplitude=(0.1, 0.1)),
            WhiteNoise(amplitude=(0.25, 0.25)),
        )
    ),
    "hard": Acquisition(
        (
            EnergyResolution(
                temperature_k=(4.0, 8.0), modulation_rms_v=(0.002, 0.005)
            ),
            Drift(extent_px=(0.2, 0.6)),
            TipBlur(sigma_px=(0.3, 0.6), anisotropy=(1.0, 1.5)),
            TipJumps(
                jumps_per_map=(0.05, 0.2),
                offset=(0.2, 1.0),
                contrast=(0.0, 0.2),
            ),
            BackgroundTilt(amplitude=(0.1, 0.3)),
            OneOverFNoise(amplitude=(0.5, 0.5)),
            ScanLineOffsets(amplitude=(0.2, 0.2)),
            WhiteNoise(amplitude=(0.5, 0.5)),
        )
    ),
}
"""Acquisitions by difficulty. `clean` is a perfect instrument; the noise of
`hard` is white 0.5, 1/f 0.5 and lines 0.2 of the maps' standard deviation, and
that of `typical` half of it."""


def preset(name: str, bias_v: Sequence[float] | np.ndarray) -> Acquisition:
    """Look an acquisition up by difficulty.

    Args:
        name: a key of `PRESETS`.
        bias_v: [V] biases of the maps [V].

    Returns:
        The acquisition, for maps at these biases.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise InputError(
            f"Unknown difficulty: {name!r}. Known: {', '.join(PRESETS)}."
        )
    return PRESETS[name].with_bias(bias_v)
