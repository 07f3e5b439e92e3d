"""Suite `waves`: what the wave model tells, on virtual and real files.

    python -m stm_keras.studies.bench.waves [--part PARTS] [--real DIR]
    python -m stm_keras.studies.bench.waves calibrate

The first prints tables in Markdown (PARTS: phases,judge,real); the second fits
the constants of the judge on fields of other seeds and prints them.
"""

import argparse
import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from stm_keras.detections import read_positions
from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.simulation.instrument import power_law_fields
from stm_keras.simulation.scattering import ldos, t_amplitude
from stm_keras.simulation.scene import ScattererRanges, draw_positions, in_frame
from stm_keras.simulation.short_range import CoreRanges, DecoyRanges
from stm_keras.simulation.virtual_experiment import (
    ShortRange,
    VirtualConfig,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_PIXEL_NM, SURFACES
from stm_keras.waves.dispersion import wave_dispersion
from stm_keras.waves.fit import WaveFit, WaveOptions, fit_waves
from stm_keras.waves.judge import (
    JudgeWeights,
    decided,
    evidence_of,
    features,
)

_SURFACE = SURFACES["au111"]
_SIZE = 80
_RANGE_V = (-0.2, 0.02)
_CALIBRATION, _TEST = 1000, 5000
"""First seeds of the fields that constants are fitted on, and tested on."""

_HIT_PX = 1.5


class Field(NamedTuple):
    """A virtual field whose impurities have phases of their own.

    Attributes:
        maps: with noise.
        positions: true ones in the frame [n, 2] [px].
        q_per_nm: true [V].
        t: true, complex [n, V].
    """

    maps: ConductanceMaps
    positions: np.ndarray
    q_per_nm: np.ndarray
    t: np.ndarray


def phase_field(
    seed: int,
    n_maps: int,
    *,
    white: float,
    pink: float,
    inside: int = 20,
    outside: int = 30,
) -> Field:
    """Each impurity of its own kind, as in the issue's first row.

    Args:
        seed: of the field.
        n_maps: from -200 to +20 mV on Au(111).
        white: noise in standard deviations of the waves.
        pink: likewise, of 1/f^1.2.
        inside: impurities in the frame of 80 x 80 px.
        outside: and around it, within 24 px.
    """
    rng = np.random.default_rng(seed)
    bias = np.linspace(*_RANGE_V, n_maps)
    k = _SURFACE.wave_number(bias)
    shape = (_SIZE, _SIZE)
    wide = draw_positions(
        rng,
        shape=shape,
        density=3 * (inside + outside) / 128**2,
        margin_px=24.0,
        min_distance_px=2.0,
    )
    within = in_frame(wide, shape)
    places = np.concatenate([wide[within][:inside], wide[~within][:outside]])
    scatterers = ScattererRanges().draw(places, bias, rng)
    path = math.exp(rng.uniform(math.log(40), math.log(200)))
    waves = (
        ldos(
            scatterers,
            wave_number=k * PAPER_PIXEL_NM,
            shape=shape,
            mean_free_path=path,
        )
        - 1
    )
    spread = waves.std()
    noisy = waves + spread * (
        white * rng.standard_normal(waves.shape)
        + pink * power_law_fields((n_maps, *shape), 1.2, rng)
    )
    extent = _SIZE * PAPER_PIXEL_NM
    maps = ConductanceMaps(noisy.astype(np.float32), bias, (extent, extent))
    t = t_amplitude(scatterers.delta, scatterers.absorption)
    n = len(wide[within][:inside])
    return Field(maps, places[:n], 2 * k, t[:, :n].T)


def fitted_field(
    field: Field, seed: int, off: float = 1.02, error_nm: float = 0.02
) -> WaveFit:
    """Fit a field from wrong positions and a wrong q."""
    rng = np.random.default_rng((seed, 1))
    error = error_nm / PAPER_PIXEL_NM
    start = field.positions + rng.normal(0, error, field.positions.shape)
    start = np.clip(start, -0.49, _SIZE - 0.51)
    return fit_waves(
        field.maps, start, np.full(start.shape, error), off * field.q_per_nm
    )


def phase_rows(n_fields: int) -> Iterator[str]:
    """Phases, q, dispersion on virtual fields."""
    yield (
        "| virtual, 8 maps, each impurity its own kind | median error | "
        "< .1 rad | within 1 s | within 2 s | q, worst of a map | m* | E0 |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for white, pink in ((0.3, 0.2), (1.0, 0.5)):
        errors, pulls, off, mass, edge = [], [], [], [], []
        for seed in range(n_fields):
            field = phase_field(seed, 8, white=white, pink=pink)
            fit = fitted_field(field, seed)
            error = np.angle(fit.amplitudes / field.t)
            errors += [*np.abs(error).ravel()]
            pulls += [*(error / fit.std_phase_rad)[fit.determined]]
            off += [*np.abs(fit.q_per_nm / field.q_per_nm - 1)]
            found = wave_dispersion(fit)
            if found is not None:
                mass.append(found.effective_mass / 0.26 - 1)
                edge.append(found.band_edge_ev + 0.52)
        e, p = np.array(errors), np.abs(pulls)
        yield (
            f"| noise {white} + {pink} (1/f), {n_fields} fields | "
            f"{np.median(e):.3f} rad | {(e < 0.1).mean():.0%} | "
            f"{(p < 1).mean():.0%} | {(p < 2).mean():.0%} | median "
            f"{np.median(off):.2%}, max {np.max(off):.2%} | "
            f"max {np.abs(mass).max():.2%} | "
            f"max {1000 * np.abs(edge).max():.1f} meV |"
        )


def left_out_rows(n_fields: int) -> Iterator[str]:
    """A bias left out is predicted from the others."""
    values = []
    for seed in range(n_fields):
        field = phase_field(seed, 9, white=0.3, pink=0.2, outside=0)
        values.append(_predicted(field, seed, 4))
    yield (
        "| a bias left out, predicted from 8 others (no impurity outside): "
        "R^2 outside of the cores over what the noise allows | "
        f"{np.median(values):.3f} (least {np.min(values):.3f}) |"
    )


def _predicted(field: Field, seed: int, v: int) -> float:
    """R^2 of a map by amplitudes and q of the others, of what can be had."""
    from stm_keras.waves.model import Medium, distances, scatter

    maps = field.maps
    kept = np.delete(np.arange(len(maps.bias_v)), v)
    part = maps.with_data(maps.data[kept], "", bias_v=maps.bias_v[kept])
    fit = fitted_field(
        Field(part, field.positions, field.q_per_nm[kept], field.t[:, kept]),
        seed,
    )
    at = [
        np.polyval(np.polyfit(part.bias_v, row, 3), maps.bias_v[v])
        for row in (*fit.amplitudes.real, *fit.amplitudes.imag)
    ]
    n = len(field.positions)
    found = wave_dispersion(fit)
    assert found is not None
    q = float(found.q_per_nm(maps.bias_v[v]))
    scale = float(np.nanmedian(fit.scale))
    medium = Medium(
        q / 2 * fit.pixel_nm,
        fit.pixel_nm / (2 * fit.mean_free_path_nm),
        1 / scale,
    )
    shape = maps.data.shape[1:]
    pixels = np.argwhere(np.ones(shape, bool)).astype(float)
    r = distances(fit.positions_px, pixels)
    wave = scatter(
        np.array(at[:n]) + 1j * np.array(at[n:]), fit.positions_px, r, medium
    ).modulation
    free = r.min(axis=0) > fit.core_nm.max() / fit.pixel_nm
    image = maps.data[v].ravel()[free].astype(float)
    image -= image.mean()
    left = image - (wave[free] - wave[free].mean())
    r2 = 1 - left.var() / image.var()
    noise = 0.3**2 + 0.2**2
    return float(r2 / (1 / (1 + noise)))


# --- the judge -------------------------------------------------------------


class Judged(NamedTuple):
    """A field with a network's candidates.

    Attributes:
        maps: of the field.
        positions: true impurities [n, 2] [px].
        q_per_nm: of the maps [V].
        candidates: of the network [m, 2] [px].
        probabilities: of these [m].
        true: which of these are impurities, bool [m].
    """

    maps: ConductanceMaps
    positions: np.ndarray
    q_per_nm: np.ndarray
    candidates: np.ndarray
    probabilities: np.ndarray
    true: np.ndarray


def add_step(
    maps: np.ndarray, k: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A step edge: a rim along a line, waves off it, one side higher.

    Args:
        maps: [V, H, W].
        k: wave numbers [V] [rad/px].
        rng: of where and how.
    """
    height, width = maps.shape[1:]
    rows, cols = np.indices((height, width))
    angle = rng.uniform(0, 2 * np.pi)
    middle = rng.uniform(0.25, 0.75, 2) * (height, width)
    x = (rows - middle[0]) * np.cos(angle) + (cols - middle[1]) * np.sin(angle)
    spread = maps.std()
    rim = rng.choice((-1, 1)) * rng.uniform(3, 10) * spread
    rim = rim * np.exp(-0.5 * (x / rng.uniform(0.7, 2.0)) ** 2)
    side = rng.uniform(-2, 2) * spread * np.tanh(x / 1.5)
    strength, phase = rng.uniform(0, 2) * spread, rng.uniform(0, 2 * np.pi)
    far = np.abs(x) + 1.0
    waves = np.cos(2 * k[:, None, None] * far + phase) / np.sqrt(
        k[:, None, None] * far
    )
    return (maps + rim + side + strength * waves).astype(np.float32)


def judged_field(seed: int, n_maps: int, finder: Any) -> Judged:
    """A field with blobs, perhaps a step, and the network's candidates."""
    rng = np.random.default_rng(seed)
    bias = tuple(np.linspace(*_RANGE_V, n_maps)) if n_maps > 1 else (-0.05,)
    tall = bool(rng.random() < 0.6)
    config = VirtualConfig(
        n_impurities=float(rng.uniform(12, 45)),
        difficulty=str(rng.choice(["typical", "hard"])),
        bias_v=bias,
        short_range=ShortRange(
            CoreRanges(shift=(0.0, 0.8), anisotropy=(1.0, 2.0)),
            DecoyRanges(
                amplitude=(5.0, 16.0) if tall else (0.5, 6.0),
                sigma=(0.25, 1.4),
                density_per_px=(8 / _SIZE**2, 8 / _SIZE**2),
            ),
        ),
    )
    whole = simulate_virtual(config, rng)
    data = whole.maps
    if rng.random() < 0.35:
        data = add_step(data, whole.wave_numbers, rng)
    found = finder.detect(data, 2 * whole.wave_numbers, fit_rings=False)
    extent = _SIZE * PAPER_PIXEL_NM
    maps = ConductanceMaps(data, whole.bias_v, (extent, extent))
    true = matched(found.positions, whole.positions, found.probabilities)
    return Judged(
        maps,
        whole.positions,
        2 * whole.wave_numbers / PAPER_PIXEL_NM,
        found.positions,
        found.probabilities,
        true,
    )


def matched(
    found: np.ndarray,
    true: np.ndarray,
    order: np.ndarray,
    most: float = _HIT_PX,
) -> np.ndarray:
    """Which candidates are the nearest to an impurity, the surest first."""
    hit, taken = np.zeros(len(found), bool), np.zeros(len(true), bool)
    if not len(found) or not len(true):
        return hit
    apart = cdist(found, true)
    for j in np.argsort(-order):
        free = np.where(taken, np.inf, apart[j])
        best = int(free.argmin())
        if free[best] <= most:
            hit[j] = taken[best] = True
    return hit


def calibrate(finder: Any, n_fields: int) -> tuple[JudgeWeights, int, float]:
    """Fit the judge's constants; fields of 1, 4 and 16 maps in turn."""
    rows, labels = [], []
    for number in range(n_fields):
        field = judged_field(
            _CALIBRATION + number, (1, 4, 16)[number % 3], finder
        )
        found = evidence_of(
            field.maps, field.candidates, field.probabilities, field.q_per_nm
        )
        result = decided(field.candidates, field.probabilities, found)
        if not result.held:
            continue
        terms = features(field.probabilities, result.evidence, result.expected)
        heard = np.isfinite(terms).all(axis=1)
        rows.append(terms[heard])
        labels.append(field.true[heard])
    x, y = np.concatenate(rows), np.concatenate(labels).astype(float)
    return JudgeWeights(*_logistic(x, y)), len(y), float(y.mean())


def _logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights of greatest likelihood under a weak prior."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logit = x @ w
        value = np.logaddexp(0, logit).sum() - y @ logit + 0.01 * w @ w
        p = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        return float(value), x.T @ (p - y) + 0.02 * w

    start = np.zeros(x.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B").x


def judge_rows(finder: Any, n_fields: int) -> Iterator[str]:
    """Network alone and with waves on fields of other seeds."""
    yield (
        "| fields with blobs and steps, seeds of the test | AUC, network | "
        "AUC, with waves | precision and recall, network | with waves |"
    )
    yield "|---|---|---|---|---|"
    for n_maps in (1, 4, 16):
        alone, joint, true, missed = [], [], [], 0
        held = 0
        for number in range(n_fields):
            field = judged_field(_TEST + number, n_maps, finder)
            found = evidence_of(
                field.maps,
                field.candidates,
                field.probabilities,
                field.q_per_nm,
            )
            result = decided(field.candidates, field.probabilities, found)
            held += result.held
            alone += [*field.probabilities]
            joint += [*result.probabilities]
            true += [*field.true]
            missed += len(field.positions) - int(field.true.sum())
        y = np.array(true)
        cells = [np.array(alone), np.array(joint)]
        areas = [auc(p[y], p[~y]) for p in cells]
        marks = [_marks(p, y, missed) for p in cells]
        yield (
            f"| {n_maps} maps, {n_fields} fields (waves heard in {held}) | "
            f"{areas[0]:.3f} | {areas[1]:.3f} | {marks[0]} | {marks[1]} |"
        )


def _marks(p: np.ndarray, y: np.ndarray, missed: int) -> str:
    kept = p >= 0.5
    precision = y[kept].mean() if kept.any() else math.nan
    recall = (kept & y).sum() / max(y.sum() + missed, 1)
    loss = -np.mean(np.log(np.clip(np.where(y, p, 1 - p), 1e-6, 1)))
    return f"{precision:.3f}, {recall:.3f} (log loss {loss:.3f})"


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive scores above a negative."""
    if not len(positive) or not len(negative):
        return math.nan
    more = (positive[:, None] > negative).mean()
    return float(more + 0.5 * (positive[:, None] == negative).mean())


def evidence_rows(n_fields: int) -> Iterator[str]:
    """Impurities against blobs by evidence alone, all places given."""
    yield (
        "| impurities against blobs of 5 to 16 times the waves, places "
        "given, noise `typical` | AUC of the evidence | blobs kept where "
        "2 % of the impurities are lost |"
    )
    yield "|---|---|---|"
    for n_maps in (1, 4, 16):
        positive, negative = [], []
        for number in range(n_fields):
            rng = np.random.default_rng(_TEST + number)
            bias = np.linspace(*_RANGE_V, n_maps) if n_maps > 1 else [-0.05]
            whole = simulate_virtual(
                VirtualConfig(
                    bias_v=tuple(bias),
                    short_range=ShortRange(
                        CoreRanges(),
                        DecoyRanges(
                            amplitude=(5.0, 16.0),
                            sigma=(0.25, 1.2),
                            density_per_px=(8 / _SIZE**2, 8 / _SIZE**2),
                        ),
                    ),
                ),
                rng,
            )
            extent = _SIZE * PAPER_PIXEL_NM
            maps = ConductanceMaps(whole.maps, whole.bias_v, (extent, extent))
            blobs = whole.decoys[in_frame(whole.decoys, (_SIZE, _SIZE))]
            places = np.concatenate([whole.positions, blobs])
            found = evidence_of(
                maps,
                places,
                np.linspace(0.9, 0.8, len(places)),
                2 * whole.wave_numbers / PAPER_PIXEL_NM,
            )
            if found is None:
                continue
            n = len(whole.positions)
            positive += [*found.alone[:n]]
            negative += [*found.alone[n:]]
        p, b = (np.array(a) for a in (positive, negative))
        p, b = p[np.isfinite(p)], b[np.isfinite(b)]
        kept = int((b > np.quantile(p, 0.02)).sum())
        yield (
            f"| {n_maps} maps, {n_fields} fields | {auc(p, b):.3f} | "
            f"{kept} of {len(b)} |"
        )


# --- real files ------------------------------------------------------------

_CO_FILES = ("Topo002", "Topo007", "Topo015", "Topo102", "Topo305", "Topo309")
_CO_Q = 4.237
"""q = 2k of Cu(111) at +10 mV by m* = 0.38, E0 = -0.44 eV [rad/nm]."""

_HOLE_NM = 0.57
_DECOY_APART_NM = 1.0


class Topograph(NamedTuple):
    """A file with its reference.

    Attributes:
        name: of the file.
        maps: levelled.
        positions: of the molecules, no two at one place [n, 2] [px].
        single: which stand alone, not in a wall, bool [n].
    """

    name: str
    maps: ConductanceMaps
    positions: np.ndarray
    single: np.ndarray


def topograph(folder: Path, name: str) -> Topograph:
    """Read a Cu(111)/CO topograph of `../shared/data`."""
    path = folder / "cu111_co" / f"{name}.sxm"
    maps = clean(read_maps(path, channel="topograph"), CleaningOptions())
    table = path.with_name(f"{name}_core_positions.csv")
    with table.open() as lines:
        kinds = [row.get("kind", "single") for row in csv.DictReader(lines)]
    places = read_positions(table).positions_px
    places = np.clip(places, -0.49, np.subtract(maps.data.shape[1:], 0.51))
    kept = [
        j
        for j, one in enumerate(places)
        if not j
        or np.linalg.norm((places[:j] - one) * maps.pixel_nm, axis=1).min()
        > 0.25
    ]
    single = np.array([kind in ("single", None) for kind in kinds])
    return Topograph(name, maps, places[kept], single[kept])


def coherence_rows(folder: Path) -> Iterator[str]:
    """Phases of single molecules, and q, of every file."""
    yield (
        "| Cu(111)/CO, reference positions | molecules | coherence | of "
        "those with a phase | mean phase (arg c) | q |"
    )
    yield "|---|---|---|---|---|---|"
    for name in _CO_FILES:
        scan = topograph(folder, name)
        fit = fit_waves(
            scan.maps,
            scan.positions,
            None,
            [_CO_Q],
            WaveOptions(q_uncertainty=0.05),
        )
        c, known = fit.amplitudes[:, 0], fit.determined[:, 0]
        turns = np.exp(1j * np.angle(c))
        sure = scan.single & known
        mean = np.angle(c[scan.single].sum())
        yield (
            f"| {name} | {scan.single.sum()} single of {len(c)} | "
            f"{abs(turns[scan.single].mean()):.2f} | "
            f"{abs(turns[sure].mean()):.2f} ({sure.sum()}) | {mean:.2f} | "
            f"{fit.q_per_nm[0]:.3f} ± {fit.std_q_per_nm[0]:.3f} |"
        )


def hole_rows(folder: Path, n_draws: int) -> Iterator[str]:
    """Holes at molecules against as many elsewhere, all holes given."""
    yield (
        "| holes at molecules and as many elsewhere | AUC along the common "
        "phase | by power |"
    )
    yield "|---|---|---|"
    means = []
    for name in _CO_FILES:
        scan = topograph(folder, name)
        areas, powers = [], []
        for draw in range(n_draws):
            rng = np.random.default_rng(draw)
            decoys = _decoys(scan, rng)
            places = np.concatenate([scan.positions, decoys])
            fit = fit_waves(
                scan.maps,
                places,
                np.full(places.shape, 0.0),
                [_CO_Q],
                WaveOptions(
                    core_nm=_HOLE_NM,
                    refine_positions=False,
                    q_uncertainty=0.03,
                    multiple=False,
                ),
            )
            c = fit.amplitudes[:, 0]
            common = np.angle((c * np.abs(c)).sum())
            n = len(scan.positions)
            score = (c * np.exp(-1j * common)).real
            areas.append(auc(score[:n][scan.single], score[n:]))
            power = np.abs(c)
            powers.append(auc(power[:n][scan.single], power[n:]))
        means.append(np.mean(areas))
        yield (
            f"| {name}, {n_draws} draws | {np.mean(areas):.3f} | "
            f"{np.mean(powers):.3f} |"
        )
    yield f"| mean | {np.mean(means):.3f} | |"


def _decoys(scan: Topograph, rng: np.random.Generator) -> np.ndarray:
    """As many places without a molecule as there are molecules."""
    pixel = np.asarray(scan.maps.pixel_nm)
    chosen: list[np.ndarray] = []
    apart, tries = _DECOY_APART_NM, 0
    while len(chosen) < len(scan.positions):
        place = rng.uniform(-0.4, np.subtract(scan.maps.data.shape[1:], 0.6))
        others = np.concatenate([scan.positions, np.reshape(chosen, (-1, 2))])
        gap = np.linalg.norm((others - place) * pixel, axis=1).min()
        if gap >= apart:
            chosen.append(place)
        tries += 1
        if tries % 5000 == 0:
            apart *= 0.9
    return np.array(chosen)


def candidate_rows(folder: Path, finder: Any) -> Iterator[str]:
    """The network's candidates of real files, with and without waves."""
    from stm_keras.detector import ContextDetector
    from stm_keras.preprocessing.preparation import PredictOptions

    yield (
        "| Cu(111)/CO, the network's candidates | AUC, network | by "
        "evidence | with waves | heard |"
    )
    yield "|---|---|---|---|---|"
    for name in _CO_FILES:
        scan = topograph(folder, name)
        ready = ContextDetector.prepare(
            finder.card, scan.maps, PredictOptions(surface="cu111")
        )
        assert ready.q_per_nm is not None  # `context` takes it
        found = finder.detect(
            ready.ready.data,
            ready.q_per_nm * np.mean(ready.ready.pixel_nm),
            fit_rings=False,
        )
        ratio = np.divide(ready.ready.data.shape[1:], scan.maps.data.shape[1:])
        places = (scan.positions + 0.5) * ratio - 0.5
        pixel = float(np.mean(ready.ready.pixel_nm))
        true = matched(
            found.positions, places, found.probabilities, 0.37 / pixel
        )
        near = cdist(found.positions, places[~scan.single]) * pixel
        counts = true | ~(near < 0.6).any(axis=1)
        evidence = evidence_of(
            ready.ready,
            found.positions,
            found.probabilities,
            ready.q_per_nm,
        )
        result = decided(found.positions, found.probabilities, evidence)
        cells = [
            auc(values[counts & true], values[counts & ~true])
            for values in (
                found.probabilities,
                np.nan_to_num(result.evidence),
                result.probabilities,
            )
        ]
        yield (
            f"| {name} ({(counts & true).sum()} true, "
            f"{(counts & ~true).sum()} false) | {cells[0]:.3f} | "
            f"{cells[1]:.3f} | {cells[2]:.3f} | "
            f"{'yes' if result.held else result.note} |"
        )


def cost_rows() -> Iterator[str]:
    """Time of a fit."""
    yield "| 80 x 80 px, 40 impurities, 60 outside | seconds | processor |"
    yield "|---|---|---|"
    for n_maps in (1, 16, 126):
        field = phase_field(
            7, n_maps, white=0.3, pink=0.2, inside=40, outside=60
        )
        fitted_field(
            field._replace(
                maps=field.maps.with_data(
                    field.maps.data[:1], "", bias_v=field.maps.bias_v[:1]
                ),
                q_per_nm=field.q_per_nm[:1],
                t=field.t[:, :1],
            ),
            7,
        )
        wall, used = time.perf_counter(), time.process_time()
        fitted_field(field, 7)
        yield (
            f"| {n_maps} maps | {time.perf_counter() - wall:.1f} | "
            f"{time.process_time() - used:.1f} |"
        )


def _finder(model: str) -> Any:
    from stm_keras.detector import load_detector

    return load_detector(Path(model))


def parts(
    fields: int, real: Path | None, model: str
) -> dict[str, Callable[[], Iterator[str]]]:
    """What can be printed, by name."""
    if real is None:
        return {
            "phases": lambda: phase_rows(fields),
            "predicted": lambda: left_out_rows(fields),
            "evidence": lambda: evidence_rows(fields),
            "judge": lambda: judge_rows(_finder(model), fields),
            "cost": cost_rows,
        }
    return {
        **parts(fields, None, model),
        "coherence": lambda: coherence_rows(real),
        "holes": lambda: hole_rows(real, fields),
        "candidates": lambda: candidate_rows(real, _finder(model)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print tables, or fit the judge's constants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "task", nargs="?", default="table", choices=("table", "calibrate")
    )
    parser.add_argument("--part", help="some of the tables, with commas")
    parser.add_argument("--fields", type=int, default=12)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--model", default="saved_models/context")
    given = parser.parse_args(arguments)
    if given.task == "calibrate":
        weights, n, share = calibrate(_finder(given.model), given.fields)
        print(f"{weights}\n{n} candidates, {share:.2f} of them impurities")
        return
    tables = parts(given.fields, given.real, given.model)
    chosen = given.part.split(",") if given.part else list(tables)
    for name in chosen:
        if name not in tables:
            raise InputError(f"--part {name!r}: known are {', '.join(tables)}.")
        for line in tables[name]():
            print(line, flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
