from itertools import islice

import numpy as np
import pytest

from data_builders.building import build, named_config
from data_builders.scattering.scattering_dataset_builder import Builder
from stm_keras.errors import InputError
from stm_keras.training import context_batches as pipeline
from stm_keras.training.augmentation import AugmentationRanges, augmented
from stm_keras.training.context_batches import (
    ContextBatchConfig,
    context_batches,
)

CONFIG = ContextBatchConfig(
    batch_size=4, voltages=(1, 3), sizes_px=(16, 18), seed=5
)


@pytest.fixture(scope="module")
def scattering(tmp_path_factory):
    config = named_config(Builder, "tiny").changed(n_examples=(24, 4, 4))
    return build(Builder, config, tmp_path_factory.mktemp("data"))


def take(paths, n, config=CONFIG, **options):
    batches = context_batches(paths, config, **options)
    return list(islice(batches.as_numpy_iterator(), n))


def test_batches_have_what_the_network_takes(scattering, friedel):
    shapes = set()
    for batch in take([(scattering, 2), (friedel, 1)], 24):
        count, voltages, height, width = batch["maps"].shape
        assert count == 4
        assert height == width
        shapes.add((voltages, height))
        assert batch["ring"].shape == (count, voltages)
        assert batch["positions"].shape[::2] == (count, 2)
        known = batch["positions"][np.isfinite(batch["positions"])]
        assert ((known >= -1.5) & (known < height + 0.5)).all()
        assert np.isfinite(batch["maps"]).any(axis=(2, 3)).all()
    assert shapes == {(v, s) for v in (1, 3) for s in (16, 18)}


def test_a_resumed_training_sees_what_it_would_have_seen(scattering):
    whole = take([(scattering, 1)], 5)
    resumed = take([(scattering, 1)], 2, first=3)
    for first, second in zip(whole[3:], resumed, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_a_field_is_measured_anew_each_time(scattering):
    config = ContextBatchConfig(24, (4,), (22,), seed=5)
    first, second = take([(scattering, 1)], 2, config)
    assert not np.array_equal(first["maps"], second["maps"])


def test_other_seeds_sizes_and_numbers_of_maps_are_the_same_graph(
    scattering, monkeypatch
):
    """To make it takes seconds; a training has eight such pipelines."""
    traced = []

    def counted(*arguments):
        traced.append(arguments)
        return augmented(*arguments)

    monkeypatch.setattr(pipeline, "augmented", counted)
    own = AugmentationRanges(white=(0.0, 0.123))  # of no other test
    batches = [
        take([(scattering, 1)], 1, ContextBatchConfig(4, *drawn, own, seed=n))
        for n, drawn in enumerate((((1,), (16,)), ((3, 2), (17, 18))))
    ]
    assert len(traced) == 1
    shapes = [batch["maps"].shape for (batch,) in batches]
    assert shapes[0] == (4, 1, 16, 16)
    assert shapes[1][1] in (2, 3)
    assert shapes[1][2] in (17, 18)


def test_shares(scattering):
    for paths in ([], [(scattering, 0)]):
        with pytest.raises(InputError, match="at least one data set"):
            take(paths, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": -3},
        {"voltages": ()},
        {"voltages": (1, 0)},
        {"sizes_px": (0,)},
        {"seed": -1},
    ],
)
def test_bad_batches(wrong):
    with pytest.raises(InputError, match="must be >="):
        ContextBatchConfig(**wrong)
