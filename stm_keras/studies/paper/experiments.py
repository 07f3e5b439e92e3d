"""The virtual experiments of a study: drawn once, kept in its folder."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.bound_states import find_bound_states
from stm_keras.detector.tiles import Tiling, cut_tiles
from stm_keras.files import atomic_file, writable_directory
from stm_keras.simulation.virtual_experiment import simulate_virtual
from stm_keras.studies.paper.settings import TILE_PX, ExperimentSettings

PAPER_TILING = Tiling(TILE_PX)
"""Edge to edge, as the paper cuts."""

_DIGEST_LENGTH = 8


class Draw(NamedTuple):
    """One virtual experiment.

    Attributes:
        maps: the voltages that were kept, float32 [V, H, W].
        bias_v: of each map [V], float64 [V].
        wave_numbers: k of each map [rad/px], float64 [V].
        bound_state: map of the bound states, float32 [H, W].
        positions: the truth, float64 [n, 2] (row, col) [px].
        reference: what expectation-maximisation finds in the bound states,
            float64 [m, 2] [px]; the paper's reference.
        decoys: blobs that are no impurities, float64 [d, 2] [px].
    """

    maps: np.ndarray
    bias_v: np.ndarray
    wave_numbers: np.ndarray
    bound_state: np.ndarray
    positions: np.ndarray
    reference: np.ndarray
    decoys: np.ndarray

    @property
    def tiles(self) -> np.ndarray:
        """The maps in the paper's tiles, float32 [n, V, L, L]."""
        return cut_tiles(self.maps, PAPER_TILING)


class Experiments(NamedTuple):
    """All draws of a study; see `ExperimentSettings`."""

    shown: list[Draw]
    unseen: list[Draw]
    tuning: list[Draw]


def draw_experiment(settings: ExperimentSettings, number: int) -> Draw:
    """Simulate one experiment and find its reference positions.

    Args:
        settings: what it is drawn from.
        number: of the experiment; with the seed it fixes the draw.
    """
    config = settings.virtual()
    rng = np.random.default_rng([settings.seed, number])
    whole = simulate_virtual(config, rng)
    kept = np.linspace(0, len(whole.maps) - 1, settings.n_voltages)
    kept = kept.round().astype(int)
    return Draw(
        maps=whole.maps[kept],
        bias_v=whole.bias_v[kept],
        wave_numbers=whole.wave_numbers[kept],
        bound_state=whole.bound_state,
        positions=whole.positions,
        reference=find_bound_states(whole.bound_state).positions,
        decoys=whole.decoys,
    )


def load_experiments(
    settings: ExperimentSettings, folder: str | Path
) -> Experiments:
    """Read a study's experiments, simulating those that are not there.

    Args:
        settings: what they are drawn from.
        folder: where they are kept, one file a draw.

    Raises:
        InputError: where the folder cannot be written to.
    """
    folder = writable_directory(folder)
    counts = (settings.n_shown, settings.n_unseen, settings.n_tuning)
    ends = np.cumsum(counts)
    draws = [_load(settings, i, folder) for i in range(ends[-1])]
    return Experiments(
        draws[: ends[0]], draws[ends[0] : ends[1]], draws[ends[1] :]
    )


def _load(settings: ExperimentSettings, number: int, folder: Path) -> Draw:
    """A draw from its file, or from the simulator and then into the file."""
    values = asdict(settings)
    for name in ("n_shown", "n_unseen", "n_tuning"):
        del values[name]  # how many there are changes none of them
    text = json.dumps(values, sort_keys=True)
    digest = sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    path = folder / f"{digest}-{number}.npz"
    if not path.exists():
        draw = draw_experiment(settings, number)
        with atomic_file(path) as temporary:
            np.savez_compressed(temporary, **draw._asdict())
        return draw
    with np.load(path) as stored:
        return Draw(**{name: stored[name] for name in Draw._fields})


def surrogate(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maps with the same spectra and no impurities: phases made random.

    All maps get the same random phases, which keeps what they have in common
    in Fourier space and scatters every ring over the whole frame
    (J. Theiler et al., Physica D 58, 77 (1992)).

    Args:
        maps: [V, H, W], finite.
        rng: source of the phases.

    Returns:
        float32 [V, H, W], each map with the mean and power spectrum it had.
    """
    white = np.fft.rfft2(rng.standard_normal(maps.shape[1:]))
    phases = white / np.maximum(np.abs(white), np.finfo(float).tiny)
    phases[0, 0] = 1.0  # the mean
    shape = (maps.shape[1], maps.shape[2])
    mixed = np.fft.irfft2(np.fft.rfft2(maps) * phases, s=shape)
    return mixed.astype(np.float32)
