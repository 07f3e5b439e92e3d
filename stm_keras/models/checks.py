"""Options that a model cannot follow, known from its card alone."""

from stm_keras.errors import InputError
from stm_keras.models.card import ModelCard, ProbabilitySelection
from stm_keras.preprocessing.preparation import PredictOptions


def check_options(card: ModelCard, options: PredictOptions) -> None:
    """Refuse options of another network, before any network is loaded.

    Args:
        card: of the model.
        options: how to find.

    Raises:
        InputError: naming the option.
    """
    if isinstance(card.selection, ProbabilitySelection):
        _check_probabilities(card, options)
    else:
        _check_score(card, options)


def _check_probabilities(card: ModelCard, options: PredictOptions) -> None:
    if options.tiling != "overlap":
        raise InputError(
            f"--tiling {options.tiling}: the model {card.name} is not cut into "
            "the paper's tiles; leave the option out."
        )
    threshold = options.threshold
    if threshold is not None and not 0 < threshold < 1:
        raise InputError(
            f"--threshold {threshold:g}: the model {card.name} gives "
            "probabilities; take one between 0 and 1."
        )


def _check_score(card: ModelCard, options: PredictOptions) -> None:
    if options.false_discovery_rate is not None:
        raise InputError(
            f"--false-discovery-rate: the model {card.name} gives no "
            "probabilities; move --threshold instead."
        )
    if not options.give_q:
        raise InputError(
            f"--no-give-q: the model {card.name} never takes the scattering "
            "wave vectors; leave the option out."
        )
