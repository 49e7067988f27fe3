"""Samples for schemas: a small checker of JSON Schema says whether they fit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.providers.demo.samples import MAX_DEPTH, sample, sample_object

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def fits(value: object, schema: dict) -> bool:
    """Check the keywords that the schemas below use."""
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return False
    match kind:
        case "object":
            declared = schema.get("properties", {})
            return set(schema.get("required", ())) <= set(value) and all(
                fits(inner, declared[name]) for name, inner in value.items() if name in declared
            )
        case "array":
            inside = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 99)
            return inside and all(fits(item, schema["items"]) for item in value)
        case "string":
            return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 99)
        case "integer" | "number":
            return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def _objects(inner: st.SearchStrategy[dict]) -> st.SearchStrategy[dict]:
    return st.dictionaries(st.sampled_from("abc"), inner, max_size=3).flatmap(
        lambda properties: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(properties),
                "required": st.lists(st.sampled_from([*properties, "undeclared"]), unique=True),
            }
        )
    )


def _arrays(inner: st.SearchStrategy[dict]) -> st.SearchStrategy[dict]:
    return st.builds(
        lambda items, least, more: {
            "type": "array",
            "items": items,
            "minItems": least,
            "maxItems": least + more,
        },
        inner,
        st.integers(0, 3),
        st.integers(0, 2),
    )


leaves = st.one_of(
    st.sampled_from(["boolean", "null", "string", "number", "integer"]).map(lambda kind: {"type": kind}),
    st.lists(st.integers() | st.text(max_size=3), min_size=1, max_size=3).map(
        lambda values: {"enum": values}
    ),
    st.builds(
        lambda low, room, kind: {"type": kind, "minimum": low, "maximum": low + room},
        st.integers(-50, 50),
        st.integers(0, 5),
        st.sampled_from(["integer", "number"]),
    ),
    st.builds(
        lambda low, room: {"type": "string", "minLength": low, "maxLength": low + room},
        st.integers(0, 20),
        st.integers(0, 5),
    ),
)
schemas = st.recursive(leaves, lambda inner: _objects(inner) | _arrays(inner), max_leaves=8)


@given(schemas)
def test_sample_fits_its_schema(schema):
    assert fits(sample(schema), schema)


@given(schemas)
def test_same_schema_gives_same_value(schema):
    assert sample(schema) == sample(schema)


CASES = {
    "const": ({"const": 7, "type": "string"}, 7),
    "default": ({"type": "integer", "default": 5}, 5),
    "examples": ({"type": "string", "examples": ["first", "second"]}, "first"),
    "null is no default": ({"type": "string", "default": None}, "demo"),
    "nullable type": ({"type": ["null", "integer"]}, 1),
    "only null": ({"type": ["null"]}, None),
    "no type, but properties": ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
    "nothing said": ({}, "demo"),
    "not a schema": ({"type": "array", "items": True}, [None]),
    "multiple of": ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
    "multiple of, below the maximum": ({"type": "integer", "minimum": 6, "maximum": 9, "multipleOf": 5}, 5),
    "exclusive bounds": ({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}, 4),
    "exclusive and plain bounds": (
        {"type": "number", "minimum": 2, "exclusiveMinimum": 3, "maximum": 9, "exclusiveMaximum": 8},
        3.5,
    ),
    "fraction below a whole number": ({"type": "integer", "minimum": 1.5}, 2),
    "no whole number in range": ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, 1),
    "distinct items": (
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
        ["demo", "demo 2"],
    ),
    "tuple": ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}]}, [1, True]),
    "empty list": ({"type": "array", "maxItems": 0, "items": {"type": "string"}}, []),
    "format": ({"type": "string", "format": "date"}, "2024-01-31"),
    "broken pattern": ({"type": "string", "pattern": "("}, "demo"),
    "first branch that is not null": ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
    "all of": (
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"required": ["b"], "type": "object"},
            ]
        },
        {"a": 1, "b": "demo b"},
    ),
    "unknown reference": ({"$ref": "#/$defs/missing"}, "demo"),
    "reference with escapes": ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "found"}}}, "found"),
}


@pytest.mark.parametrize(("schema", "expected"), CASES.values(), ids=CASES.keys())
def test_value(schema, expected):
    assert sample(schema) == expected


@pytest.mark.parametrize("pattern", ["^[0-9]+$", "^[A-Z][a-z]+$", "^#[0-9a-f]{6}$"])
def test_pattern_is_met_where_a_sample_meets_it(pattern):
    assert re.search(pattern, sample({"type": "string", "pattern": pattern}))


def test_names_of_properties_choose_harmless_values():
    schema = {"type": "object", "properties": {"command": {"type": "string"}, "Path": {"type": "string"}}}
    assert sample(schema) == {"command": "echo hello from the demo", "Path": "demo.txt"}


def test_schema_that_contains_itself_ends():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    depth = 0
    value = sample(node)
    while value:
        value = value["next"]
        depth += 1
    assert depth <= MAX_DEPTH


def test_list_that_contains_itself_ends():
    assert isinstance(sample({"type": "array", "items": {"$ref": "#"}, "minItems": 1}), list)


def test_arguments_are_an_object_whatever_the_schema_says():
    assert sample_object({"type": "array", "items": {}}) == {}
