"""`stmk fit --precision`: what is meant, and what becomes of the model."""

import keras
import pytest

from stm_keras.errors import InputError
from stm_keras.models.card import read_card
from stm_keras.training import fit
from stm_keras.training.precision import (
    has_bfloat16,
    policy_of,
    precision_of,
)


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx512f avx512_bf16", True),
        ("amx_bf16 fpu", True),
        ("avx2", False),
    ],
)
def test_what_the_processor_can(flags, has, tmp_path, monkeypatch):
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    assert has_bfloat16(cpu) is has
    monkeypatch.setattr(
        "stm_keras.training.precision.has_bfloat16", lambda: has
    )
    assert precision_of("auto") == ("bfloat16" if has else "float32")


def test_without_a_list_of_processors(tmp_path):
    assert not has_bfloat16(tmp_path / "none")


def test_names():
    assert precision_of("float16") == "float16"
    assert policy_of("float32") == "float32"
    assert policy_of("bfloat16") == "mixed_bfloat16"
    with pytest.raises(InputError, match="--precision 'half'"):
        precision_of("half")


@pytest.mark.slow
def test_a_training_in_bfloat16(context_config, tmp_path):
    """The card says so, the model computes in float32, and it goes on."""
    config = context_config(tmp_path / "m", precision="bfloat16", steps=200)
    card = fit(config)
    assert card.training["precision"] == "bfloat16"
    stored = keras.saving.load_model(tmp_path / "m/model.keras")
    assert stored.network.dtype_policy.name == "float32"
    assert fit(config, resume=True) == read_card(tmp_path / "m")
    other = context_config(tmp_path / "m", steps=200)
    with pytest.raises(InputError, match=r"other options \(precision\)"):
        fit(other, resume=True)
