import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn.context import Context, mean_over_rotations

SHAPE = (2, 3, 16, 11)


RING = np.full(SHAPE[:2], 1.3, np.float32)


def stack(shape=SHAPE):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def turned_answer(output, quarters):
    """What an answer becomes when the maps are turned."""
    output = np.rot90(np.asarray(output), quarters, (1, 2)).copy()
    for _ in range(quarters):
        # A quarter turn brings the columns' direction to minus the rows'.
        logit, row, col, by_row, by_col = np.moveaxis(output, -1, 0)
        output = np.stack([logit, -col, row, by_col, by_row], axis=-1)
    return output


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_maps_get_the_turned_answer(network, quarters):
    once, often = network(), network(rotations=4)
    there = np.ascontiguousarray(np.rot90(stack(), quarters, (2, 3)))
    expected = turned_answer(often(stack(), RING), quarters)
    np.testing.assert_allclose(often(there, RING), expected, atol=1e-4)
    # A network that looks once is another for every rotation.
    apart = once(there, RING) - turned_answer(once(stack(), RING), quarters)
    assert np.abs(apart).max() > 1e-3


def test_the_answer_is_the_mixture_of_the_four(network):
    views = [
        turned_answer(
            network()(np.rot90(stack(), k, (2, 3)).copy(), RING), (4 - k) % 4
        ).astype(np.float64)
        for k in range(4)
    ]
    logit, place, width = np.split(np.stack(views), (1, 3), axis=-1)
    probability = 1 / (1 + np.exp(-logit))
    mean = probability.mean(axis=0)
    share = probability / probability.sum(axis=0)
    centre = (share * place).sum(axis=0)
    spread = (share * (width**2 + (place - centre) ** 2)).sum(axis=0)
    expected = [np.log(mean / (1 - mean)), centre, np.sqrt(spread)]
    np.testing.assert_allclose(
        network(rotations=4)(stack(), RING),
        np.concatenate(expected, axis=-1),
        atol=1e-3,
    )


def test_certain_answers_stay_finite():
    def sure(maps, measured, ring):
        del measured, ring
        logit = tf.where(maps[:, 0] > 0, 300.0, -300.0)[..., None]
        return tf.concat([logit, *[tf.ones_like(logit)] * 4], axis=-1)

    values = stack((1, 4, 5, 7))
    output = mean_over_rotations((sure, sure), values, values, RING).numpy()
    np.testing.assert_allclose(
        output[..., 0], np.where(values[:, 0] > 0, 300, -300), rtol=1e-3
    )


def test_graph_and_eager_agree_where_a_map_has_gaps(network):
    layer, values = network(rotations=4), stack()
    values[:, 0, 3:5, 2] = np.nan
    graph = tf.function(lambda m, r: layer(m, r))
    np.testing.assert_allclose(
        graph(values, RING), layer(values, RING), atol=1e-4
    )


def test_training_looks_once(network):
    once, often = (network(rotations=n) for n in (1, 4))
    np.testing.assert_array_equal(
        once(stack(), RING, training=True),
        often(stack(), RING, training=True),
    )


def test_the_number_is_kept_and_checked(small):
    layer = Context(rotations=4, **small)
    assert Context.from_config(layer.get_config()).rotations == 4
    with pytest.raises(ValueError, match="`rotations` must be 1 or 4"):
        Context(rotations=2, **small)
