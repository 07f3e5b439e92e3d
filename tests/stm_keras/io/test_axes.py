from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.io.axes import Axis, NotMapsError, layout_of


def _axis(name, size, step=1.0, unit="nm", **options):
    return Axis(name, size, np.arange(size) * step, unit, **options)


@given(
    order=st.sampled_from(list(permutations(("bias", "y", "x")))),
    falls=st.tuples(*[st.booleans()] * 2),
    down=st.sampled_from([True, False, None]),
)
def test_maps_come_out_as_they_are_seen(order, falls, down):
    values = np.random.default_rng(1).normal(size=(2, 3, 4))
    sizes = {"bias": 2, "y": 3, "x": 4}
    steps = {
        "bias": 0.1,
        **{"y": -1.0 if falls[0] else 1.0, "x": -1.0 if falls[1] else 1.0},
    }
    axes = [
        _axis(
            name,
            sizes[name],
            steps[name],
            "V" if name == "bias" else "nm",
            downwards=down if name == "y" else None,
        )
        for name in order
    ]
    layout = layout_of(axes)
    seen = layout.arranged(
        np.transpose(values, [("bias", "y", "x").index(n) for n in order])
    )
    top_first = falls[0] != bool(down)
    expected = values[:, :: 1 if top_first else -1, :: -1 if falls[1] else 1]
    np.testing.assert_array_equal(seen, expected)
    assert layout.extent_nm == pytest.approx((3, 4))
    np.testing.assert_allclose(layout.bias_v, [0, 0.1])


def test_units_tell_where_names_do_not():
    layout = layout_of(
        [_axis("a", 3, 1, "Å"), _axis("b", 4, 10, "meV"), _axis("c", 5, 1)]
    )
    assert layout.order == (1, 0, 2)
    assert layout.extent_nm == pytest.approx((0.3, 5))
    np.testing.assert_allclose(layout.bias_v, [0, 0.01, 0.02, 0.03])


def test_nothing_told_means_maps_rows_columns():
    layout = layout_of([Axis("", 2), Axis("", 3), Axis("", 4)])
    assert (layout.order, layout.flip) == ((0, 1, 2), (False, False))
    assert np.isnan(layout.bias_v).all()
    assert layout.extent_nm is None
    assert layout_of([Axis("", 3), Axis("", 4)]).shape == (3, 4)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ([_axis("point", 9, unit=""), _axis("bias", 9, unit="V")], "no axis x"),
        ([Axis("", 2)] * 4, "neither"),
        ([_axis("f", 5, unit="Hz"), Axis("y", 2), Axis("x", 2)], "'f'"),
        ([_axis("x", 5), _axis("x", 5), _axis("y", 5)], "two axes"),
        (
            [Axis("y", 3, np.array([0.0, 1, 5]), "nm"), _axis("x", 3)],
            "uneven axis 'y'",
        ),
        ([_axis("y", 3), _axis("x", 3, 0.0)], "uneven axis 'x'"),
    ],
)
def test_no_maps(axes, message):
    with pytest.raises(NotMapsError, match=message):
        layout_of(axes)
