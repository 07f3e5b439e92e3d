import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.nn.decoding import NOTHING, least_kept

PROBABILITIES = st.lists(st.floats(0.01, 0.999), max_size=40)


@given(PROBABILITIES, st.floats(0.02, 0.5), st.floats(0, 0.8), st.floats(0, 1))
def test_as_many_as_the_rate_allows(probabilities, rate, floor, beforehand):
    p = np.array(probabilities)
    least = least_kept(p, rate, floor, beforehand)
    kept = p >= least
    if not kept.any():
        assert least == NOTHING
    else:
        false = beforehand + (1 - p[kept]).sum()
        assert false / kept.sum() <= rate + 1e-12
        assert least >= floor
    left = p[~kept & (p >= floor)]
    if len(left):  # with the next one there would be too many
        more = p[p >= left.max()]
        assert (beforehand + (1 - more).sum()) / len(more) > rate - 1e-12


def test_what_is_kept_by_hand():
    p = [0.6, 0.99, 0.9, 0.2]
    assert least_kept(p, 0.1) == 0.9
    assert least_kept(p, 0.2) == 0.6
    assert least_kept(p, 0.4) == 0.2
    assert least_kept(p, 0.4, floor=0.5) == 0.6
    assert least_kept([0.6, 0.7], 0.1) == NOTHING
    assert least_kept([], 0.1) == NOTHING


def test_one_alone_must_be_surer_than_many():
    def kept(p):
        return least_kept(p, rate=0.4, floor=0.5, prior_false=0.3) <= min(p)

    assert kept([0.91])
    assert not kept([0.89])
    assert kept([0.76] * 2)
    assert not kept([0.74] * 2)
    assert kept([0.64] * 10)
    # The surest of them would not stay alone.
    assert least_kept([0.89, 0.8, 0.8], 0.4, 0.5, 0.3) == 0.8
    assert least_kept([0.89], 0.4, 0.5, 0.3) == NOTHING
    assert least_kept([1.0, 1.0], 0.4, 0.5, 2.0) > 1


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(InputError, match="between 0 and 1"):
        least_kept([0.5], rate)
