import json

import pytest

from stm_keras.models.description import adaptation_lines
from stm_keras.training.adaptation import Adaptation, Figures

BEFORE = Figures(30.0, 2.0, 31, 0.1)


def after(loss=30.0, false=0.1):
    """The same network, but for these."""
    return Adaptation(BEFORE, Figures(loss, 1.5, 29, false), surrogates=10)


@pytest.mark.parametrize("loss", [20.0, 30.0, 30.29])
@pytest.mark.parametrize("false", [0.0, 0.1, 0.2])
def test_no_worse_than_the_margin_ships(loss, false):
    adaptation = after(loss, false)
    assert adaptation.objections == []
    assert adaptation.shipped == "adapted"
    assert adaptation_lines(adaptation.as_dict())[-1] == (
        "The fine-tuned network ships."
    )


@pytest.mark.parametrize("loss", [30.31, 50.0, float("inf"), float("nan")])
def test_a_worse_held_out_loss_does_not_ship(loss):
    adaptation = after(loss)
    assert adaptation.shipped == "start"
    (objection,) = adaptation.objections
    assert f"from 30.00 to {loss:.2f} nat, more than 1%" in objection


def test_the_margin_of_a_negative_loss_lies_above_it():
    """Densities above 1 make a likelihood's logarithm positive."""

    def shipped(loss):
        start = BEFORE._replace(held_out_loss=-30.0)
        changed = start._replace(held_out_loss=loss)
        return Adaptation(start, changed, surrogates=10).shipped

    assert shipped(-31.0) == shipped(-29.71) == "adapted"
    assert shipped(-29.69) == "start"


def test_seeing_things_in_surrogates_does_not_ship():
    adaptation = after(false=0.5)
    (objection,) = adaptation.objections
    assert "0.50 impurities" in objection
    assert "the start 0.10" in objection
    # One detection more in ten surrogates may be chance, in a hundred not.
    many = Adaptation(BEFORE, BEFORE._replace(in_surrogates=0.2), 100)
    assert many.shipped == "start"


def test_the_lines_hold_every_figure_and_the_reasons():
    adaptation = after(loss=40.0, false=3.0)
    # As the card stores it.
    stored = json.loads(json.dumps(adaptation.as_dict()))
    *table, verdict = adaptation_lines(stored)
    rows = [row.split()[-2:] for row in table[1:]]
    assert rows == [
        ["30.00", "40.00"],
        ["2.00", "1.50"],
        ["31", "29"],
        ["0.10", "3.00"],
    ]
    assert len({len(row) for row in table}) == 1
    assert verdict.startswith("The start's weights ship")
    assert all(reason in verdict for reason in adaptation.objections)
    assert len(adaptation.objections) == 2


def test_a_network_without_a_threshold_has_no_counts():
    nothing = Figures(30.0, 1.5, None, None)
    adaptation = Adaptation(BEFORE, nothing, 10, "it cannot be calibrated")
    assert adaptation.shipped == "start"
    *table, verdict = adaptation_lines(adaptation.as_dict())
    assert [row.split()[-1] for row in table[3:]] == ["-", "-"]
    assert "ones: it cannot be calibrated. Try" in verdict
