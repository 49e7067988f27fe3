"""Paths into JSON values, as people write them in payload rules: read, set and delete.

==================  ==================================================================================
form                meaning
==================  ==================================================================================
``a.b.c``           members of objects; a leading dot says nothing
``a\\.b``            one member whose name has a dot; ``\\`` takes the meaning from any character
``a.0.b``           an item where ``a`` is an array or absent, a member ``"0"`` where it is an object
``a.-1``            the place after the last item, where a value is appended
``a.:0``            the member ``"0"``, never an item
``a*`` ``a?``       the first member whose name matches
``a.#``             every item
``a.#(b=="c")``     the first item that fulfils the condition; ``#(…)#``: every such item
==================  ==================================================================================

A condition is a path and an operator (``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, and ``%``, ``!%`` for
patterns) with a JSON value or a bare word; without an operator the path has to exist, without a path the item
itself is meant. An item that lacks the path fulfils no condition, not even ``!=``.

Nothing is changed in place: setting and deleting return a value in which only the branches on the way are
new, so that what was not touched is still the same object. What is missing on the way to a plain path is
made, and a scalar there gives way; a searching form finds what is there and makes nothing. A path that does
not fit, such as a name into an array, changes nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from attrs import field, frozen

from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, loads

APPEND: Final = -1
MAX_INDEX: Final = 9999
"""Arrays are padded up to the index that is set."""
MAX_STEPS: Final = 64

Key: TypeAlias = str | int
Test: TypeAlias = Callable[[JsonValue], bool]


class PathError(ValueError):
    """Text that is no path."""


class Step(Protocol):
    """One part of a path."""

    def search(self, value: JsonValue) -> Iterator[tuple[Key, JsonValue]]:
        """Yield what the part names inside a value."""
        ...


@frozen
class Name:
    """A member, or where ``index`` is given and there is an array, an item of it."""

    text: str
    index: int | None = None

    def search(self, value: JsonValue) -> Iterator[tuple[Key, JsonValue]]:
        if isinstance(value, dict) and self.text in value:
            yield self.text, value[self.text]
        elif isinstance(value, list) and self.index is not None and 0 <= self.index < len(value):
            yield self.index, value[self.index]


@frozen
class Wildcard:
    """The first member whose name matches."""

    pattern: re.Pattern[str]

    def search(self, value: JsonValue) -> Iterator[tuple[Key, JsonValue]]:
        if isinstance(value, dict):
            matching = ((name, inner) for name, inner in value.items() if self.pattern.fullmatch(name))
            if (first := next(matching, None)) is not None:
                yield first


@frozen
class Query:
    """The items that pass a test, or only the first of them."""

    passes: Test
    finds_all: bool

    def search(self, value: JsonValue) -> Iterator[tuple[Key, JsonValue]]:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            if self.passes(item):
                yield index, item
                if not self.finds_all:
                    return


@frozen
class Path:
    """A path, understood."""

    text: str
    """As it was written."""
    head: tuple[Step, ...] = field(repr=False)
    """Up to the last part that searches."""
    tail: tuple[Name, ...] = field(repr=False)
    """The plain parts after it, which can be made."""

    @property
    def first(self) -> str | None:
        """The member of the outermost object that the path leads into; ``None`` if that is searched for."""
        return None if self.head else self.tail[0].text


# --- using paths ---


def found(value: JsonValue, path: Path) -> list[JsonValue]:
    """Return everything a path leads to."""
    return [leaf for _, leaf in _places(value, (*path.head, *path.tail))]


def with_value(root: JsonObject, path: Path, value: JsonValue) -> JsonObject:
    """Return the object with a value put where the path leads; the object itself if it leads nowhere."""
    for place, _ in list(_places(root, path.head)):
        try:
            changed = _put(root, (*_fixed(place), *path.tail), value)
        except _DoesNotFitError:
            continue
        assert isinstance(changed, dict), "the outermost value stays an object"
        root = changed
    return root


def without(root: JsonObject, path: Path) -> JsonObject:
    """Return the object without what the path leads to; the object itself if that is nothing."""
    places = [place for place, _ in _places(root, (*path.head, *path.tail))]
    for place in reversed(places):
        # From the last one on, so that the items before keep their numbers.
        changed = _cut(root, place)
        assert isinstance(changed, dict), "the outermost value stays an object"
        root = changed
    return root


class _DoesNotFitError(Exception):
    """A name into an array."""


def _places(value: JsonValue, steps: Sequence[Step]) -> Iterator[tuple[tuple[Key, ...], JsonValue]]:
    """Yield where the steps lead, in the order of the value, and what is there."""
    if not steps:
        yield (), value
        return
    for key, inner in steps[0].search(value):
        for place, leaf in _places(inner, steps[1:]):
            yield (key, *place), leaf


def _fixed(place: Sequence[Key]) -> Iterator[Name]:
    for key in place:
        yield Name(key) if isinstance(key, str) else Name(str(key), key)


def _put(value: JsonValue, steps: Sequence[Name], new: JsonValue) -> JsonValue:
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        return {**value, step.text: _put(value.get(step.text), rest, new)}
    if not isinstance(value, list):
        return _put([] if step.index is not None else {}, steps, new)
    if step.index is None:
        raise _DoesNotFitError
    index = len(value) if step.index == APPEND else step.index
    items = [*value, *([None] * (index + 1 - len(value)))]
    items[index] = _put(items[index], rest, new)
    return items


def _cut(value: JsonValue, place: Sequence[Key]) -> JsonValue:
    key, rest = place[0], place[1:]
    if isinstance(value, dict):
        assert isinstance(key, str)
        if rest:
            return {**value, key: _cut(value[key], rest)}
        return {name: inner for name, inner in value.items() if name != key}
    assert isinstance(value, list)
    assert isinstance(key, int)
    inside = [_cut(value[key], rest)] if rest else []
    return [*value[:key], *inside, *value[key + 1 :]]


# --- reading paths ---

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NUMBER: Final = re.compile(r"-1|[0-9]+")
_WILD: Final = re.compile(r"\\.|[*?]", re.DOTALL)


def parse(text: str) -> Path:
    """Understand a path. Raises :class:`PathError`, whose text completes "the path …"."""
    body = text.removeprefix(".")
    ends = [at for at in _bare(body) if body[at] == "."]
    starts = [0, *(end + 1 for end in ends)]
    if len(starts) > MAX_STEPS:
        raise PathError(f"has more than {MAX_STEPS} parts")
    steps = [_step(body[start:end]) for start, end in zip(starts, [*ends, len(body)], strict=True)]
    tail: list[Name] = []
    while steps and isinstance(last := steps[-1], Name):
        tail.insert(0, last)
        steps.pop()
    return Path(text, tuple(steps), tuple(tail))


def _bare(text: str) -> Iterator[int]:
    """Yield where characters stand that are neither escaped nor part of a condition."""
    depth, quoted, at, mark = 0, False, 0, -1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif quoted or (depth and char == '"'):
            quoted = not quoted or char != '"'
        elif char == "(" and (depth or mark == at - 1 >= 0):
            depth += 1
        elif char == ")" and depth:
            depth -= 1
        elif not depth:
            mark = at if char == "#" else mark
            yield at
        at += 1
    if depth:
        raise PathError("has a condition without an end")
    if at > len(text):
        raise PathError("ends with a backslash")


def _step(part: str) -> Step:
    if not part:
        raise PathError("has an empty part")
    if part.startswith("#"):
        return _query(part)
    if part[0] in "@!" or any(part[at] == "|" for at in _bare(part)):
        raise PathError(f"has `{part}`, which is not understood; write a backslash before `@`, `!` or `|`")
    if part.startswith(":") and len(part) > 1:
        return Name(_plain(part[1:]))
    if any(part[at] in "*?" for at in _bare(part)):
        return Wildcard(_pattern(part))
    if not _NUMBER.fullmatch(part):
        return Name(_plain(part))
    index = int(part) if len(part) <= len(str(MAX_INDEX)) else MAX_INDEX + 1
    if index > MAX_INDEX:
        raise PathError(f"has an index over {MAX_INDEX}; for a member of that name write `:{part}`")
    return Name(part, index)


def _plain(part: str) -> str:
    return _ESCAPED.sub(r"\1", part)


def _pattern(text: str) -> re.Pattern[str]:
    """Turn a pattern with ``*`` and ``?`` into a regular expression."""
    found, at = [], 0
    for match in _WILD.finditer(text):
        found.append(re.escape(text[at : match.start()]))
        token, at = match.group(), match.end()
        found.append({"*": ".*", "?": "."}.get(token) or re.escape(token[1:]))
    return re.compile("".join([*found, re.escape(text[at:])]), re.DOTALL)


# --- conditions ---

_ORDERS: Final[Mapping[str, frozenset[int]]] = {
    "<=": frozenset({-1, 0}),
    ">=": frozenset({0, 1}),
    "<": frozenset({-1}),
    ">": frozenset({1}),
}
"""What the order of two values may be: the first one before, at, or after the second."""
_OPERATORS: Final = ("==", "!=", "!%", *_ORDERS, "=", "%")
"""Those that begin with another one come before it."""


def _query(part: str) -> Query:
    if part == "#":
        return Query(_always, finds_all=True)
    finds_all = part.endswith(")#")
    inner = part.removesuffix("#") if finds_all else part
    if not inner.startswith("#(") or [*_bare(inner)] != [0]:
        raise PathError(f"has `{part}`, which is no condition; write a backslash before `#`")
    return Query(_test(inner[2:-1].strip()), finds_all=finds_all)


def _always(_value: JsonValue) -> bool:
    return True


def _test(condition: str) -> Test:
    where, sign, operand = _split(condition)
    holds = _comparison(sign, operand) if sign else _always
    if not where:
        if not sign:
            raise PathError("has an empty condition")
        return holds
    path = parse(where)
    return lambda item: any(holds(value) for value in found(item, path))


def _split(condition: str) -> tuple[str, str, str]:
    """Return path, operator and operand."""
    for at in _bare(condition):
        for sign in _OPERATORS:
            if condition.startswith(sign, at):
                return condition[:at].strip(), sign, condition[at + len(sign) :].strip()
    return condition, "", ""


def _comparison(sign: str, operand: str) -> Test:
    try:
        wanted = loads(operand)
    except JsonError:
        if operand.startswith('"') or not operand:
            raise PathError(f"compares with `{operand}`, which is no value") from None
        wanted = operand
    match sign:
        case "==" | "=":
            return lambda value: same(value, wanted)
        case "!=":
            return lambda value: not same(value, wanted)
        case "%" | "!%":
            pattern, is_wanted = _pattern(wanted if isinstance(wanted, str) else operand), sign == "%"
            return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value)) is is_wanted
        case _:
            return lambda value: _order(value, wanted) in _ORDERS[sign]


def _order(value: JsonValue, other: JsonValue) -> int | None:
    """Compare texts with texts and numbers with numbers; nothing else has an order."""
    match value, other:
        case (bool(), _) | (_, bool()):
            return None
        case str(), str():
            return (value > other) - (value < other)
        case int() | float(), int() | float():
            return (value > other) - (value < other)
    return None


def same(value: JsonValue, other: JsonValue) -> bool:
    """Tell whether two values are the same JSON: ``1`` and ``1.0`` are, ``1`` and ``true`` are not."""
    match value, other:
        case bool(), _:
            return value is other
        case _, bool():
            return False
        case dict(), dict():
            return value.keys() == other.keys() and all(same(value[name], other[name]) for name in value)
        case list(), list():
            return len(value) == len(other) and all(map(same, value, other))
    return value == other
