"""Score a model directory on the held-out part of a data set."""

from pathlib import Path

from stm_keras.analysis.metrics import Score
from stm_keras.assessment import assess
from stm_keras.data.pipeline import BatchConfig, maps_shape
from stm_keras.saved_finder import load_finder


def evaluate_model(
    model: str | Path, data: str | Path, *, noise: float
) -> dict[str, Score]:
    """Score a model and the baseline on the test split.

    Args:
        model: model directory.
        data: prepared data set. The baseline is tuned on its validation
            split; the model's threshold is its card's.
        noise: width of the white noise to add, the maps lying in [-1, 1].

    Returns:
        Scores at one pixel's tolerance, by method.

    Raises:
        InputError: where the model or the data set cannot be used.
    """
    finder = load_finder(model)
    n_maps = maps_shape(data)[0]
    batches = BatchConfig(noise=noise)
    assessment = assess(
        finder.score_tensor,
        data,
        batches,
        threshold=finder.card.threshold(n_maps),
    )
    return {
        f"{name}, {n_maps} maps, noise {noise:g}": score
        for name, score in assessment.scores.items()
    }
