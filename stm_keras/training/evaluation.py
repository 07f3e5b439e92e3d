"""Score a model directory on the held-out part of a data set."""

import dataclasses
from pathlib import Path

import numpy as np

from stm_keras.detector import (
    ContextDetector,
    Detector,
    Wang2020Detector,
    load_detector,
)
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.scoring import Score, score_positions
from stm_keras.simulation.scene import Scene
from stm_keras.system import Progress, no_progress
from stm_keras.training.assessment import TOLERANCE_PX, assess
from stm_keras.training.batches import evaluation_batches
from stm_keras.training.datasets import (
    BatchConfig,
    load_split,
    load_virtual,
    maps_shape,
    open_prepared,
    reading,
)


def evaluate_model(
    model: str | Path,
    data: str | Path,
    *,
    noise: float = 0.8,
    n_voltages: int | None = None,
    progress: Progress = no_progress,
    trust: bool = False,
) -> dict[str, Score]:
    """Score a model on the test split of a data set.

    On virtual experiments (`au111`) it does what `stmk predict` does with a
    file, and compares with the true positions and with those that
    expectation-maximisation found in the map of bound states. On fields
    (`friedel`, `scattering`) it scores them as they are, with noise, beside a
    Laplacian of Gaussian tuned on the validation split.

    Args:
        model: model directory; its card's threshold counts.
        data: prepared data set.
        noise: width of the white noise to add to fields, which lie in
            [-1, 1]; virtual experiments have their own.
        n_voltages: maps to keep of each stack, evenly spaced; all if None.
        progress: told the number of experiments, or of stages, done and of
            all.
        trust: load the model unchecked, see `load_detector`.

    Returns:
        Scores at one pixel's tolerance, by case.

    Raises:
        InputError: where the model or the data set cannot be used.
    """
    detector = load_detector(model, trust=trust)
    info = open_prepared(data).info
    if "reference_positions" in info.features:
        surface = (info.metadata or {}).get("simulation", {}).get("surface")
        options = PredictOptions(surface=surface)
        return _on_experiments(detector, data, options, n_voltages, progress)
    n_maps = n_voltages or maps_shape(data)[0]
    batches = _batches(detector, noise)
    if isinstance(detector, ContextDetector):
        scores = {"network": _on_fields(detector, data, batches, n_maps)}
    else:
        assert isinstance(detector, Wang2020Detector)
        scores = assess(
            detector.score_tensor,
            data,
            batches,
            n_voltages=n_maps,
            threshold=detector.selection.threshold(n_maps),
            progress=progress,
        ).scores
    return {
        f"{name}, {n_maps} maps, noise {noise:g}": score
        for name, score in scores.items()
    }


def _on_fields(
    detector: ContextDetector,
    data: str | Path,
    batches: BatchConfig,
    n_maps: int,
) -> Score:
    """Score fields as they are, with noise, their q given."""
    total = Score(tolerance=TOLERANCE_PX)
    stored = maps_shape(data)[0]
    chosen = np.linspace(0, stored - 1, n_maps).round().astype(int)
    one_by_one = dataclasses.replace(batches, batch_size=1)
    with reading(data):
        noisy = evaluation_batches(
            data, one_by_one, split="test", n_voltages=n_maps
        )
        clean = load_split(data, "test")
        for batch, example in zip(noisy, clean, strict=True):
            ring = 2 * example["wave_numbers"].numpy()[chosen]
            found = detector.detect(batch["maps"].numpy()[0], ring)
            places = batch["positions"].numpy()[0]
            total += score_positions(
                found.positions[
                    found.probabilities
                    >= detector.least_kept(found.probabilities)
                ],
                places[np.isfinite(places[:, 0])],
                tolerance=TOLERANCE_PX,
            )
    return total


def _batches(detector: Detector, noise: float) -> BatchConfig:
    """Those of the model's own test, so that its card is printed again."""
    trained = detector.card.training.get("batches", {})
    return BatchConfig(
        trained.get("batch_size", 32), noise, (), trained.get("seed", 0)
    )


def _on_experiments(
    detector: Detector,
    data: str | Path,
    options: PredictOptions,
    n_voltages: int | None,
    progress: Progress,
) -> dict[str, Score]:
    truth = Score(tolerance=TOLERANCE_PX)
    reference = Score(tolerance=TOLERANCE_PX)
    cases = load_virtual(data)
    for done, case in enumerate(cases, start=1):
        maps = keep_maps(_as_measured(case, data, done), n_voltages)
        found = detector.predict(maps, options).positions_px
        truth += score_positions(found, case.positions, tolerance=TOLERANCE_PX)
        reference += score_positions(
            found, case.reference_positions, tolerance=TOLERANCE_PX
        )
        progress(done, len(cases))
    kept = n_voltages or len(cases[0].maps.data)
    return {
        f"{kept} maps, true positions": truth,
        f"{kept} maps, EM reference": reference,
    }


def _as_measured(
    scene: Scene, data: str | Path, number: int
) -> ConductanceMaps:
    """The maps of a virtual experiment as a file would hold them."""
    height, width = scene.shape
    return ConductanceMaps(
        data=scene.maps,
        bias_v=scene.bias_v,
        extent_nm=(height * scene.pixel_nm, width * scene.pixel_nm),
        channel="simulated dI/dV",
        source=f"{data}, test {number - 1}",
        provenance=("virtual experiment",),
    )


def keep_maps(maps: ConductanceMaps, count: int | None) -> ConductanceMaps:
    """Keep some maps of a stack, evenly spaced over its biases.

    Args:
        maps: the stack.
        count: how many to keep; all if None.

    Raises:
        InputError: where the stack has fewer.
    """
    n_maps = len(maps.data)
    if count is None or count == n_maps:
        return maps
    if not 1 <= count <= n_maps:
        raise InputError(
            f"{maps.source} has {n_maps} maps: cannot keep {count}."
        )
    kept = np.linspace(0, n_maps - 1, count).round().astype(int)
    return maps.with_data(
        maps.data[kept],
        f"{count} of {n_maps} maps kept",
        bias_v=maps.bias_v[kept],
    )
