import keras
import pytest

from stm_keras.nn.context import Context

SMALL = {
    "filters": 4,
    "dilations": (1, 2),
    "second_dilations": (1,),
    "first_filters": 5,
    "first_dilations": (1,),
    "told_filters": 2,
    "decoder_filters": 6,
    "decoder_dilations": (1, 2),
    "attention_filters": 2,
    "embedding_units": 3,
}


@pytest.fixture
def small():
    """Sizes of a small `Context`."""
    return SMALL


@pytest.fixture
def network():
    """Makes a small `Context`, always of the same weights."""

    def make(**changes):
        keras.utils.set_random_seed(1)
        layer = Context(**SMALL | changes)
        layer.build((None, None, None, None))
        return layer

    return make
