"""From prepared data sets to a trained model: batches, trainer, tests, card."""

from typing import Any

from stm_keras.models.card import ModelCard
from stm_keras.training import trainer
from stm_keras.training.config import ContextConfig, Wang2020Config
from stm_keras.training.context import ContextRecipe
from stm_keras.training.trainer import Recipe
from stm_keras.training.wang2020 import Wang2020Recipe

Config = Wang2020Config | ContextConfig


def recipe_of(config: Config) -> Recipe:
    """The recipe that a configuration is for."""
    if isinstance(config, ContextConfig):
        return ContextRecipe(config)
    return Wang2020Recipe(config)


def fit(config: Config, **how: Any) -> ModelCard:
    """Train, test and write a model.

    Args:
        config: what to train on, and how.
        **how: see `stm_keras.training.trainer.fit`: `resume`, `overwrite`,
            `verbosity`, `progress`.

    Returns:
        The card that was written beside the SavedModel.

    Raises:
        InputError: for anything wrong with the data, the start, the
            experiment or the directory, before anything is written.
    """
    return trainer.fit(recipe_of(config), **how)
