"""Which of the notes on a file a person should see at once."""

from collections.abc import Iterable

from stm_keras.finding.found import Found

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


def meaning_of_score(found: Found) -> str:
    """What the numbers in the column `score` are."""
    if found.deviations is None:
        return "standard deviations of S above its mean"
    return "probability of an impurity"
