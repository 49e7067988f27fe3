"""Values written as YAML: the counterpart of :mod:`cliproxy.config.nodes` for what edits and examples insert.

What is written reads back as the same value in this program and in other YAML 1.1 and 1.2 readers alike, so a
text is left unquoted only where nobody could take it for something else.
"""

import re
from collections.abc import Iterator
from typing import Final

from cliproxy.config.nodes import plain_value
from cliproxy.wire.jsontext import JsonValue, dumps_text

INDENT: Final = 2

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*")
_OTHER_READERS: Final = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null"})
"""Words that some reader of YAML takes for a truth value or nothing; compared in lower case."""
_SINGLE: Final = re.compile(r"[ -~\u00a0-\ud7ff\ue000-\ufefe]*")
_ESCAPES: Final = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_LAST_BYTE: Final = 0xFF
_LAST_SHORT: Final = 0xFFFF
_PRINTABLE: Final = re.compile(r"[ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\U00010000-\U0010ffff]")


def scalar(value: JsonValue, style: str = "", *, flow: bool = False) -> str:
    """Write a value on one line. ``style`` is the quoting to prefer for a text: ``'``, ``"`` or none."""
    match value:
        case str():
            return _text(value, style, flow=flow)
        case list() | dict():
            return flow_text(value)
        case _:
            return dumps_text(value)


def flow_text(value: JsonValue, style: str = "") -> str:
    """Write a value as flow YAML, ``{a: 1, b: [x]}``, on one line; texts in the quoting of ``style``."""
    match value:
        case list():
            return "[" + ", ".join(flow_text(item, style) for item in value) + "]"
        case dict():
            members = (f"{scalar(name, flow=True)}: {flow_text(item, style)}" for name, item in value.items())
            return "{" + ", ".join(members) + "}"
        case _:
            return scalar(value, style, flow=True)


def block_lines(value: JsonValue) -> Iterator[str]:
    """Write a value as block YAML, line by line without line ends; scalars and empty collections are one
    line."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from member_lines(name, item)
    elif isinstance(value, list) and value:
        for item in value:
            yield from item_lines(item)
    else:
        yield scalar(value)


def member_lines(name: str, value: JsonValue) -> Iterator[str]:
    """Write ``name: value`` in block YAML."""
    yield from _under(f"{scalar(name)}:", value)


def item_lines(value: JsonValue) -> Iterator[str]:
    """Write ``- value`` in block YAML; the first member of a mapping stands behind the dash."""
    lines = block_lines(value)
    yield f"- {next(lines)}"
    for line in lines:
        yield f"{'':{INDENT}}{line}"


def _under(head: str, value: JsonValue) -> Iterator[str]:
    if isinstance(value, list | dict) and value:
        yield head
        for line in block_lines(value):
            yield f"{'':{INDENT}}{line}"
    else:
        yield f"{head} {scalar(value)}"


def _text(value: str, style: str, *, flow: bool) -> str:
    if style == "" and _is_plain(value, flow=flow):
        return value
    if style == "'" and _SINGLE.fullmatch(value):
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _is_plain(value: str, *, flow: bool) -> bool:
    """Tell whether a text may stand without quotes, for every reader and in every place."""
    if not _PLAIN.fullmatch(value) or value.lower() in _OTHER_READERS:
        return False
    return isinstance(plain_value(value), str) and not (flow and ":" in value)


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if _PRINTABLE.fullmatch(char):
        return char
    code = ord(char)
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_SHORT else f"\\U{code:08x}"
