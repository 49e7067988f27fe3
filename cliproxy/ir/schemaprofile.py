"""What each target takes of JSON Schema, as data; and where in a schema other schemas stand.

A :class:`Profile` says which keywords may remain and what becomes of the rest: it is read by
:mod:`cliproxy.ir.schemareduce`, which changes schemas, and by tests, which check the result against it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

from attrs import field, frozen

from cliproxy.wire.jsontext import JsonObject, JsonValue

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")

IN_MAPS: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords that hold schemas by name. The names are the owner's: none of them is a keyword."""
IN_LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
IN_PLACE: Final = (
    "items",
    "additionalProperties",
    "additionalItems",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
UNIONS: Final = ("anyOf", "oneOf")

HINTED: Final = (
    "minLength",
    "maxLength",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "pattern",
    "minItems",
    "maxItems",
    "format",
    "default",
    "examples",
    "uniqueItems",
    "minimum",
    "maximum",
    "multipleOf",
    "minProperties",
    "maxProperties",
    "contentEncoding",
    "contentMediaType",
)
"""Keywords whose plain value is worth telling the model in words, in the order of the telling."""

VOCABULARY: Final = frozenset(
    {
        *IN_MAPS,
        *IN_LISTS,
        *IN_PLACE,
        *HINTED,
        "$anchor",
        "$comment",
        "$id",
        "$ref",
        "$schema",
        "const",
        "deprecated",
        "description",
        "encrypted",
        "enum",
        "enumDescriptions",
        "enumTitles",
        "example",
        "id",
        "nullable",
        "prefill",
        "propertyOrdering",
        "readOnly",
        "required",
        "title",
        "type",
        "writeOnly",
    }
)

SHAPES: Final[Mapping[str, tuple[type, ...]]] = {
    "additionalProperties": (bool, dict),
    "anyOf": (list,),
    "description": (str,),
    "format": (str,),
    "items": (dict,),
    "maxItems": (int,),
    "maximum": (int, float),
    "minItems": (int,),
    "minimum": (int, float),
    "nullable": (bool,),
    "prefixItems": (list,),
    "properties": (dict,),
    "propertyOrdering": (list,),
    "title": (str,),
}
"""What the value of a keyword must be; with any other value the keyword is as good as unknown."""

_STRUCTURE: Final = frozenset({"type", "description", "properties", "required", "items"})


def _is_false(value: JsonValue) -> bool:
    return value is False


def _is_zero_or_one(value: JsonValue) -> bool:
    return value in (0, 1)


_CLAUDE_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


def _is_format_claude_checks(value: JsonValue) -> bool:
    return isinstance(value, str) and value in _CLAUDE_FORMATS


@frozen(kw_only=True)
class Profile:
    """What a target takes of JSON Schema."""

    keeps: frozenset[str] | None = None
    """The keywords that may remain; ``None``: every one, the schema is only put in shape."""
    only_if: Mapping[str, Callable[[JsonValue], bool]] = field(factory=dict)
    """Kept keywords that the target takes with some values only."""
    drops: frozenset[str] = frozenset()
    """Keywords that go although all others stay."""
    unions: Literal["keep", "best"] = "keep"
    """``best``: a union is replaced by its most telling branch. Unions that stay are spelled ``anyOf``."""
    types: Literal["list", "first", "nullable"] = "list"
    """Several types at once: as they are; the first, the rest in words; or the first and ``nullable``."""
    enums: Literal["typed", "text", "none"] = "typed"
    """``typed``: strings and numbers as they are; ``text``: all as strings; ``none``: in words only."""
    fills_objects: bool = False
    """An object schema has ``properties``, if only empty ones."""
    fills_arrays: bool = False
    """An array schema has ``items``."""
    closes_objects: bool = False
    """An object schema says ``additionalProperties: false``."""
    placeholders: bool = False
    """An object schema has at least one required property."""
    output: str = ""
    """Profile for the schema of a structured answer; empty: this one."""

    def takes(self, keyword: str, value: JsonValue) -> bool:
        """Tell whether a keyword may remain with this value."""
        if self.keeps is None:
            return keyword not in self.drops
        shape = SHAPES.get(keyword)
        if keyword not in self.keeps or (shape is not None and not _has_shape(value, shape)):
            return False
        condition = self.only_if.get(keyword)
        return condition is None or condition(value)


def _has_shape(value: JsonValue, shape: tuple[type, ...]) -> bool:
    return isinstance(value, shape) and (bool in shape or not isinstance(value, bool))


PROFILES: Final[Mapping[str, Profile]] = {
    # The OpenAPI subset of Gemini's `parameters`.
    "gemini": Profile(
        keeps=_STRUCTURE | {"enum", "minimum", "maximum"},
        unions="best",
        types="first",
        enums="text",
        fills_arrays=True,
    ),
    # Gemini's `parametersJsonSchema` and `responseJsonSchema`: more, but not all of JSON Schema.
    "gemini-json": Profile(
        keeps=_STRUCTURE
        | {"format", "title", "enum", "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf"}
        | {"additionalProperties", "propertyOrdering"},
    ),
    # Code Assist's other backend, which may hand the schema to a Claude model that must follow it.
    "antigravity": Profile(
        keeps=_STRUCTURE | {"title", "nullable"},
        unions="best",
        types="nullable",
        enums="none",
        fills_arrays=True,
        placeholders=True,
        output="antigravity-output",
    ),
    "antigravity-output": Profile(
        keeps=_STRUCTURE | {"title", "nullable", "enum", "minimum", "maximum", "additionalProperties"},
        only_if={"additionalProperties": _is_false},
        unions="best",
        types="nullable",
        fills_arrays=True,
    ),
    "claude": Profile(output="claude-output"),
    # Structured answers of Claude: constraints are refused, and every object must be closed.
    "claude-output": Profile(
        keeps=_STRUCTURE
        | {"title", "enum", "anyOf", "default", "format", "minItems", "additionalProperties"},
        only_if={
            "additionalProperties": _is_false,
            "minItems": _is_zero_or_one,
            "format": _is_format_claude_checks,
        },
        closes_objects=True,
    ),
    "openai": Profile(drops=frozenset({"$schema"}), fills_objects=True),
}


def subschemas(schema: JsonObject) -> Iterator[tuple[str, JsonValue]]:
    """Iterate over the schemas directly inside a schema, with the keyword that holds each."""
    for keyword in IN_MAPS:
        inner = schema.get(keyword)
        if isinstance(inner, dict):
            yield from ((keyword, child) for child in inner.values())
    for keyword in IN_LISTS:
        inner = schema.get(keyword)
        if isinstance(inner, list):
            yield from ((keyword, child) for child in inner)
    for keyword in IN_PLACE:
        if keyword in schema:
            yield keyword, schema[keyword]


def replaced(schema: JsonObject, change: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """Return a copy whose direct subschemas are changed; boolean schemas and other values stay."""

    def changed(child: JsonValue) -> JsonValue:
        return change(child) if isinstance(child, dict) else child

    result = dict(schema)
    for keyword in IN_MAPS:
        inner = schema.get(keyword)
        if isinstance(inner, dict):
            result[keyword] = {name: changed(child) for name, child in inner.items()}
    for keyword in (*IN_LISTS, *IN_PLACE):
        if keyword in schema:
            inner = schema[keyword]
            result[keyword] = (
                [changed(child) for child in inner] if isinstance(inner, list) else changed(inner)
            )
    return result
