"""What measured rings say about the surface: k(V), and which known one fits."""

from collections.abc import Sequence
from dataclasses import dataclass

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.qpi.dispersion import (
    Deviation,
    Dispersion,
    Rings,
    deviation_from,
    deviations_from_surfaces,
    fit_dispersion,
    n_biases,
    rings_of_frames,
)
from stm_keras.qpi.ring import Ring


@dataclass(frozen=True, eq=False)
class KnownSurfaces:
    """What rings say about k(V).

    Attributes:
        rings: those that were seen.
        dispersion: the fit; None with rings at fewer than two biases.
        no_fit: why there is no fit.
        deviations: from every known surface, the nearest first.
        asked: from the surface that the user named.
    """

    rings: Rings
    dispersion: Dispersion | None
    no_fit: str
    deviations: tuple[Deviation, ...]
    asked: Deviation | None = None

    @property
    def suggested(self) -> Deviation | None:
        """The nearest surface, where it fits."""
        first = next(iter(self.deviations), None)
        return first if first is not None and first.fits else None


def compare_with_surfaces(
    frames: Sequence[Sequence[tuple[float, Ring]]], surface: str | None
) -> KnownSurfaces | None:
    """Fit k(V) to rings and compare them with the known surfaces.

    Args:
        frames: for each frame, bias [V] and ring of its maps.
        surface: to compare with in any case, see `surfaces.surface`.

    Returns:
        None where there is no ring.

    Raises:
        InputError: for an unknown surface.
    """
    rings = rings_of_frames(frames)
    if not rings.bias_v.size:
        return None
    dispersion, no_fit = None, ""
    if n_biases(rings.bias_v) < 2:
        no_fit = "rings at one bias only; two or more tell m* and E0"
    else:
        try:
            dispersion = fit_dispersion(rings)
        except InputError as error:
            no_fit = str(error)
    deviations = tuple(deviations_from_surfaces(rings))
    asked = None
    if surface is not None:
        wanted = surfaces.surface(surface)
        asked = deviation_from(surface, wanted, rings)
    return KnownSurfaces(rings, dispersion, no_fit, deviations, asked)
