"""The one exception that says: the input is wrong, and how to mend it."""


class InputError(ValueError):
    """Something a user gave is wrong.

    The message is one line that names what was wrong, where, and what to do.
    The command line prints it as it is and exits with code 2; a traceback is
    kept for faults of the program.
    """
