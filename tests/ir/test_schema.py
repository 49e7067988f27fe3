"""The pass that makes the schemas of a request fit, and the shape of their roots."""

import pytest
from hypothesis import given, settings

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, OutputFormat, Tool, ToolKind
from cliproxy.ir.schema import clean_schemas, fit_arguments, fit_output, from_openapi, without_placeholders
from cliproxy.ir.schemaprofile import PROFILES
from support.schemas import check_fits, schemas

EMPTY = {"type": "object", "properties": {}}


def context():
    return ExchangeContext(
        client_dialect="openai",
        upstream_dialect="gemini",
        requested_model="m",
        upstream_model="m",
        now=0.0,
        random_hex=lambda digits: "0" * digits,
    )


@pytest.mark.parametrize("schema", [None, "x", [], {}, {"type": "object"}, {"type": "string"}])
@pytest.mark.parametrize("profile", ["gemini", "gemini-json", "claude", "openai"])
def test_arguments_are_always_an_object(schema, profile):
    assert fit_arguments(schema, profile).schema == EMPTY


ROOTS = {
    "a union": (
        {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "string"}]},
        {"type": "object", "properties": {"a": {}}},
    ),
    "a union requires nothing": (
        {
            "oneOf": [
                {"properties": {"a": {}}, "required": ["a"]},
                {"type": ["object", "null"], "properties": {"b": {}}},
            ]
        },
        {"type": "object", "properties": {"a": {}, "b": {}}},
    ),
    "allOf does": (
        {"allOf": [{"properties": {"a": {}}, "required": ["a"]}], "properties": {"b": {}}, "required": ["b"]},
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b", "a"]},
    ),
    "own names win": (
        {"properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"type": "integer"}}}]},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    "inner unions stay": (
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
    ),
    "a reference": (
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {}}}}},
        {
            "type": "object",
            "properties": {"a": {}},
            "$defs": {"A": {"type": "object", "properties": {"a": {}}}},
        },
    ),
    "a reference to itself": ({"$ref": "#"}, {"type": "object", "properties": {}, "$ref": "#"}),
    "Gemini's spelling": (
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
}


@pytest.mark.parametrize("case", ROOTS)
def test_claude_root(case):
    schema, expected = ROOTS[case]
    assert fit_arguments(schema, "claude").schema == expected


def test_openai_objects_have_properties_and_no_dialect_url():
    schema = {
        "$schema": "s",
        "type": "object",
        "properties": {"a": {"type": "object"}, "b": {"type": "array"}},
    }
    fitted = fit_arguments(schema, "openai")
    assert fitted.schema == {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}}, "b": {"type": "array"}},
    }
    assert fitted.notes == ("$schema",)


def test_properties_beside_the_type_are_found_in_a_tool():
    assert fit_arguments({"city": {"type": "string"}}, "gemini").schema == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
    }


def test_answers_may_be_of_any_type_and_have_their_own_profile():
    assert (
        fit_output({"type": "array", "items": {"type": "integer"}}, "gemini-json").schema["type"] == "array"
    )
    assert fit_output({"type": "object"}, "claude").schema == {
        "type": "object",
        "additionalProperties": False,
    }
    assert fit_output({"type": "object"}, "antigravity").schema == {"type": "object"}


def test_the_pass_fits_functions_and_the_answer_and_leaves_the_rest():
    custom = Tool(ToolKind.CUSTOM, "patch")
    search = Tool(ToolKind.WEB_SEARCH, "web_search", raw={"type": "web_search"})
    request = IRRequest(
        model="m",
        messages=[],
        tools=[
            Tool(ToolKind.FUNCTION, "f", schema={"type": "object", "$schema": "s"}),
            Tool(ToolKind.FUNCTION, "g"),
            custom,
            search,
        ],
        output=OutputFormat("json_schema", schema={"type": "string", "pattern": "x"}),
    )
    ctx = context()
    cleaned = clean_schemas(request, "gemini-json", ctx)
    assert [tool.schema for tool in cleaned.tools] == [EMPTY, EMPTY, None, None]
    assert cleaned.tools[2:] == [custom, search]
    assert cleaned.output.schema == {"type": "string", "description": "pattern: x"}
    assert ctx.notes == [
        "schema of tools: $schema is not carried as it is",
        "schema of the output format: pattern is not carried as it is",
    ]
    assert request.tools[0].schema == {"type": "object", "$schema": "s"}


def test_an_empty_profile_changes_nothing():
    request = IRRequest(model="m", messages=[], tools=[Tool(ToolKind.FUNCTION, "f")])
    assert clean_schemas(request, "", context()) is request


def test_no_output_format_stays_none():
    assert clean_schemas(IRRequest(model="m", messages=[]), "claude", context()).output is None


@pytest.mark.parametrize(
    ("openapi", "schema"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d"}, {"description": "d"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"nullable": True}, {"nullable": True}),
        ({"type": "ARRAY", "minItems": "2", "maxItems": 3}, {"type": "array", "minItems": 2, "maxItems": 3}),
        (
            {"type": "OBJECT", "properties": {"type": {"type": "INTEGER"}}, "anyOf": [{"type": "NULL"}]},
            {"type": "object", "properties": {"type": {"type": "integer"}}, "anyOf": [{"type": "null"}]},
        ),
    ],
)
def test_openapi_is_translated(openapi, schema):
    assert from_openapi(openapi) == schema


def test_placeholders_are_taken_out_of_arguments_unless_declared():
    arguments = {"_": True, "reason": "r", "a": 1}
    assert without_placeholders(arguments, {"properties": {"a": {}}}) == {"a": 1}
    assert without_placeholders(arguments, {"properties": {"reason": {}}}) == {"reason": "r", "a": 1}
    assert without_placeholders(arguments, None) == {"a": 1}


@pytest.mark.parametrize("profile", sorted(PROFILES))
@settings(max_examples=50)
@given(schema=schemas)
def test_any_schema_fits_and_twice_is_once(profile, schema):
    once = fit_arguments(schema, profile).schema
    assert once["type"] == "object"
    assert isinstance(once["properties"], dict)
    if PROFILES[profile].keeps is not None:
        check_fits(once, PROFILES[profile])
    assert fit_arguments(once, profile).schema == once


@pytest.mark.parametrize(
    ("inner", "schema", "left"),
    [
        ({"_": True, "b": 1}, {"type": "object", "properties": {"b": {}}}, {"b": 1}),
        ({"_": True}, {"type": "object", "properties": {"_": {}}}, {"_": True}),
        ({"reason": "r"}, {"type": "object"}, {}),
        ({"reason": "r", "b": 1}, {"type": "object"}, {"reason": "r", "b": 1}),
        ({"reason": "r"}, {"type": "object", "properties": {"b": {}}}, {"reason": "r"}),
        (
            [{"_": True, "b": 1}, 2],
            {"type": "array", "items": {"type": "object", "properties": {"b": {}}}},
            [{"b": 1}, 2],
        ),
        ({"_": True}, True, {"_": True}),
    ],
    ids=["flag", "own flag", "empty", "free", "declared", "in a list", "no schema"],
)
def test_placeholders_inside_of_arguments_are_taken_out(inner, schema, left):
    assert without_placeholders({"a": inner}, {"properties": {"a": schema}}) == {"a": left}
