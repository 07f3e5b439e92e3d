"""Energy resolution of dI/dV maps: temperature and lock-in modulation."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from scipy.interpolate import BSpline, make_interp_spline

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import Part
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.units import BOLTZMANN_EV_PER_K


def thermal_kernel(energy_ev: np.ndarray, temperature_k: float) -> np.ndarray:
    """Minus the derivative of the Fermi function, of unit area.

    Its full width at half maximum is 3.53 k_B T.

    Args:
        energy_ev: energies about the Fermi level [eV], any shape.
        temperature_k: temperature [K], above zero.

    Returns:
        Density [1/eV], float64, the shape of `energy_ev`.
    """
    kt_ev = BOLTZMANN_EV_PER_K * temperature_k
    return 1 / (4 * kt_ev * np.cosh(np.asarray(energy_ev) / (2 * kt_ev)) ** 2)


def lock_in_kernel(
    energy_ev: np.ndarray, modulation_rms_v: float
) -> np.ndarray:
    """Half-ellipse by which a lock-in's first harmonic broadens dI/dV.

    Its full width at half maximum is sqrt(6) = 2.45 times the rms value
    (J. Klein et al., Phys. Rev. B 7, 2336 (1973)).

    Args:
        energy_ev: energies about the bias [eV], any shape.
        modulation_rms_v: rms of the sinusoidal modulation [V], above zero.

    Returns:
        Density [1/eV], float64, of unit area, the shape of `energy_ev`.
    """
    peak_ev = math.sqrt(2) * modulation_rms_v
    inside = np.clip(1 - (np.asarray(energy_ev) / peak_ev) ** 2, 0, None)
    return 2 / (math.pi * peak_ev) * np.sqrt(inside)


def _energy_nodes(
    temperature_k: float, modulation_rms_v: float
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [eV] and weights (sum 1) that integrate over both kernels.

    The trapezium rule in steps of k_B T is exact to 1e-8 for the thermal
    kernel, and Gauss-Chebyshev nodes are made for the half-ellipse. Both go
    to a single node at zero width. The convolution is the sum of two
    independent energies: the outer sum of nodes, product of weights.
    """
    kt = np.arange(-20.0, 21.0)
    thermal = 1 / (4 * np.cosh(kt / 2) ** 2)
    angle = np.arange(1, 17) * math.pi / 17
    lock_in = np.sin(angle) ** 2
    energy = np.add.outer(
        kt * BOLTZMANN_EV_PER_K * temperature_k,
        math.sqrt(2) * modulation_rms_v * np.cos(angle),
    )
    weight = np.multiply.outer(thermal, lock_in)
    return energy.ravel(), weight.ravel() / weight.sum()


def broadening_matrix(
    bias_v: np.ndarray, temperature_k: float, modulation_rms_v: float
) -> np.ndarray:
    """Linear map from dI/dV at given biases to the broadened dI/dV.

    Between biases the signal is a cubic spline, so a kernel narrower than
    the step counts as it should. Beyond the first and last bias it is held
    constant.

    Args:
        bias_v: [V] biases [V], distinct, in any order.
        temperature_k: temperature [K], zero or above.
        modulation_rms_v: rms of the lock-in modulation [V], zero or above.

    Returns:
        float64 [V, V]; every row sums to one.
    """
    order = np.argsort(bias_v)
    bias = bias_v[order]
    energy, weight = _energy_nodes(temperature_k, modulation_rms_v)
    degree = min(3, len(bias) - 1)
    knots = np.asarray(make_interp_spline(bias, bias, degree).t)
    at = np.clip(np.add.outer(bias, energy), bias[0], bias[-1])
    basis = BSpline.design_matrix(at.ravel(), knots, degree)
    mean = scipy.sparse.kron(scipy.sparse.eye_array(len(bias)), weight[None])
    averaged = (mean @ basis).toarray()
    collocation = BSpline.design_matrix(bias, knots, degree).toarray()
    matrix = np.empty_like(averaged)
    matrix[np.ix_(order, order)] = np.linalg.solve(collocation.T, averaged.T).T
    return matrix


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

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        if len(self.bias_v) != len(maps):
            raise InputError(
                f"EnergyResolution: `bias_v` holds {len(self.bias_v)} biases "
                f"for {len(maps)} maps. Give one for each map."
            )
        temperature = float(draw(self.temperature_k, rng))
        modulation = float(draw(self.modulation_rms_v, rng))
        if len(maps) == 1:
            return maps
        matrix = broadening_matrix(
            np.asarray(self.bias_v), temperature, modulation
        )
        return np.tensordot(matrix.astype(np.float32), maps, axes=1)
