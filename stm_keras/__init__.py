"""Find impurities in scanning tunnelling microscopy maps.

    import stm_keras

    found = stm_keras.find("scan.sxm", surface="cu111")
    found.to_dataframe()
    found.plot()

Names are imported when they are first used, so that `import stm_keras` takes
no time. Where Keras is imported, before or after, the package's layers are
registered, so that `keras.saving.load_model` reads a `model.keras` of ours.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from stm_keras.api import find, read
    from stm_keras.detections import Detections
    from stm_keras.detector import Detector, load_detector
    from stm_keras.maps import ConductanceMaps as Maps

__version__ = "0.1.0"

__all__ = ["Detections", "Detector", "Maps", "find", "load_detector", "read"]

_PUBLIC = {
    "Detections": "stm_keras.detections:Detections",
    "Detector": "stm_keras.detector:Detector",
    "Maps": "stm_keras.maps:ConductanceMaps",
    "find": "stm_keras.api:find",
    "load_detector": "stm_keras.detector:load_detector",
    "read": "stm_keras.api:read",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PUBLIC[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


@wrapt.when_imported("keras")
def _register(keras: Any) -> None:
    """Make the package's layers known to Keras."""
    del keras
    # One of our own modules that imports Keras registers them by itself.
    if "stm_keras.nn" not in sys.modules:
        importlib.import_module("stm_keras.nn.model")


@wrapt.when_imported("xarray")
def _give_accessor(xarray: Any) -> None:
    """Give arrays of xarray `.stm`."""
    del xarray
    importlib.import_module("stm_keras.accessor")
