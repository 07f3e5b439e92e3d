"""Which of the notes on a file a person should see at once."""

from collections.abc import Iterable

_WARNING = "warning: "


def warnings_in(notes: Iterable[str]) -> list[str]:
    """The warnings among notes, each once, without the word "warning".

    Args:
        notes: lines of `provenance` and of what followed.
    """
    return list(
        dict.fromkeys(
            note.removeprefix(_WARNING)
            for note in notes
            if note.startswith(_WARNING)
        )
    )
