"""What is written of a result."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from stm_keras.errors import InputError
from stm_keras.outputs.mask import DEFAULT_RADIUS_NM, check_radius


@dataclass(frozen=True)
class Export:
    """A file for another program.

    Attributes:
        program: its name, as the command line takes it.
        file: name of the file.
        writer: "module:function" in `stm_keras.outputs`.
        takes_mask: whether the writer takes the mask as well.
        writes_none: whether the program opens a file without a position.
        extra: of `pip install stm-keras[...]`, where the writer rests on a
            library that is not always there.
    """

    program: str
    file: str
    writer: str
    takes_mask: bool = False
    writes_none: bool = False
    extra: str = ""

    def load(self) -> Callable[..., None]:
        """The function that writes.

        Raises:
            InputError: where the extra is missing.
        """
        module, function = self.writer.split(":")
        try:
            library = import_module(f"stm_keras.outputs.{module}")
        except ModuleNotFoundError as error:
            if not self.extra or (error.name or "").startswith("stm_keras"):
                raise
            raise InputError(
                f"--export {self.program} needs the package {error.name}. "
                f"Install it with: pip install 'stm-keras[{self.extra}]'."
            ) from error
        return getattr(library, function)


EXPORTS: dict[str, Export] = {
    export.program: export
    for export in (
        Export("imagej", "RoiSet.zip", "imagej:write_roi_set", extra="imagej"),
        Export("napari", "napari_points.csv", "napari:write_points"),
        Export(
            "gwyddion",
            "result.gwy",
            "gwyddion:write_gwy",
            takes_mask=True,
            writes_none=True,
            extra="gwyddion",
        ),
    )
}
ALL = "all"


@dataclass(frozen=True)
class OutputOptions:
    """Choices of what is written.

    Attributes:
        exports: programs to write files for, keys of `EXPORTS`, or "all".
        mask_radius_nm: of the discs in the mask [nm].

    Raises:
        InputError: for an unknown program, one whose package is missing, or
            a radius that is not positive.
    """

    exports: tuple[str, ...] = ()
    mask_radius_nm: float = DEFAULT_RADIUS_NM

    def __post_init__(self) -> None:
        """Check everything before any work is done."""
        check_radius(self.mask_radius_nm)
        for name in self.exports:
            if name != ALL and name not in EXPORTS:
                raise InputError(
                    f"Unknown program to export for: {name!r}. Known: "
                    f"{', '.join(EXPORTS)}, {ALL}."
                )
        for export in self.chosen:
            export.load()

    @property
    def chosen(self) -> list[Export]:
        """The exports, in the order of the table."""
        return [
            export
            for name, export in EXPORTS.items()
            if name in self.exports or ALL in self.exports
        ]
