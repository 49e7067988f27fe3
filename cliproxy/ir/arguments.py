"""Tool arguments as an object, however the model wrote them.

Arguments travel as the text the model wrote. Two dialects (Claude and Gemini) need a JSON object in its
place. Models mostly write one; when they do not, the usual slips are single quotes, bare words, trailing
commas, Python's spelling of constants, or a value that is no object. :func:`to_object` reads all of these.

A text that breaks off in the middle is *not* completed: half a shell command in a well-formed object would be
run by somebody. It reads as an empty object; :func:`is_readable` tells such a text from one that means it.
"""

import re
from typing import Final

from cliproxy.ir.request import CallKind, ToolCall
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, loads

MAX_DEPTH: Final = 100

_CONSTANTS: Final[dict[str, JsonValue]] = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    "null": None,
    "None": None,
    "undefined": None,
}
_SPACE: Final = re.compile(r"\s*")
_BARE: Final = re.compile(r"""[^,:{}\[\]"'\n\r]+""")
_SINGLE: Final = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_CONTROL: Final = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def to_object(arguments: str) -> JsonObject:
    """Read arguments as an object: another value as ``{"value": …}``, what is unreadable as ``{}``."""
    value = _read(arguments)
    if isinstance(value, dict):
        return value
    return {} if value is None else {"value": value}


def as_object(call: ToolCall) -> JsonObject:
    """Return a call's arguments as an object, which is not to be changed. Free text is the one argument that
    its tool is declared with where there are only functions."""
    if call.kind is CallKind.CUSTOM:
        return {"input": call.arguments}
    return to_object(call.arguments) if call.written is None else call.written


def is_readable(arguments: str) -> bool:
    """Tell whether arguments say something, if only that there are none."""
    return arguments.strip() in {"", "null"} or _read(arguments) is not None


def _read(arguments: str) -> JsonValue:
    """Return the value that is written; ``None`` where there is none that can be read."""
    if not arguments.strip():
        return None
    try:
        return loads(arguments)
    except JsonError:
        return _read_loosely(arguments)


def _read_loosely(source: str) -> JsonValue:
    """Read a list or object with the usual slips; ``None`` when that fails, too."""
    if source.lstrip()[:1] not in {"{", "["}:
        return None
    reader = _Reader(source)
    try:
        value = reader.value(0)
        return value if reader.at_end() else None
    except (JsonError, RecursionError):
        return None


class _Reader:
    """Recursive descent over a text that is almost JSON."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def at_end(self) -> bool:
        self._skip()
        return self._at == len(self._source)

    def value(self, depth: int) -> JsonValue:
        if depth > MAX_DEPTH:
            raise JsonError("nested too deeply")
        match self._peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._list(depth)
            case _:
                return self._scalar()

    def _object(self, depth: int) -> JsonObject:
        members: JsonObject = {}
        self._take("{")
        while self._peek() != "}":
            key = self._scalar(is_key=True)
            self._take(":")
            members[str(key)] = self.value(depth + 1)
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        return members

    def _list(self, depth: int) -> list[JsonValue]:
        entries: list[JsonValue] = []
        self._take("[")
        while self._peek() != "]":
            entries.append(self.value(depth + 1))
            if self._peek() != "]":
                self._take(",")
        self._take("]")
        return entries

    def _scalar(self, *, is_key: bool = False) -> JsonValue:
        mark = self._peek()
        if mark in {"'", '"'}:
            return self._quoted(_SINGLE if mark == "'" else _DOUBLE)
        match = _BARE.match(self._source, self._at)
        word = match[0].strip() if match else ""
        if match is None or not word:
            raise JsonError(f"expected a value at character {self._at}")
        self._at = match.end()
        if is_key:
            return word
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        try:
            return loads(word)
        except JsonError:
            return word

    def _quoted(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._source, self._at)
        if match is None:
            raise JsonError(f"a string without an end at character {self._at}")
        self._at = match.end()
        inner = match[1].replace("\\'", "'").translate(_CONTROL)
        if pattern is _SINGLE:
            inner = re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', inner)
        text = loads(f'"{inner}"')
        assert isinstance(text, str)
        return text

    def _peek(self) -> str:
        self._skip()
        return self._source[self._at : self._at + 1]

    def _skip(self) -> None:
        match = _SPACE.match(self._source, self._at)
        self._at = match.end() if match else self._at

    def _take(self, mark: str) -> None:
        if self._peek() != mark:
            raise JsonError(f"expected {mark!r} at character {self._at}")
        self._at += 1
