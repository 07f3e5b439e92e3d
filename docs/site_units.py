"""Has shapes and units in docstrings stay what they are on the site.

`float64 [n, 2] [px]` is a link to Markdown; griffe reads docstrings, and this
extension of it has them say that it is none.
"""

import re
from typing import Any

import griffe


class Units(griffe.Extension):
    """Escapes the second of two brackets in every docstring."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring is not None:
            text = obj.docstring.value
            obj.docstring.value = re.sub(r"\](\s+)\[", r"]\1\\[", text)
