"""Random JSON Schemas, cyclic references and wrong values included, and a checker for what came out."""

from hypothesis import strategies as st

from cliproxy.ir.schemaprofile import IN_MAPS, Profile, subschemas

NAMES = ("a", "b", "format", "enum", "type", "x-y", "$ref", "_", "reason")

plain = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "v", "date", "email"])
types = st.sampled_from(
    [
        "object",
        "array",
        "string",
        "INTEGER",
        "null",
        "any",
        ["string", "null"],
        ["null"],
        ["integer", "string"],
        7,
        [],
    ]
)
refs = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#/properties/a", "#/nowhere", "other.json", "#/$defs/a/items"]
)


def _with(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    named = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    listed = st.lists(inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": types,
            "$ref": refs,
            "description": st.sampled_from(["d", "", "Allowed: v", 3]),
            "properties": named | st.just([]),
            "required": st.lists(st.sampled_from(NAMES), max_size=3) | st.booleans() | st.just([1]),
            "items": inner | listed | st.booleans(),
            "prefixItems": listed,
            "anyOf": listed,
            "oneOf": listed,
            "allOf": listed,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "enum": st.lists(plain, max_size=4) | st.just("v"),
            "const": plain,
            "additionalProperties": inner | st.booleans(),
            "nullable": st.booleans() | st.just("yes"),
            "format": plain,
            "minLength": plain,
            "minimum": plain,
            "minItems": plain,
            "default": plain,
            "title": plain,
            "x-origin": plain,
            "stray": inner,
            "$schema": st.just("https://json-schema.org/draft/2020-12/schema"),
            "$defs": named,
        },
    )


schemas = st.recursive(
    st.just({}) | st.booleans() | st.just({"type": "string"}), _with, max_leaves=12
).filter(lambda schema: isinstance(schema, dict))


def check_fits(schema: dict[str, object], profile: Profile) -> None:
    """Assert that a schema, and every schema in it, has only keywords and values that a profile takes."""
    for keyword, value in schema.items():
        assert profile.takes(keyword, value), (keyword, value)
    if profile.types != "list":
        assert isinstance(schema.get("type", ""), str)
    for keyword in IN_MAPS:
        assert isinstance(schema.get(keyword, {}), dict)
    if "required" in schema:
        assert schema["required"]
        assert set(schema["required"]) <= set(schema["properties"])
    for _, inner in subschemas(schema):
        assert isinstance(inner, dict | bool)
        if isinstance(inner, dict):
            check_fits(inner, profile)
