"""The `au111` data set: built, and read without the code that made it."""

from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_builders.au111.au111_dataset_builder import Builder, measured_config
from data_builders.au111.virtual_examples import make_examples
from data_builders.building import build, named_config
from stm_keras.detections import match
from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.measured import paper_rings
from stm_keras.training.datasets import load_virtual, open_prepared
from stm_keras.training.experiment import experiment_tiles

TINY = {
    "size_px": 24,
    "extent_nm": 11.25,
    "bias_v": (-0.2, -0.1, 0.0),
    "n_impurities": 4.0,
    "margin_px": 8.0,
    "min_distance_px": 4.0,
}


@pytest.fixture(scope="module")
def tiny():
    return named_config(Builder, "virtual_sparse_typical").changed(
        n_examples=(3, 1, 2), seed=7, **TINY
    )


@pytest.fixture(scope="module")
def virtual(tiny, tmp_path_factory):
    return build(Builder, tiny, tmp_path_factory.mktemp("virtual"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    noise = np.random.default_rng(0).standard_normal((2, 60, 60), np.float32)
    maps = ConductanceMaps(noise, np.array([0.0, -0.1]), (14.0, 14.0))
    write_npz(maps, folder / "maps.npz")
    row, col = np.mgrid[:60, :60]
    spot = np.exp(-((row - 20) ** 2 + (col - 40) ** 2) / np.float32(18))
    spot = (spot + noise[0] / 50).astype(np.float32)
    bound = ConductanceMaps(spot[None], np.array([-0.52]), (14.0, 14.0))
    write_npz(bound, folder / "bound.npz")
    return folder / "maps.npz", folder / "bound.npz"


def examples(path, split):
    builder: Any = tfds.builder_from_directory(path)
    return list(builder.as_dataset(split=split).as_numpy_iterator())


def test_a_virtual_set_holds_maps_truth_and_reference(virtual):
    assert [len(examples(virtual, s)) for s in ("train", "validation")] == [
        3,
        1,
    ]
    for example in examples(virtual, "test"):
        assert example["maps"].shape == (3, 24, 24)
        assert example["bound_state"].shape == (24, 24)
        assert example["positions"].shape[1] == 2
        assert example["decoys"].shape == (0, 2)  # 3 in 80 x 80 px
        np.testing.assert_allclose(example["bias_v"], TINY["bias_v"])
        np.testing.assert_allclose(example["extent_nm"], [11.25, 11.25])
        assert (np.diff(example["wave_numbers"]) > 0).all()
    metadata: Any = tfds.builder_from_directory(virtual).info.metadata
    assert metadata["bound_state_bias_v"] == -0.52
    assert metadata["simulation"]["difficulty"] == "typical"


def test_examples_depend_on_seed_and_place_alone(virtual, tiny):
    def first_value(example):
        return example["maps"][0, 0, 0]

    # TFDS stores them in an order of its own.
    stored = sorted(examples(virtual, "train"), key=first_value)
    made = list(make_examples(tiny.simulation, 7, 0, range(3), processes=2))
    made.sort(key=first_value)
    for mine, other in zip(stored, made, strict=True):
        assert mine.keys() == other.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], other[name])
    test = examples(virtual, "test")
    assert not np.array_equal(stored[0]["maps"], test[0]["maps"])


def test_load_virtual_gives_maps_with_their_truth(virtual):
    cases = load_virtual(virtual, "test")
    assert len(cases) == 2
    assert cases[0].maps.shape == (3, 24, 24)
    assert cases[0].pixel_nm == pytest.approx(11.25 / 24)
    cases += load_virtual(virtual, "train")
    n_found = sum(
        len(match(case.reference_positions, case.positions, 1.0).pairs)
        for case in cases
    )
    assert n_found > 0.7 * sum(len(case.positions) for case in cases) > 0


def test_variants_cover_densities_and_difficulties():
    names = {config.name for config in Builder.BUILDER_CONFIGS}
    assert names == {"virtual"} | {
        f"virtual_{density}_{difficulty}"
        for density in ("sparse", "medium", "dense")
        for difficulty in ("clean", "typical", "hard")
    } | {
        f"{surface}_{density}"
        for density in ("sparse", "medium", "dense")
        for surface in ("herringbone", "step")
    }
    config = named_config(Builder, "virtual_dense_hard")
    assert config.simulation.n_impurities == 60
    assert config.changed(seed=0) is config
    first, second = (config.changed(seed=seed).name for seed in (1, 2))
    assert first != second
    assert first.startswith("virtual_dense_hard-")


def test_a_measured_set_serves_as_experiment(sources, tmp_path):
    maps, bound = sources
    config = measured_config([maps], bound_state=bound, surface="au111")
    path = build(Builder, config, tmp_path)
    (example,) = examples(path, "train")
    np.testing.assert_allclose(example["bias_v"], [-0.1, 0.0])
    assert example["source"].decode() == str(maps)
    assert "plane subtracted" in example["provenance"].decode()
    side = example["maps"].shape[1]
    expected = (np.array([[20.5, 40.5]])) * side / 60 - 0.5
    np.testing.assert_allclose(
        example["reference_positions"], expected, atol=0.3
    )
    tiles = experiment_tiles(
        [path.parent], size_px=16, n_voltages=8, q_range_rad_px=paper_rings()
    )
    assert {tile.shape for tile in tiles} == {(2, 16, 16)}
    with pytest.raises(InputError, match="no virtual experiments"):
        load_virtual(path, "train")


def test_measured_sets_go_by_their_contents(sources, tmp_path):
    maps, bound = sources
    copy = tmp_path / "copy.npz"
    copy.write_bytes(maps.read_bytes())
    names = [
        measured_config([maps], surface="au111").name,
        measured_config([maps], surface="cu111").name,
        measured_config([maps], bound_state=bound, surface="au111").name,
    ]
    assert len(set(names)) == 3
    assert measured_config([copy], surface="au111").name == names[0]


@pytest.mark.parametrize("name", ["herringbone_sparse", "step_sparse"])
def test_surfaces_are_a_set_of_their_own(name, tmp_path):
    small = {"size_px": 24, "extent_nm": 11.25, "bias_v": (-0.2, 0.0)}
    config = named_config(Builder, name).changed(
        n_examples=(1, 1, 1), n_impurities=4.0, **small
    )
    path = build(Builder, config, tmp_path)
    (scene,) = load_virtual(path, "test")
    assert np.isfinite(scene.maps).all()
    stored = open_prepared(path).info.metadata["simulation"]
    assert stored["features"][0]["kind"] == "Herringbone"
    assert ("Steps" in str(stored["features"])) == name.startswith("step")
