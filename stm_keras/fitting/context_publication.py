"""Calibrate and test a trained network `context`, and write its directory."""

from stm_keras.fitting.context_config import ContextFitConfig
from stm_keras.fitting.training_log import TrainingLog
from stm_keras.model_card import ModelCard
from stm_keras.nn.model import ImpurityFinder
from stm_keras.progress import Progress, no_progress


def publish_context(
    model: ImpurityFinder,
    config: ContextFitConfig,
    log: TrainingLog,
    *,
    progress: Progress = no_progress,
) -> ModelCard:
    raise NotImplementedError
