"""A value for a JSON Schema: what the demo model passes to tools and returns as structured output.

The same schema gives the same value. Values are modest: what an object requires (everything it declares if it
requires nothing), the shortest list, the smallest number. Strings are chosen by the name of their property
where the name tells what is wanted, so that a tool that is really run does something harmless and visible.

The value satisfies schemas that people write for tools. What cannot be satisfied by construction (a
``pattern`` none of the samples matches, ``not``, ``dependentSchemas``) is ignored.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve, frozen

from cliproxy.wire.jsontext import JsonObject, JsonValue, child, items, number, strings, text

MAX_DEPTH: Final = 12
"""Nesting at which a schema that contains itself is given up."""

BY_FORMAT: Final[Mapping[str, str]] = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
BY_NAME: Final[Mapping[str, str]] = {
    "city": "Paris",
    "cmd": "echo hello from the demo",
    "command": "echo hello from the demo",
    "country": "France",
    "email": "demo@example.com",
    "file_path": "demo.txt",
    "filename": "demo.txt",
    "location": "Paris",
    "path": "demo.txt",
    "unit": "celsius",
    "url": "https://example.com/",
}
PATTERN_SAMPLES: Final = (
    "demo",
    "Demo",
    "0",
    "1",
    "12345",
    "a",
    "A",
    "2024-01-31",
    "demo-1",
    "/demo",
    "#1a2b3c",
)
_SHORTEST_LONG_TEXT: Final = 10_000
"""Longest text made to satisfy ``minLength``."""
_LONGEST_LIST: Final = 50
_LARGEST_SAMPLE_OBJECT: Final = 20
_TYPE_OF_KEYWORD: Final[Mapping[str, str]] = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "pattern": "string",
    "minLength": "string",
    "minimum": "number",
    "maximum": "number",
}


def sample(schema: JsonObject) -> JsonValue:
    """Return a value that satisfies a schema."""
    return _value(schema, _Place(schema))


def sample_object(schema: JsonObject) -> JsonObject:
    """Return the arguments of a tool; an empty object if the schema describes something else."""
    value = sample(schema)
    return value if isinstance(value, dict) else {}


@frozen
class _Place:
    """Where in a schema we are."""

    root: JsonObject
    name: str = ""
    """Name of the property being made."""
    depth: int = 0

    def inside(self, name: str = "") -> "_Place":
        """Return a place one level deeper."""
        return evolve(self, name=name or self.name, depth=self.depth + 1)


def _value(schema: JsonValue, place: _Place) -> JsonValue:
    if not isinstance(schema, dict) or place.depth > MAX_DEPTH:
        return None
    schema = _resolved(schema, place)
    given = _given(schema)
    if given:
        return given[0]
    return _MAKERS.get(_kind(schema), _text)(schema, place)


def _given(schema: JsonObject) -> list[JsonValue]:
    """Return the values the schema itself names."""
    if "const" in schema:
        return [schema["const"]]
    default = schema.get("default")
    return items(schema, "enum") or items(schema, "examples") or ([] if default is None else [default])


def _resolved(schema: JsonObject, place: _Place) -> JsonObject:
    """Follow references inside the document and settle for one branch of every choice."""
    for _ in range(MAX_DEPTH):
        if isinstance(reference := schema.get("$ref"), str):
            target = _lookup(reference, place.root)
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        elif branches := [branch for branch in items(schema, "allOf") if isinstance(branch, dict)]:
            schema = _merged({key: value for key, value in schema.items() if key != "allOf"}, branches)
        elif branch := _branch(schema):
            rest = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
            schema = _merged(rest, [branch])
        else:
            break
    return schema


def _lookup(reference: str, root: JsonObject) -> JsonObject:
    node: JsonValue = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _branch(schema: JsonObject) -> JsonObject | None:
    branches = [
        branch
        for key in ("anyOf", "oneOf")
        for branch in items(schema, key)
        if isinstance(branch, dict) and branch.get("type") != "null"
    ]
    return branches[0] if branches else None


def _merged(schema: JsonObject, branches: list[JsonObject]) -> JsonObject:
    merged = dict(schema)
    for branch in branches:
        for key, value in branch.items():
            mine = merged.get(key)
            if isinstance(mine, dict) and isinstance(value, dict):
                merged[key] = {**mine, **value}
            elif isinstance(mine, list) and isinstance(value, list):
                merged[key] = [*mine, *(item for item in value if item not in mine)]
            else:
                merged[key] = value
    return merged


def _kind(schema: JsonObject) -> str:
    named = [kind for kind in strings(schema, "type") if kind != "null"]
    if named:
        return named[0]
    if strings(schema, "type"):
        return "null"
    return next((kind for keyword, kind in _TYPE_OF_KEYWORD.items() if keyword in schema), "string")


def _object(schema: JsonObject, place: _Place) -> JsonObject:
    declared = child(schema, "properties")
    wanted = strings(schema, "required") or [*declared][:_LARGEST_SAMPLE_OBJECT]
    if place.depth >= MAX_DEPTH:
        return {}
    return {name: _value(declared.get(name, {}), place.inside(name)) for name in wanted}


def _array(schema: JsonObject, place: _Place) -> list[JsonValue]:
    fixed = items(schema, "prefixItems")
    made = [_value(item, place.inside()) for item in fixed]
    least = max(int(number(schema, "minItems") or 0), 0 if fixed or number(schema, "maxItems") == 0 else 1)
    if place.depth >= MAX_DEPTH:
        return made
    while len(made) < min(least, _LONGEST_LIST):
        made.append(_value(schema.get("items", {}), place.inside()))
    return _distinct(made) if schema.get("uniqueItems") is True else made


def _distinct(values: list[JsonValue]) -> list[JsonValue]:
    """Tell equal texts and numbers apart by counting."""
    made: list[JsonValue] = []
    for value in values:
        count = 1
        different = value
        while different in made and isinstance(value, int | float | str) and not isinstance(value, bool):
            count += 1
            different = f"{value} {count}" if isinstance(value, str) else value + count - 1
        made.append(different)
    return made


def _number(schema: JsonObject, _place: _Place) -> int | float:
    whole = _kind(schema) == "integer"
    low, high = _bounds(schema, 1 if whole else 0.5)
    step = number(schema, "multipleOf")
    value: int | float = 1
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if step:
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value -= step
    elif whole:
        value = math.ceil(value) if high is None or math.ceil(value) <= high else math.floor(value)
    return int(value) if float(value).is_integer() else value


def _bounds(schema: JsonObject, gap: float) -> tuple[float | None, float | None]:
    """Return the smallest and the largest allowed value; an excluded bound moves inwards by ``gap``."""
    low, high = number(schema, "minimum"), number(schema, "maximum")
    above, below = number(schema, "exclusiveMinimum"), number(schema, "exclusiveMaximum")
    if above is not None:
        low = above + gap if low is None else max(low, above + gap)
    if below is not None:
        high = below - gap if high is None else min(high, below - gap)
    return low, high


def _text(schema: JsonObject, place: _Place) -> str:
    known = BY_FORMAT.get(text(schema, "format"))
    if known is not None:
        return known
    value = BY_NAME.get(place.name.lower(), f"demo {place.name}".strip())
    if pattern := text(schema, "pattern"):
        value = _matching(pattern, value)
    shortest, longest = number(schema, "minLength") or 0, number(schema, "maxLength")
    if len(value) < shortest:
        value = value.ljust(min(int(shortest), _SHORTEST_LONG_TEXT), ".")
    return value if longest is None else value[: max(int(longest), 0)]


def _matching(pattern: str, value: str) -> str:
    try:
        expression = re.compile(pattern)
    except re.error:
        return value
    return next((made for made in (value, *PATTERN_SAMPLES) if expression.search(made)), value)


_MAKERS: Final[Mapping[str, Callable[[JsonObject, _Place], JsonValue]]] = {
    "object": _object,
    "array": _array,
    "number": _number,
    "integer": _number,
    "boolean": lambda _schema, _place: True,
    "null": lambda _schema, _place: None,
}
