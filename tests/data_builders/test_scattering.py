"""The `scattering` set: what it stores is what was simulated."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.building import build, named_config
from data_builders.scattering.scattering_dataset_builder import (
    Builder,
    as_example,
    make_examples,
)
from stm_keras.simulation.short_range import CoreRanges, DecoyRanges
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    field_rng,
    simulate_field,
)
from stm_keras.training.batches import training_batches
from stm_keras.training.context_batches import (
    ContextBatchConfig,
    context_batches,
)
from stm_keras.training.datasets import BatchConfig, load_split

FIELDS = named_config(Builder, "tiny").simulation


@pytest.fixture(scope="module")
def examples(tiny):
    return list(load_split(tiny, "train").as_numpy_iterator())


def _same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


def test_the_same_data_on_two_processes(tiny, tiny_config, tmp_path, digests):
    again = build(Builder, tiny_config, tmp_path, processes=2)
    assert digests(again) == digests(tiny)


def test_features(tiny, examples):
    info: Any = tfds.builder_from_directory(tiny).info
    assert tuple(s.num_examples for s in info.splits.values()) == (70, 3, 2)
    assert info.metadata["simulation"]["cores"]["damping_radius"]
    shapes = {name: feature.shape for name, feature in info.features.items()}
    assert shapes == {
        "maps": (4, 24, 24),
        "scale": (4,),
        "spread": (),
        "covered": (24, 24),
        "wave_numbers": (4,),
        "positions": (None, 2),
        "strengths": (None,),
        "decoys": (None, 2),
        "mean_free_path": (),
    }
    assert len(examples) == 70


def test_examples_keep_to_their_frame_and_ranges(examples):
    for example in examples:
        assert np.abs(example["maps"]).max() == pytest.approx(1)
        assert example["maps"].mean(axis=(1, 2)) == pytest.approx(0, abs=1e-6)
        assert len(example["strengths"]) == len(example["positions"]) >= 1
        for places in (example["positions"], example["decoys"]):
            assert ((places >= -0.5) & (places <= 23.5)).all()
        assert ((example["strengths"] >= 0) & (example["strengths"] <= 1)).all()
        assert (np.diff(example["wave_numbers"]) > 0).all()
        assert 20 <= example["mean_free_path"] <= 500
    assert any(len(example["decoys"]) for example in examples)
    on_grid = [e["positions"] == e["positions"].round() for e in examples]
    assert not np.concatenate(on_grid).any()


def test_stored_maps_are_those_simulated_but_for_their_scale():
    (example,) = make_examples(FIELDS, 3, 0, range(5, 6))
    field = simulate_field(FIELDS, field_rng(3, 5))
    about_zero = field.maps - field.maps.mean(axis=(1, 2), keepdims=True)
    restored = example["maps"] * example["scale"][:, None, None]
    np.testing.assert_allclose(restored, about_zero, atol=1e-6)
    np.testing.assert_array_equal(
        example["positions"], field.positions.astype(np.float32)
    )
    assert len(example["decoys"]) == len(field.decoys)


def test_cores_and_decoys_are_what_their_ranges_say():
    none = dataclasses.replace(
        FIELDS,
        cores=CoreRanges(amplitude=(0.0, 0.0), damping_radius=(0.0, 0.0)),
        decoys=DecoyRanges(density_per_px=(0.0, 0.0)),
    )
    many = dataclasses.replace(
        none,
        decoys=DecoyRanges(density_per_px=(0.01, 0.01)),
    )
    bare = simulate_field(none, field_rng(0, 0))
    np.testing.assert_array_equal(bare.maps, bare.waves)
    assert bare.decoys.shape == (0, 2)
    dotted = simulate_field(many, field_rng(0, 0))
    assert len(dotted.decoys) == round(0.01 * 24**2)
    np.testing.assert_array_equal(dotted.waves, bare.waves)
    assert not np.array_equal(dotted.maps, bare.maps)


def test_black_dots_and_silent_impurities_have_the_strengths_of_theory():
    config = ScatteringConfig(
        size_px=8,
        n_voltages=3,
        margin_px=0.0,
        density_per_px2=(0.05, 0.06),
        black_share=1.0,
        elastic_share=0.0,
    )
    (black,) = make_examples(config, 0, 0, range(1))
    np.testing.assert_allclose(black["strengths"], 0.5)
    silent = dataclasses.replace(
        config,
        black_share=0.0,
        elastic_share=1.0,
        delta_rad=(0.0, 0.0),
        slope_rad=(0.0, 0.0),
        curvature_rad=(0.0, 0.0),
    )
    field = simulate_field(silent, np.random.default_rng(0))
    np.testing.assert_allclose(as_example(field)["strengths"], 0)


def test_seeds_and_splits_have_fields_of_their_own():
    plain = list(make_examples(FIELDS, 0, 0, range(4)))
    assert _same(plain[2], next(make_examples(FIELDS, 0, 0, range(2, 3))))
    for seed, split in ((1, 0), (0, 1), (0, 2)):
        for other in make_examples(FIELDS, seed, split, range(4)):
            assert not any(_same(mine, other) for mine in plain)


def test_training_takes_the_set(tiny):
    batches = training_batches(
        tiny, BatchConfig(batch_size=4), first_epoch=0, last_epoch=1
    )
    batch = next(iter(batches))
    assert batch["maps"].shape == (4, 4, 24, 24)
    assert batch["label"].numpy().sum(axis=(1, 2)) == pytest.approx(1)


def test_fields_of_real_surfaces_are_stored_with_what_covers_them(tmp_path):
    small = {"size_px": 32, "n_voltages": 3, "margin_px": 8.0}
    config = named_config(Builder, "surfaces").changed(
        n_examples=(40, 2, 2), **small
    )
    path = build(Builder, config, tmp_path)
    fields = list(load_split(path, "train").as_numpy_iterator())
    covered = [field["covered"].mean() for field in fields]
    assert max(covered) > 0.02
    assert min(covered) == 0
    assert any(len(field["positions"]) == 0 for field in fields)
    heights = []
    for field in fields:
        restored = field["maps"] * field["scale"][:, None, None]
        assert np.isfinite(restored).all()
        heights.append(restored.std() / field["spread"])
    # A step or a cluster stands out; noise is measured by the rest. Without
    # impurities and all else a field is flat.
    assert max(heights) > 1.5
    assert np.median([h for h in heights if h]) == pytest.approx(1, abs=0.3)
    stored = load_split(path, "train").element_spec
    assert {"spread", "covered"} <= set(stored)
    batch = next(
        iter(
            context_batches(
                [(path, 1)], ContextBatchConfig(4, (2,), (24,), seed=1)
            )
        )
    )
    assert batch["maps"].shape == (4, 2, 24, 24)
