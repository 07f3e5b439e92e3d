import numpy as np
import pytest
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.training.batches import (
    evaluation_batches,
    experiment_batches,
    label_maps,
    training_batches,
)
from stm_keras.training.datasets import BatchConfig, batches_per_epoch

CONFIG = BatchConfig(batch_size=16, noise=0.0, seed=3)


def epochs(path, config, first, last):
    return list(
        training_batches(
            path, config, first_epoch=first, last_epoch=last
        ).as_numpy_iterator()
    )


def test_an_epoch_shows_whole_batches_of_distinct_examples(friedel):
    batches = epochs(friedel, CONFIG, 0, 1)
    assert len(batches) == batches_per_epoch(friedel, CONFIG) == 4
    maps = np.concatenate([b["maps"] for b in batches])
    assert maps.shape == (64, 8, 20, 20)
    assert len(np.unique(maps[:, 0, 0, 0])) == 64


def test_a_resumed_training_sees_what_it_would_have_seen(friedel):
    config = BatchConfig(16, noise=0.5, voltages=(1, 4), seed=3)
    tf.random.set_seed(11)
    whole = epochs(friedel, config, 0, 3)
    tf.random.set_seed(99)  # another process has another global seed
    resumed = epochs(friedel, config, 2, 3)
    for first, second in zip(whole[8:], resumed, strict=True):
        np.testing.assert_array_equal(first["maps"], second["maps"])
        np.testing.assert_array_equal(first["label"], second["label"])


def test_epochs_differ_in_order_and_noise(friedel):
    first, second = (epochs(friedel, CONFIG, e, e + 1)[0] for e in (0, 1))
    assert not np.array_equal(first["label"], second["label"])


def test_noise_is_white_and_of_the_asked_width(friedel):
    clean = epochs(friedel, CONFIG, 0, 1)[0]["maps"]
    noisy = epochs(friedel, BatchConfig(16, 0.8, seed=3), 0, 1)[0]["maps"]
    noise = noisy - clean
    assert noise.std() == pytest.approx(0.8, rel=0.02)
    assert abs(noise.mean()) < 0.02
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / 0.64
    assert abs(neighbours) < 0.02


def test_subsets_of_voltages(friedel):
    config = BatchConfig(16, 0.0, voltages=(1, 5), seed=4)
    clean = {b["maps"].shape[1] for b in epochs(friedel, config, 0, 4)}
    assert clean == {1, 5}


def test_held_out_batches_are_the_same_on_every_pass(friedel):
    config = BatchConfig(4, noise=0.8, seed=5)
    batches = evaluation_batches(friedel, config, split="validation")
    first, second = (list(batches.as_numpy_iterator()) for _ in range(2))
    assert [len(b["maps"]) for b in first] == [4, 4, 1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a["maps"], b["maps"])
    test = next(iter(evaluation_batches(friedel, config, split="test")))[
        "maps"
    ].numpy()
    assert not np.allclose(first[0]["maps"] - test, 0, atol=0.1)


def test_kept_voltages_are_evenly_spaced(friedel):
    config = BatchConfig(4, noise=0.0)
    all_maps, some = (
        next(
            iter(
                evaluation_batches(friedel, config, split="test", n_voltages=n)
            )
        )["maps"].numpy()
        for n in (None, 3)
    )
    np.testing.assert_array_equal(some, all_maps[:, [0, 4, 7]])


def test_label_is_one_over_n_on_each_impurity():
    nan = float("nan")
    positions = np.array(
        [[[0, 0], [3.4, 1.6], [nan, nan]], [[3.4, 3.49], [3, 3], [1, 2]]],
        np.float32,
    )
    label = label_maps(tf.constant(positions), 4).numpy()
    expected = np.zeros((2, 4, 4))
    expected[0, 0, 0] = expected[0, 3, 2] = 1 / 2
    expected[1, 3, 3], expected[1, 1, 2] = 2 / 3, 1 / 3
    np.testing.assert_allclose(label, expected)


def test_experiment_batches_can_start_anywhere():
    tiles = [np.full((1, 2, 2), i, np.float32) for i in range(50)]

    def draw(first, n):
        batches = experiment_batches(tiles, batch_size=3, seed=1, first=first)
        return list(batches.take(n).as_numpy_iterator())

    np.testing.assert_array_equal(draw(0, 5)[3:], draw(3, 2))
    assert len(np.unique(draw(0, 20))) > 20


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"noise": -0.1}, "noise"),
        ({"noise": float("nan")}, "noise"),
        ({"voltages": (0,)}, "voltages"),
    ],
)
def test_bad_options(wrong, message):
    with pytest.raises(InputError, match=message):
        BatchConfig(**wrong)


def test_options_that_the_data_cannot_serve(friedel):
    with pytest.raises(InputError, match="8 maps an example: cannot train"):
        epochs(friedel, BatchConfig(16, voltages=(9,)), 0, 1)
    with pytest.raises(InputError, match="fewer than a batch of 100"):
        batches_per_epoch(friedel, BatchConfig(100))
    with pytest.raises(InputError, match="cannot keep 9"):
        evaluation_batches(friedel, CONFIG, split="test", n_voltages=9)
    with pytest.raises(InputError, match="validation, test"):
        evaluation_batches(friedel, CONFIG, split="train")
