"""A widget of napari that finds impurities, with a slider on how sure."""

from typing import Any

import napari  # pyright: ignore[reportMissingImports]
import numpy as np
from magicgui import widgets  # pyright: ignore[reportMissingImports]

from stm_keras.detections import Detections
from stm_keras.errors import InputError
from stm_keras.models.shipped import shipped_models
from stm_keras.units import counted
from stm_keras.viewer.reader import MAPS

_SIZE_NM = 1.0


class Finder(widgets.Container):
    """Finds impurities in a layer that `reader` made, and marks them.

    All candidates are points of one layer, in nm; the slider shows those that
    are sure enough, and says how many of them are expected to be false.

    Args:
        napari_viewer: napari's window.
    """

    def __init__(self, napari_viewer: "napari.Viewer") -> None:
        self._viewer = napari_viewer
        self._points: Any = None  # the layer
        self._found: Detections | None = None
        self.maps = widgets.ComboBox(label="maps", choices=self._choices)
        self.surface = widgets.LineEdit(
            label="surface",
            tooltip="au111, cu111, ag111, or m*/m_e and E0 [eV], such as "
            "0.38,-0.44; empty measures q",
        )
        self.model = widgets.ComboBox(
            label="model", choices=[*shipped_models()]
        )
        self.button = widgets.PushButton(text="Find")
        self.least = widgets.FloatSlider(label="least score", min=0.0, max=1.0)
        self.words = widgets.Label(value="")
        super().__init__(
            widgets=[
                self.maps,
                self.surface,
                self.model,
                self.button,
                self.least,
                self.words,
            ]
        )
        self.least.enabled = False
        self.button.changed.connect(self._start)
        self.least.changed.connect(self._show)
        for event in ("inserted", "removed"):
            signal = getattr(napari_viewer.layers.events, event)
            signal.connect(self.maps.reset_choices)

    def search(self) -> Detections:
        """Search the chosen layer, without a picture.

        Raises:
            InputError: where none is chosen, or it cannot be searched.
        """
        from stm_keras.api import find

        layer = self.maps.value
        if layer is None:
            raise InputError(
                "No layer of maps: open a file with the reader of stm-keras."
            )
        surface = self.surface.value.strip() or None
        return find(
            layer.metadata[MAPS], surface=surface, detector=self.model.value
        )

    def mark(self, found: Detections) -> "napari.layers.Points":
        """Show what was found, and the candidates, as points.

        Args:
            found: in the chosen layer.

        Returns:
            The layer: y and x [nm] from the frame's top left corner, with
            all columns of the table as features.
        """
        table = _with_candidates(found)
        if self._points is not None and self._points in self._viewer.layers:
            self._viewer.layers.remove(self._points)
        self._found, self._points = (
            found,
            napari.layers.Points(
                np.column_stack([table["y_nm"], table["x_nm"]]),
                features=table,
                name="impurities",
                size=_SIZE_NM,
                face_color="transparent",
                border_color="orange",
                axis_labels=["y", "x"],
                units=["nm", "nm"],
            ),
        )
        self._viewer.add_layer(self._points)
        scores = [*table["score"], found.threshold]
        top = 1.0 if found.gives_probabilities else max(scores)
        self.least.label = (
            "least probability" if found.gives_probabilities else "least score"
        )
        with self.least.changed.blocked():
            self.least.min, self.least.max = min(0.0, *scores), float(top)
            self.least.value = found.threshold
        self.least.enabled = True
        self._show()
        return self._points

    def _show(self) -> None:
        """Show the points that are sure enough, and say what they are."""
        if self._points is None or self._found is None:
            return
        score = self._points.features["score"].to_numpy(dtype=float)
        # The slider rounds to its own steps.
        shown = score >= self.least.value - 1e-6
        self._points.shown = shown
        number = int(shown.sum())
        words = f"{number} {'impurity' if number == 1 else 'impurities'}"
        if self._found.gives_probabilities:
            false = counted(float((1 - score[shown]).sum()))
            words += f", {false or 'none'} expected to be false"
        self.words.value = "\n".join([words, *self._found.warnings])

    def _start(self) -> None:
        """Search beside the window, which stays alive."""
        self.button.enabled = False
        self.words.value = "searching ..."
        worker = napari.qt.threading.thread_worker(self.search)()
        worker.returned.connect(self.mark)
        worker.errored.connect(self._failed)
        worker.finished.connect(lambda: setattr(self.button, "enabled", True))
        worker.start()

    def _failed(self, error: Exception) -> None:
        self.words.value = ""
        if not isinstance(error, InputError):
            raise error
        napari.utils.notifications.show_error(str(error))

    def _choices(self, _: Any) -> "list[napari.layers.Image]":
        """Layers with maps."""
        layers = self._viewer.layers
        return [one for one in layers if MAPS in one.metadata]


def _with_candidates(found: Detections) -> dict[str, np.ndarray]:
    """The table with the candidates that were not sure enough, if any."""
    columns = found.columns()
    if found.left_out is None:
        return columns
    more = found.left_out.columns()
    more["rank"] = more["rank"] + len(found)
    return {
        name: np.concatenate([column, more[name]])
        for name, column in columns.items()
    }
