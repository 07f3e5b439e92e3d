"""YAML as a sidecar needs it: a few keys, texts and lists of texts.

A text stays a text here, whatever YAML would make of it: its version 1.1
takes 1e-3 for a text, 1:30 for ninety and "off" for False. No object is ever
made from a tag, and no alias followed, so that neither code nor a billion
laughs can come in.
"""

from pathlib import Path

import yaml

from stm_keras.errors import InputError

_MAX_BYTES = 1 << 16
_MAX_DEPTH = 3  # the mapping, an entry that is one, and lists within
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Plain = str | list["Plain"] | dict[str, "Plain"]


def read_yaml(path: Path) -> dict[str, Plain]:
    """Read the mapping that a small YAML file holds.

    Args:
        path: the file, UTF-8 or UTF-16, up to 64 KiB.

    Returns:
        Its entries, every scalar as the text that stands there.

    Raises:
        InputError: for anything else; aliases, tags and keys given twice are
            refused too.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InputError(
            f"{path}: larger than {_MAX_BYTES} bytes, which no sidecar is. "
            "Leave it to the few keys that the file needs."
        )
    try:
        _check_events(path, content)
        node = yaml.compose(content, _LOADER)
    except yaml.YAMLError as error:
        raise InputError(
            f"{path}{_line_of(error)}: no readable YAML ({_reason(error)}). "
            "Write 'key: value' lines in UTF-8."
        ) from error
    plain = {} if node is None else _plain(path, node)
    if not isinstance(plain, dict):
        raise InputError(f"{path}: no keys. Write lines such as 'unit: nS'.")
    return plain


def _check_events(path: Path, content: bytes) -> None:
    """Refuse what is dangerous before anything is built from it."""
    depth = 0
    for event in yaml.parse(content, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        fault = ""
        if depth > _MAX_DEPTH:
            fault = "nested too deeply"
        elif isinstance(event, yaml.AliasEvent) or getattr(
            event, "anchor", None
        ):
            fault = "anchors and aliases (& and *) are not taken"
        elif getattr(event, "tag", None):
            fault = "tags (!) are not taken"
        if fault:
            line = event.start_mark.line + 1
            raise InputError(
                f"{path}, line {line}: {fault}. Write plain keys and values, "
                "texts with such signs in quotes."
            )


def _plain(path: Path, node: yaml.Node) -> Plain:
    """The text, list or dictionary of a node."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    entries: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        key = _plain(path, key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise InputError(
                f"{path}, line {line}: a key must be a word. Write 'key: "
                "value' lines."
            )
        if key in entries:
            raise InputError(
                f"{path}, line {line}: {key!r} is given twice. Keep one."
            )
        entries[key] = _plain(path, value_node)
    return entries


def _line_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}"


def _reason(error: yaml.YAMLError) -> str:
    """What the parser found, in one line of printable text."""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None)
    text = " ".join(str(reason or "damaged").split())
    return "".join(c if c.isprintable() else "?" for c in text)
