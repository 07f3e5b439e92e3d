"""What a user may say about a file when it is read."""

from dataclasses import dataclass
from typing import Literal, get_args

from stm_keras.errors import InputError

Direction = Literal["forward", "backward"]


@dataclass(frozen=True)
class ReadOptions:
    """Choices that a reader follows; each format takes those it has use for.

    Attributes:
        channel: name of the channel to read; None lets the reader choose.
        direction: of the fast scan, "forward" or "backward".
        bias_v: bias of each map [V]; takes the place of what the file says.
        extent_nm: height and width [nm]; takes the place of what it says.

    Raises:
        InputError: for an unknown direction.
    """

    channel: str | None = None
    direction: Direction = "forward"
    bias_v: tuple[float, ...] | None = None
    extent_nm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the direction."""
        if self.direction not in get_args(Direction):
            raise InputError(
                f"Unknown scan direction: {self.direction!r}. Known: "
                f"{', '.join(get_args(Direction))}."
            )

    def notes(self) -> list[str]:
        """Lines for `provenance`: what took the place of the file's own."""
        notes = []
        if self.bias_v is not None:
            notes.append("bias as given by the user")
        if self.extent_nm is not None:
            notes.append("extent as given by the user")
        return notes
