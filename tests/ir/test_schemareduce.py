"""Reducing schemas: the vectors of each target, and what holds for any schema whatever."""

import pytest
from hypothesis import given, settings

from cliproxy.ir.schemaprofile import PROFILES
from cliproxy.ir.schemareduce import MAX_DEPTH, Reducer, find
from support.schemas import check_fits, schemas

REDUCING = sorted(name for name, profile in PROFILES.items() if profile.keeps is not None)
REASON = {"reason": {"type": "string", "description": "Brief explanation of why you are calling this tool"}}


def reduced(schema, profile):
    return Reducer(PROFILES[profile], schema).reduce()


OBJECT_X = {"type": "object", "properties": {"x": {"type": "string"}}}

GEMINI = {
    "const becomes an allowed value": (
        {"type": "object", "properties": {"k": {"const": "v"}}},
        {"type": "object", "properties": {"k": {"enum": ["v"], "type": "string"}}},
    ),
    "allowed values become strings": (
        {"type": "integer", "enum": [1, 2]},
        {"type": "string", "enum": ["1", "2"], "description": "Allowed: 1, 2"},
    ),
    "null among the allowed values": (
        {"type": "object", "properties": {"a": {"enum": ["x", None, ""]}}, "required": ["a"]},
        {
            "type": "object",
            "properties": {"a": {"type": "string", "enum": ["x"], "description": "(nullable)"}},
        },
    ),
    "a nullable property is not required": (
        {"properties": {"a": {"type": ["string", "null"]}, "b": {"type": "string"}}, "required": ["a", "b"]},
        {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "(nullable)"}, "b": {"type": "string"}},
            "required": ["b"],
        },
    ),
    "several types": (
        {"type": ["string", "integer"], "description": "d"},
        {"type": "string", "description": "d (Accepts: string | integer)"},
    ),
    "the best branch": (
        {"anyOf": [{"type": "null"}, OBJECT_X], "description": "P"},
        {**OBJECT_X, "description": "P (Accepts: null | object)"},
    ),
    "the first of equal branches, its description joined": (
        {"oneOf": [{"type": "string", "description": "one"}, {"type": "integer"}], "description": "P"},
        {"type": "string", "description": "P (one) (Accepts: string | integer)"},
    ),
    "a union that only narrows": (
        {"type": "string", "anyOf": [{"format": "date"}, {"format": "uri"}]},
        {"type": "string"},
    ),
    "a union that says which properties go together": (
        {**OBJECT_X, "anyOf": [{"required": ["x"]}, {"required": ["y"]}]},
        OBJECT_X,
    ),
    "an empty union": ({"type": "string", "anyOf": []}, {"type": "string"}),
    "a reference to nothing": (
        {"$ref": "#/$defs/Foo", "description": "d"},
        {"type": "object", "description": "d (See: Foo)"},
    ),
    "a reference, its siblings win": (
        {
            "properties": {"a": {"$ref": "#/$defs/F", "description": "mine"}},
            "$defs": {"F": {"type": "string", "description": "its"}},
        },
        {"type": "object", "properties": {"a": {"type": "string", "description": "mine"}}},
    ),
    "a cycle": (
        {
            "$ref": "#/$defs/N",
            "$defs": {"N": {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}},
        },
        {"type": "object", "properties": {"next": {"type": "object", "description": "See: N"}}},
    ),
    "constraints in words": (
        {"type": "string", "minLength": 2, "format": "uri"},
        {"type": "string", "description": "minLength: 2 (format: uri)"},
    ),
    "what is only noise": (
        {"type": "object", "additionalProperties": False, "$schema": "s", "title": "t"},
        {"type": "object", "description": "No extra properties allowed"},
    ),
    "names that look like keywords": (
        {"type": "object", "properties": {"pattern": {"type": "string"}, "const": {"type": "string"}}},
        {"type": "object", "properties": {"pattern": {"type": "string"}, "const": {"type": "string"}}},
    ),
    "x- names stay, x- keywords go": (
        {"properties": {"x-y": {"type": "string", "x-z": 1}}},
        {"type": "object", "properties": {"x-y": {"type": "string"}}},
    ),
    "allOf is merged": (
        {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}, "required": ["b"]}]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"]},
    ),
    "conditions become optional properties": (
        {
            **OBJECT_X,
            "if": {},
            "then": {"properties": {"y": {"type": "string"}}},
            "else": {"properties": {"x": {}}},
        },
        {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
    ),
    "required names without a property": (
        {**OBJECT_X, "required": ["x", "z"]},
        {**OBJECT_X, "required": ["x"]},
    ),
    "required said by the property itself": (
        {"properties": {"a": {"type": "string", "required": True}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    ),
    "properties beside the type": (
        {"type": "object", "city": {"type": "string"}},
        {"type": "object", "properties": {"city": {"type": "string"}}},
    ),
    "Gemini's spelling of types": ({"type": "STRING"}, {"type": "string"}),
    "arrays say of what": ({"type": "array"}, {"type": "array", "items": {"type": "string"}}),
    "arrays by position": (
        {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]},
        {"type": "array", "items": {"type": "integer"}},
    ),
    "placeholders of another target": (
        {"type": "object", "properties": {"_": {"type": "boolean"}, **REASON}, "required": ["reason", "_"]},
        {"type": "object", "properties": {}},
    ),
}


@pytest.mark.parametrize("case", GEMINI)
def test_gemini(case):
    given_schema, expected = GEMINI[case]
    assert reduced(given_schema, "gemini") == expected


GEMINI_JSON = {
    "unions, types, values and limits stay": (
        schema := {
            "type": "object",
            "properties": {
                "a": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
                "b": {"type": ["integer", "null"], "minimum": 0},
                "c": {"type": "integer", "enum": [1, 2]},
                "d": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
        schema,
    ),
    "what real clients send and it has not": (
        {"$schema": "s", "type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}},
        {"type": "object", "properties": {"a": {"type": "string", "description": "pattern: ^x"}}},
    ),
    "oneOf is spelled anyOf": (
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    "const of a string": ({"const": "v"}, {"type": "string", "enum": ["v"]}),
    "allowed booleans in words": (
        {"type": "boolean", "enum": [True]},
        {"type": "boolean", "description": "Allowed: true"},
    ),
    "mixed values": ({"enum": ["a", 1]}, {"enum": ["a", 1], "type": ["string", "integer"]}),
    "nullable": ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    "positions": (
        {"type": "array", "items": [{"type": "string"}], "additionalProperties": {"const": 1}},
        {
            "type": "array",
            "prefixItems": [{"type": "string"}],
            "additionalProperties": {"type": "integer", "enum": [1]},
        },
    ),
    "values of every type": (
        {"properties": {"a": {"enum": [1.5, [1], {"k": 2}]}, "b": {"const": None}, "c": {"$ref": 3}}},
        {
            "type": "object",
            "properties": {
                "a": {"type": ["number", "array", "object"], "description": 'Allowed: 1.5, [1], {"k":2}'},
                "b": {"type": "null"},
                "c": {},
            },
        },
    ),
    "only null": ({"type": "null"}, {"type": "null"}),
}


@pytest.mark.parametrize("case", GEMINI_JSON)
def test_gemini_json(case):
    given_schema, expected = GEMINI_JSON[case]
    assert reduced(given_schema, "gemini-json") == expected


ANTIGRAVITY = {
    "an empty object": ({"type": "object"}, {"type": "object", "properties": REASON, "required": ["reason"]}),
    "an inner object without required": (
        {"properties": {"n": {"type": "object", "properties": {"q": {"type": "string"}}}}},
        {
            "type": "object",
            "properties": {
                "n": {
                    "type": "object",
                    "properties": {"q": {"type": "string"}, "_": {"type": "boolean"}},
                    "required": ["_"],
                }
            },
        },
    ),
    "the root may have optional properties only": (OBJECT_X, OBJECT_X),
    "null can be said": (
        {"properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}, "required": ["a"]},
    ),
    "allowed values in words": ({"const": "v"}, {"type": "string", "description": "Allowed: v"}),
    "not, in words": (
        {"type": "string", "not": {"const": 1}},
        {"type": "string", "description": 'not: {"const":1}'},
    ),
    "a title stays": ({"type": "string", "title": "T"}, {"type": "string", "title": "T"}),
}


@pytest.mark.parametrize("case", ANTIGRAVITY)
def test_antigravity(case):
    given_schema, expected = ANTIGRAVITY[case]
    assert reduced(given_schema, "antigravity") == expected


def test_antigravity_output_stays_closed_and_has_no_placeholders():
    schema = {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y"]}, "b": {"enum": [True]}},
        "additionalProperties": False,
    }
    assert reduced(schema, "antigravity-output") == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "enum": ["x", "y"]},
            "b": {"type": "boolean", "description": "Allowed: true"},
        },
        "additionalProperties": False,
    }


def test_claude_output_closes_objects_and_says_constraints():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 1},
            "b": {"type": "object", "additionalProperties": {}},
        },
    }
    assert reduced(schema, "claude-output") == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "minimum: 1"},
            "b": {"type": "object", "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def test_a_reason_that_the_owner_declared_stays():
    schema = {"type": "object", "properties": {"reason": {"type": "string"}}}
    assert reduced(schema, "gemini") == schema


@pytest.mark.parametrize("flag", [{"type": "string"}, {"type": "boolean", "description": "really"}])
def test_a_property_that_is_named_like_a_placeholder_stays(flag):
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "_": flag}}
    assert reduced(schema, "gemini") == schema


@pytest.mark.parametrize("first", [True, {"items": [], "prefixItems": [{"$id": "i"}]}])
def test_an_empty_list_of_items_hides_nothing_that_has_its_own_place(first):
    """Both spellings of a tuple at once, of which one says nothing: the other one is reduced like any."""
    once = reduced({"items": [], "prefixItems": [first]}, "gemini-json")
    nested = {"type": "array", "prefixItems": [{}]}
    assert once == {"type": "array", "prefixItems": [{} if first is True else nested]}


@pytest.mark.parametrize("nothing", [{"type": "null"}, {"enum": [None]}])
def test_a_branch_for_null_keeps_its_words(nothing):
    said = {"default": None, "description": "d"}
    once = reduced({"anyOf": [{"type": "string"}, {**nothing, **said}]}, "claude-output")
    assert once == {"anyOf": [{"type": "string"}, {"type": "null", **said}]}
    assert reduced(once, "claude-output") == once


def test_everything_that_went_is_named():
    reducer = Reducer(PROFILES["gemini"], {"type": "string", "pattern": "x", "$id": "i", "anyOf": [{}, {}]})
    reducer.reduce()
    assert reducer.notes == ("anyOf", "pattern", "$id")


def test_references_that_would_explode_become_stubs():
    """Forty definitions, each of which refers twice to the next: two to the fortieth nodes if written out."""
    definitions = {
        f"d{n}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/d{n + 1}"} for side in "lr"}}
        for n in range(40)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**definitions, "d40": {"type": "string"}}}
    assert "See: " in str(reduced(schema, "gemini"))


def test_deep_nesting_ends():
    schema = leaf = {}
    for _ in range(MAX_DEPTH + 20):
        leaf["items"] = {"type": "array"}
        leaf = leaf["items"]
    depth = 0
    node = reduced(schema, "gemini")
    while isinstance(node := node.get("items"), dict):
        depth += 1
    assert depth == MAX_DEPTH + 1


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("#", True),
        ("#/$defs/a~1b", True),
        ("#/$defs/c%20d", True),
        ("#/anyOf/1", True),
        ("#/anyOf/2", False),
        ("#/anyOf/x", False),
        ("#/$defs/missing", False),
        ("#/$defs/a~1b/type/x", False),
        ("#anchor", False),
        ("https://example.com/s.json", False),
    ],
)
def test_finding_what_a_reference_names(ref, found):
    schema = {"$defs": {"a/b": {"type": "string"}, "c d": {}}, "anyOf": [{}, {}]}
    assert (find(schema, ref) is not None) is found


@pytest.mark.parametrize("profile", REDUCING)
@settings(max_examples=60)
@given(schema=schemas)
def test_the_result_has_only_what_the_target_takes(profile, schema):
    check_fits(reduced(schema, profile), PROFILES[profile])


@pytest.mark.parametrize("profile", REDUCING)
@settings(max_examples=60)
@given(schema=schemas)
def test_twice_is_once(profile, schema):
    once = reduced(schema, profile)
    assert reduced(once, profile) == once


@settings(max_examples=60)
@given(schema=schemas)
def test_the_input_is_not_touched(schema):
    before = repr(schema)
    reduced(schema, "gemini")
    assert repr(schema) == before
