"""What an example of the `au111` data set holds."""

import numpy as np
import tensorflow_datasets as tfds


def virtual_features(n_maps: int, size_px: int) -> tfds.features.FeaturesDict:
    """Features of a virtual experiment.

    Args:
        n_maps: number V of maps.
        size_px: side of the frame [px].
    """
    return tfds.features.FeaturesDict(
        {
            **_common_features((n_maps, size_px, size_px)),
            "positions": _positions("true place of every impurity"),
            "decoys": _positions("places of blobs that are no impurities"),
            "bound_state": tfds.features.Tensor(
                shape=(size_px, size_px),
                dtype=np.float32,
                encoding="bytes",
                doc="map of bound states, brightest possible spot = 1",
            ),
        }
    )


def measured_features(
    shape: tuple[int, int, int],
) -> tfds.features.FeaturesDict:
    """Features of a user's own experiment.

    Args:
        shape: of its maps, (V, H, W).
    """
    return tfds.features.FeaturesDict(
        {
            **_common_features(shape),
            "source": tfds.features.Text(doc="files that the maps came from"),
            "provenance": tfds.features.Text(doc="what was done, by line"),
        }
    )


def _common_features(
    shape: tuple[int, int, int],
) -> dict[str, tfds.features.FeatureConnector]:
    return {
        "maps": tfds.features.Tensor(
            shape=shape,
            dtype=np.float32,
            encoding="bytes",
            doc="dI/dV by bias; virtual: LDOS - 1 in units of the clean LDOS",
        ),
        "bias_v": _float64(shape[:1], "bias of every map [V]"),
        "wave_numbers": tfds.features.Tensor(
            shape=shape[:1],
            dtype=np.float32,
            doc="k of every map [rad/px]; rings have 2k",
        ),
        "extent_nm": _float64((2,), "height and width [nm]"),
        "reference_positions": _positions(
            "spots that expectation-maximisation found in the map of bound "
            "states; empty without such a map"
        ),
    }


def _float64(shape: tuple[int, ...], doc: str) -> tfds.features.Tensor:
    # As raw bytes: TFDS's list of floats would cut them to float32.
    return tfds.features.Tensor(
        shape=shape, dtype=np.float64, encoding="bytes", doc=doc
    )


def _positions(doc: str) -> tfds.features.Tensor:
    return tfds.features.Tensor(
        shape=(None, 2), dtype=np.float32, doc=f"row, column [px]: {doc}"
    )
