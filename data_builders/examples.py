"""Pictures of examples: what `tfds.show_examples` gives of our sets."""

from typing import Any

import tensorflow_datasets as tfds

_SIDE_INCHES = 2.4


class MapsVisualizer(tfds.visualization.Visualizer):
    """One map of every example, its impurities as circles."""

    def match(self, ds_info: tfds.core.DatasetInfo) -> bool:
        """Whether a set has maps and impurities, as ours have."""
        features: Any = ds_info.features
        return {"maps", "wave_numbers"} <= set(features) and bool(
            _positions_of(features)
        )

    def show(
        self,
        ds: Any,
        ds_info: tfds.core.DatasetInfo,
        **options_kwargs: Any,
    ) -> Any:
        """Draw examples in the order in which they come.

        Args:
            ds: examples, not batched.
            ds_info: of their set.
            **options_kwargs: `rows` and `cols` of the picture (3 and 3), and
                `voltage`, which map of each stack to show (0).

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            ValueError: for an option that is not known.
        """
        # Drawn without a window, so that no display is needed.
        from matplotlib.figure import Figure

        rows = options_kwargs.pop("rows", 3)
        cols = options_kwargs.pop("cols", 3)
        voltage = options_kwargs.pop("voltage", 0)
        if options_kwargs:
            raise ValueError(
                "Known options: rows, cols and voltage. Received: "
                f"{', '.join(options_kwargs)}"
            )
        name = _positions_of(ds_info.features)
        figure = Figure((cols * _SIDE_INCHES, rows * _SIDE_INCHES))
        frames = figure.subplots(rows, cols, squeeze=False).ravel()
        for frame in frames:
            frame.set_axis_off()
        for frame, example in zip(frames, tfds.as_numpy(ds), strict=False):
            row, col = example[name].T
            frame.imshow(example["maps"][voltage], cmap="gray")
            frame.plot(col, row, "o", mfc="none", mec="tab:red", ms=9)
        figure.suptitle(f"{ds_info.full_name}: circles are its {name}")
        return figure


def _positions_of(features: Any) -> str:
    """The feature that says where impurities are; "" where none does."""
    known = ("positions", "reference_positions")
    return next((name for name in known if name in features), "")
