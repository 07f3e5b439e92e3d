"""The one exception that says: the input is wrong, and how to mend it."""

import unicodedata

_BREAKS = ("Cc", "Zl", "Zp")  # control characters, ends of lines


def one_line(text: str) -> str:
    """A text that stays on one line, whatever the names of files hold.

    Args:
        text: control characters and ends of lines in it become "?".
    """
    return "".join(
        "?" if unicodedata.category(letter) in _BREAKS else letter
        for letter in text
    )


class InputError(ValueError):
    """Something a user gave is wrong.

    The message is one line that names what was wrong, where, and what to do.
    The command line prints it as it is and exits with code 2; a traceback is
    kept for faults of the program.
    """

    def __init__(self, message: str) -> None:
        """Keep the message on one line."""
        super().__init__(one_line(message))
