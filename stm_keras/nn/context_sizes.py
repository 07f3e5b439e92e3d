"""What decides the number of weights of the network `Context`."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ContextSizes:
    """Channels and views of `Context`'s parts.

    Attributes:
        filters: channels of both encoders.
        dilations: of the first encoder's blocks [px].
        second_dilations: of the second encoder's blocks [px].
        first_filters: channels of the first look at all maps together.
        first_dilations: of its blocks [px].
        told_filters: how many features of it the second encoder is told.
        decoder_filters: channels of the value and the decoder.
        decoder_dilations: of its blocks [px].
        attention_filters: channels of query and key.
        embedding_units: features of a map's wave number.
        bank: factors of the told 2k whose ring templates' answers the first
            encoder is given beside the map, see `RingTemplates`.
    """

    filters: int = 16
    dilations: tuple[int, ...] = (1, 2)
    second_dilations: tuple[int, ...] = (1, 2, 4)
    first_filters: int = 32
    first_dilations: tuple[int, ...] = (1, 2, 4)
    told_filters: int = 8
    decoder_filters: int = 40
    decoder_dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    attention_filters: int = 8
    embedding_units: int = 24
    bank: tuple[float, ...] = (0.93, 1.0, 1.07)

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            sizes = value if isinstance(value, list | tuple) else (value,)
            if not min(sizes, default=0) > 0:
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}"
                )
            if isinstance(value, list):  # as JSON gives it back
                object.__setattr__(self, name, tuple(value))

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return dataclasses.asdict(self)
