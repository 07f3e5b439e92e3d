"""TFDS builders: one folder a data set, TFRecord shards out.

After `import data_builders`, TFDS knows the sets by their names:
`tfds.load("friedel")`, `"scattering"`, `"au111"`. A builder's module is
imported when it is asked for. `tfds.show_examples` draws their examples.
"""

import importlib
from typing import Any

from tensorflow_datasets.core import registered

from data_builders.examples import MapsVisualizer

NAMES = ("friedel", "scattering", "au111")


class _Provider:
    """Tells TFDS where the builders are."""

    def has_dataset(self, name: str) -> bool:
        return name in NAMES

    def get_builder_cls(self, name: str) -> Any:
        module = f"{__name__}.{name}.{name}_dataset_builder"
        return importlib.import_module(module).Builder


# The first: the next one in the list imports every set that TFDS has.
registered.add_dataset_builder_provider(_Provider(), index=0)
# Before those of TFDS, two of which fail on an example without a picture.
importlib.import_module(
    "tensorflow_datasets.core.visualization.show_examples"
)._ALL_VISUALIZERS.insert(0, MapsVisualizer())
