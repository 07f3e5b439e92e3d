"""Our sets as TFDS has them: by name, tested, shown and described."""

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow_datasets as tfds

from data_builders import NAMES
from data_builders.au111 import au111_dataset_builder as au111
from data_builders.building import build, named_config
from data_builders.croissant import FILE
from data_builders.friedel import friedel_dataset_builder as friedel_set
from data_builders.scattering import scattering_dataset_builder as scattering

COUNTS = {"train": 3, "validation": 2, "test": 2}
FEW = tuple(COUNTS.values())
SMALL_AU111 = named_config(au111.Builder, "virtual").changed(
    n_examples=FEW,
    size_px=24,
    extent_nm=11.25,
    bias_v=(-0.2, 0.0),
    n_impurities=4.0,
)


class TestFriedel(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS: Any = friedel_set.Builder
    EXAMPLE_DIR: Any = Path(__file__).parent
    SPLITS = COUNTS
    BUILDER_CONFIG_NAMES_TO_TEST: Any = (
        named_config(friedel_set.Builder, "demo").changed(n_examples=FEW),
    )


class TestScattering(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS: Any = scattering.Builder
    EXAMPLE_DIR: Any = Path(__file__).parent
    SPLITS = COUNTS
    BUILDER_CONFIG_NAMES_TO_TEST: Any = (
        named_config(scattering.Builder, "tiny").changed(n_examples=FEW),
    )


class TestAu111(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS: Any = au111.Builder
    EXAMPLE_DIR: Any = Path(__file__).parent
    SPLITS = COUNTS
    BUILDER_CONFIG_NAMES_TO_TEST: Any = (SMALL_AU111,)


BY_NAME = """
import sys
import data_builders
import tensorflow_datasets as tfds
assert "data_builders.friedel.friedel_dataset_builder" not in sys.modules
print([tfds.builder(name, data_dir=".").builder_config.name
       for name in ("friedel", "scattering", "au111")])
train = tfds.load("scattering/tiny", data_dir=".", split="train")
print(len(train), train.element_spec["maps"].shape)
"""


def test_one_import_and_tfds_knows_their_names(python):
    told = python(BY_NAME).splitlines()  # TFDS has lines of its own
    assert "['au111', 'default', 'virtual']" in told
    assert "64 (4, 24, 24)" in told


@pytest.mark.parametrize("name", NAMES)
def test_the_homepage_is_no_page_of_a_catalogue(name):
    assert "catalog" not in tfds.builder(name).info.homepage


def test_a_table_of_examples(friedel):
    builder: Any = tfds.builder_from_directory(friedel)
    table = tfds.as_dataframe(
        builder.as_dataset(split="test").take(2), builder.info
    )
    assert list(table.columns) == ["maps", "positions", "wave_numbers"]
    assert table["maps"][1].shape == (8, 20, 20)
    assert "(8, 20, 20)" in str(table._repr_html_())


def test_pictures_of_examples(friedel):
    builder: Any = tfds.builder_from_directory(friedel)
    examples = builder.as_dataset(split="test")
    figure: Any = tfds.show_examples(examples, builder.info, rows=2, cols=3)
    assert len(figure.axes) == 6
    for frame, example in zip(
        figure.axes, tfds.as_numpy(examples), strict=False
    ):
        (circles,) = frame.lines
        assert (
            circles.get_ydata().tolist() == example["positions"][:, 0].tolist()
        )
        (image,) = frame.images
        assert image.get_array().tolist() == example["maps"][0].tolist()
    with pytest.raises(ValueError, match=r"rows, cols and voltage.*: seed"):
        tfds.show_examples(examples, builder.info, seed=1)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return build(au111.Builder, SMALL_AU111, tmp_path_factory.mktemp("au111"))


def test_croissant_names_files_and_features(experiment):
    stored = json.loads((experiment / FILE).read_text())
    builder: Any = tfds.builder_from_directory(experiment)
    assert stored["url"] == builder.info.homepage
    found = {
        files["@id"]: [p.name for p in experiment.glob(files["includes"])]
        for files in stored["distribution"]
    }
    assert {name: len(shards) for name, shards in found.items()} == {
        f"{split}-shards": info.num_shards
        for split, info in builder.info.splits.items()
    }
    (test,) = (s for s in stored["recordSet"] if s["name"] == "test")
    fields = {field["name"]: field for field in test["field"]}
    assert set(fields) == set(builder.info.features)
    assert fields["maps"]["arrayShape"] == "2,24,24"
    assert fields["positions"]["arrayShape"] == "-1,2"


@pytest.mark.parametrize("which", ["friedel", "tiny", "experiment"])
def test_mlcroissant_takes_it(which, request):
    mlcroissant = pytest.importorskip(
        "mlcroissant", reason="mlcroissant, an extra, is not installed"
    )
    path = request.getfixturevalue(which) / FILE
    read = mlcroissant.Dataset(jsonld=str(path))
    assert not read.metadata.ctx.issues.errors
    assert {records.name for records in read.metadata.record_sets} == set(
        COUNTS
    )
