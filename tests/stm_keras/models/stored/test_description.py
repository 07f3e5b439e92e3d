from pathlib import Path

import pytest

from stm_keras.errors import InputError
from stm_keras.models.description import describe
from stm_keras.models.stored import look_at
from stm_keras.training.adaptation import Adaptation, Figures

SHIPPED = Path(__file__).parents[4] / "saved_models/wang2020"


def described(directory):
    lines = describe(look_at(directory, "mine"))
    # Labelled text goes on over several lines.
    return lines, " ".join(" ".join(lines).split())


def test_a_network_that_scores():
    lines, text = described(SHIPPED)
    index_size = (SHIPPED / "variables/variables.index").stat().st_size
    assert lines[0] == f"mine: {SHIPPED}"
    for part in (
        "network Wang2020, 39,113 parameters: filters 24, depth 2",
        "command stmk fit --data data/friedel --out saved_models/wang2020",
        "data friedel/au111-4c1d2cc7/1.0.0 (20,000 train, 500 validation",
        "seeds data 1; weights, order and noise 1",
        "made 2026-11-22",
        "stm-keras 0.1.0, tensorflow 2.21.0",
        "card of form 1",
        "any number of maps, without their q; trained with 1, 4, 16",
        "q = 2k 1.32 to 1.8 rad/px in training",
        "threshold S of 3.45 (1 map), 2.66 (4 maps), 2.70 (16 maps)",
        "calibration none",
        "16 maps, noise 0.8: network 1764 1363",
        "checksums: ok",
        "model.keras 512,163",
        f"variables/variables.index {index_size:,}",
        "standardize in maps float32 [?,?,?,?] out maps float32 [?,?,?,?]",
    ):
        assert part in text
    assert max(len(li) for li in lines[2:9] if "command" not in li) <= 80


def test_a_network_that_is_certain(store):
    directory = store("certain", form=2)
    _, text = described(directory)
    for part in (
        "network Context, 184,997 parameters: filters 16, dilations 1,2,4,6",
        "data scattering/context/1.0.0 (16,000 train",
        "data friedel/context/1.0.0 (6,000 train",
        "mixture weight 3",
        "seeds data 3, 3; weights, order and noise 4",
        "with or without their q; trained with 1, 2, 4, 8, 16",
        "probability 0.622 at least, and a false-discovery rate of 10% in a "
        "stack at most",
        "expected error of a probability 0.020; standard deviation of z-scores "
        "1.06; 4.50 found",
        "1 maps: network 6213 2565 0.361",
        f"{directory / 'saved_model.pb'} is damaged",  # only zeros
    ):
        assert part in text


def test_an_adaptation_is_told(store):
    before = Figures(30.5, 2.0, 31, 0.1)
    change = Adaptation(before, before._replace(held_out_loss=31.5), 10)
    directory = store("adapted", form=2, adaptation=change.as_dict())
    _, text = described(directory)
    assert "loss on held-out fields [nat] 30.50 31.50" in text
    assert "The start's weights ship, not the fine-tuned ones: its loss" in text


def test_what_differs_is_marked(store):
    directory = store("mine")
    (directory / "saved_model.pb").write_bytes(b"new")
    (directory / "notes.txt").touch()
    lines, _ = described(directory)
    marked = {tuple(li.split()) for li in lines if li.startswith("  ")}
    assert {
        ("notes.txt", "0", "extra"),
        ("saved_model.pb", "3", "changed"),
    } < marked
    (directory / "saved_model.pb").unlink()
    lines, text = described(directory)
    assert "checksums: damaged" in text
    assert "saved_model.pb - missing" in text
    (directory / "SHA256SUMS").write_text("")
    _, text = described(directory)
    assert "SHA256SUMS is damaged" in text


@pytest.mark.parametrize(
    ("form", "changes"),
    [
        (1, {"network": {}}),
        (1, {"scores": {"1 maps": {"network": {"hits": 3}}}}),
        (1, {"made": {"date": 3}}),
        (2, {"detection": {"threshold": 0.5}}),
        (2, {"detection": "sure"}),
        (2, {"data": {"0": "friedel"}}),
        (2, {"adaptation": {"shipped": "adapted"}}),
    ],
)
def test_a_card_that_lacks_something(store, form, changes):
    directory = store("mine", form, **changes)
    with pytest.raises(InputError, match=r"model_card\.json is damaged"):
        describe(look_at(directory, "mine"))


def test_a_card_that_cannot_be_read(store):
    directory = store("new", format=99, versions={"stm-keras": "9.0"})
    with pytest.raises(InputError, match=r"made by stm-keras 9\.0"):
        describe(look_at(directory, "mine"))
