import pytest

from stm_keras.training.config import ContextConfig
from stm_keras.training.context_batches import ContextBatchConfig

SIZES = {
    "filters": 4,
    "dilations": (1,),
    "second_dilations": (1,),
    "first_filters": 4,
    "first_dilations": (1,),
    "decoder_filters": 8,
    "decoder_dilations": (1,),
    "attention_filters": 2,
    "embedding_units": 4,
}


@pytest.fixture(scope="session")
def context_config(friedel):
    """Makes the config of a short training of a small `context`."""

    def make(out, **changes):
        return ContextConfig(
            ((friedel, 1),),
            out,
            **{
                "steps": 200,
                "held_out_batches": 16,
                "learning_rate": 5e-3,
                "batches": ContextBatchConfig(
                    8, voltages=(1, 4), sizes_px=(18,), seed=1
                ),
                "network": SIZES,
                "command": "stmk fit --network context ...",
                **changes,
            },
        )

    return make
