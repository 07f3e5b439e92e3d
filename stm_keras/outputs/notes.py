"""Which of the notes on a file a person should see at once."""

import re
from collections.abc import Iterable

# At the beginning, or behind the file's name in the notes of a stack.
_WARNING = re.compile(r"(?:^|(?<=: ))warning: ")


def warnings_in(notes: Iterable[str]) -> list[str]:
    """The warnings among notes, each once, without the word "warning".

    Args:
        notes: lines of `provenance` and of what followed.
    """
    return list(
        dict.fromkeys(
            _WARNING.sub("", note, count=1)
            for note in notes
            if _WARNING.search(note)
        )
    )
