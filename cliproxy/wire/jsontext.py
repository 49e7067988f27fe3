"""JSON as text and bytes: the only module that names a JSON library.

Strict in what the standard leaves open: ``NaN`` and ``Infinity`` are refused, invalid UTF-8 is refused,
nesting is bounded, big integers are exact. Lone surrogates (legal as ``\\ud800`` escapes) survive a round
trip.

:class:`Document` is a parsed top-level object that remembers where each member stands in the source, so that
a few members can be replaced while every other byte, key order and unknown field included, stays as the
client wrote it.

The small accessors (:func:`text`, :func:`number`, :func:`items`, …) read wire objects in the tolerant way
dialects need: a member that is absent or of another type reads as the default.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Final, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_DEPTH: Final = 200
"""Deepest nesting accepted; real requests stay below 40."""


class JsonError(ValueError):
    """Text that is not JSON, or more deeply nested than :data:`MAX_DEPTH`."""


class Delete:
    """The type of :data:`DELETE`."""

    def __repr__(self) -> str:
        return "DELETE"


DELETE: Final = Delete()
"""Marks a member to be removed by :meth:`Document.patch`."""

Change: TypeAlias = "JsonValue | Delete"
Changes: TypeAlias = Mapping[str, Change]
"""Top-level members and what they become."""


def _refuse_constant(name: str) -> JsonValue:
    raise JsonError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    """Read a float; a number beyond the range of floats could not be written again."""
    value = float(digits)
    if math.isinf(value):
        raise JsonError(f"{digits[:20]} is out of range")
    return value


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_compact = partial(json.JSONEncoder, separators=(",", ":"), allow_nan=False, check_circular=False)
"""What comes out of a parser has no circles, and looking for them takes a tenth of the time."""
_encoder = _compact(ensure_ascii=False)
_ascii_encoder = _compact(ensure_ascii=True)


def _renderer(encoder: json.JSONEncoder) -> Callable[[JsonValue], str]:
    """Return what an encoder does, without building its inner machine anew for every value: that takes longer
    than rendering most values of ours."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # pragma: no cover - not CPython
        return encoder.encode
    quote = json.encoder.encode_basestring
    pieces = make(None, encoder.default, quote, None, ":", ",", False, False, False)
    return lambda value: "".join(pieces(value, 0))


_render = _renderer(_encoder)


def _too_deep(root: JsonObject) -> bool:
    """Tell whether lists and objects nest deeper than allowed. Looks at containers only, level by level: the
    parser has bounded the depth far enough for this walk, and reading the text again would cost more than
    parsing it."""
    level: list[JsonObject | list[JsonValue]] = [root]
    for _ in range(MAX_DEPTH + 1):
        level = [
            value
            for container in level
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, dict) or isinstance(value, list)  # noqa: SIM101 - twice as fast
        ]
        if not level:
            return False
    return True


def _to_text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise JsonError(f"invalid UTF-8 at byte {exc.start}") from exc


def loads(data: bytes | str) -> JsonValue:
    """Parse one JSON value. Raises :class:`JsonError`."""
    source = _to_text(data)
    value: JsonValue
    try:
        value, end = _decoder.raw_decode(source, _skip(source, 0))
    except JsonError:
        raise
    except RecursionError as exc:
        raise JsonError("nested too deeply") from exc
    except ValueError as exc:
        raise JsonError(str(exc)) from exc
    if end != len(source) and (end := _skip(source, end)) != len(source):
        raise JsonError(f"extra data at character {end}")
    return value


def loads_object(data: bytes | str) -> JsonObject:
    """Parse a JSON object. Raises :class:`JsonError`, also for any other kind of value."""
    value = loads(data)
    if not isinstance(value, dict):
        raise JsonError("not a JSON object")
    return value


def dumps(value: JsonValue) -> bytes:
    """Render compactly as UTF-8."""
    return dumps_text(value).encode("utf-8")


def dumps_text(value: JsonValue) -> str:
    """Render compactly as text that is always encodable as UTF-8."""
    rendered = _render(value)
    if rendered.isascii():
        return rendered
    try:
        rendered.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; escapes carry it unharmed.
        return _ascii_encoder.encode(value)
    return rendered


def literal(value: str) -> bytes:
    """Render a string literal, quotes included: the variable part of a prebuilt frame."""
    return dumps(value)


_SPACE: Final = re.compile(r"[ \t\n\r]*")


def _skip(source: str, at: int) -> int:
    """Return where the next thing begins that is no white space; mostly it is here."""
    if source[at : at + 1] > " ":
        return at
    match = _SPACE.match(source, at)
    return match.end() if match else at


class Document:
    """A JSON object as received: its value, its exact text, and the place of every top-level member.

    Duplicate keys are legal in JSON; the last one wins, as every common parser has it.
    """

    __slots__ = ("_source", "_spans", "value")

    content_type: ClassVar[str] = "application/json"

    def __init__(self, source: str, value: JsonObject, spans: list[tuple[str, int, int, int]]) -> None:
        self._source = source
        self._spans = spans
        """``(key, start of key literal, start of value, end of value)`` in source order, as text offsets."""
        self.value = value

    @classmethod
    def parse(cls, raw: bytes) -> "Document":
        """Parse a request body. Raises :class:`JsonError` when it is not one JSON object."""
        source = _to_text(raw)
        try:
            document = cls._scan(source)
        except JsonError:
            raise
        except RecursionError as exc:
            raise JsonError("nested too deeply") from exc
        except (ValueError, IndexError) as exc:
            raise JsonError(str(exc) or "unexpected end of text") from exc
        if _too_deep(document.value):
            raise JsonError("nested too deeply")
        return document

    @classmethod
    def _scan(cls, source: str) -> "Document":
        at = _skip(source, 0)
        if source[at : at + 1] != "{":
            raise JsonError("not a JSON object" if source.strip() else "empty body")
        value: JsonObject = {}
        spans: list[tuple[str, int, int, int]] = []
        at = _skip(source, at + 1)
        if source[at : at + 1] == "}":
            at += 1
        else:
            at = cls._scan_members(source, at, value, spans)
        if _skip(source, at) != len(source):
            raise JsonError(f"extra data at character {at}")
        return cls(source, value, spans)

    @staticmethod
    def _scan_members(source: str, at: int, value: JsonObject, spans: list[tuple[str, int, int, int]]) -> int:
        while True:
            key_start = at
            if source[at : at + 1] != '"':
                raise JsonError(f"expected a quoted member name at character {at}")
            key, at = _decoder.raw_decode(source, at)
            at = _skip(source, at)
            if source[at : at + 1] != ":":
                raise JsonError(f"expected ':' at character {at}")
            value_start = _skip(source, at + 1)
            value[key], at = _decoder.raw_decode(source, value_start)
            spans.append((key, key_start, value_start, at))
            at = _skip(source, at)
            mark = source[at : at + 1]
            if mark == "}":
                return at + 1
            if mark != ",":
                raise JsonError(f"expected ',' or '}}' at character {at}")
            at = _skip(source, at + 1)

    @property
    def raw(self) -> bytes:
        """The text as received (without a byte order mark)."""
        return self._source.encode("utf-8")

    def patch(self, changes: Changes) -> bytes:
        """Return the text with some top-level members replaced, added or, with :data:`DELETE`, removed.

        Members that are not named keep their bytes and their place; new ones go to the end.
        """
        if not changes:
            return self.raw
        last = {key: index for index, (key, *_) in enumerate(self._spans)}
        members: list[str] = []
        for index, (key, key_start, value_start, end) in enumerate(self._spans):
            if key not in changes:
                members.append(self._source[key_start:end])
                continue
            change = changes[key]
            if not isinstance(change, Delete) and last[key] == index:
                members.append(self._source[key_start:value_start] + dumps_text(change))
        for key, change in changes.items():
            if key not in last and not isinstance(change, Delete):
                members.append(f"{dumps_text(key)}:{dumps_text(change)}")
        return ("{" + ",".join(members) + "}").encode("utf-8")

    def changed(self, changes: Changes) -> "Document":
        """Return the document with some members replaced; see :meth:`patch`."""
        return Document.parse(self.patch(changes))


def changes_between(old: JsonObject, new: JsonObject) -> Changes:
    """Return the top-level members that are not the same objects any more.

    A change that left alone what it did not touch becomes a small :meth:`Document.patch` this way.
    """
    changed: dict[str, JsonValue] = {
        member: value for member, value in new.items() if value is not old.get(member) or member not in old
    }
    return {**changed, **{member: DELETE for member in old if member not in new}}


def text(obj: Mapping[str, JsonValue], key: str, default: str = "") -> str:
    """Read a string member; anything else reads as the default."""
    value = obj.get(key)
    return value if isinstance(value, str) else default


def number(obj: Mapping[str, JsonValue], key: str) -> float | int | None:
    """Read a number member; booleans are not numbers."""
    value = obj.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def integer(obj: Mapping[str, JsonValue], key: str) -> int | None:
    """Read a whole-number member; ``3.0`` counts as 3."""
    value = number(obj, key)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value


def count(obj: Mapping[str, JsonValue], key: str) -> int | None:
    """Read a number of things; less than nothing is no such number."""
    value = obj.get(key)
    if type(value) is not int:  # as it nearly always is
        value = integer(obj, key)
    return value if value is None or value >= 0 else None


def flag(obj: Mapping[str, JsonValue], key: str) -> bool | None:
    """Read a boolean member."""
    value = obj.get(key)
    return value if isinstance(value, bool) else None


def child(obj: Mapping[str, JsonValue], key: str) -> JsonObject:
    """Read an object member; an empty object when there is none. The result is the original, not a copy."""
    value = obj.get(key)
    return value if isinstance(value, dict) else {}


def rest(obj: JsonObject, *known: str) -> JsonObject:
    """Return the members that are not named; mostly there are none, which is found out fast."""
    for key in obj:
        if key not in known:
            return {key: value for key, value in obj.items() if key not in known}
    return {}


def items(obj: Mapping[str, JsonValue], key: str) -> list[JsonValue]:
    """Read a list member; an empty list when there is none."""
    value = obj.get(key)
    return value if isinstance(value, list) else []


def objects(obj: Mapping[str, JsonValue], key: str) -> Iterator[JsonObject]:
    """Iterate over the objects in a list member, passing over anything else in it."""
    return (value for value in items(obj, key) if isinstance(value, dict))


def strings(obj: Mapping[str, JsonValue], key: str) -> list[str]:
    """Read a list of strings; a bare string counts as a list of one."""
    value = obj.get(key)
    if isinstance(value, str):
        return [value]
    return [item for item in items(obj, key) if isinstance(item, str)]
