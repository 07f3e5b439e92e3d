import json
from pathlib import Path

import pytest

from stm_keras.models.card import write_checksums

CARDS = Path(__file__).parents[1] / "cards"


@pytest.fixture
def store(tmp_path):
    """Store a directory like a model's below a folder; give its path."""

    def make(name, form=1, *, sums=True, **changes):
        directory = tmp_path / "models" / name
        (directory / "training").mkdir(parents=True)
        (directory / "training/last.keras").write_bytes(bytes(10**6))
        (directory / "saved_model.pb").write_bytes(bytes(200_000))
        fields = json.loads((CARDS / f"form_{form}.json").read_text())
        card = directory / "model_card.json"
        card.write_text(json.dumps(fields | changes))
        if sums:
            write_checksums(directory)
        return directory

    return make


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"
