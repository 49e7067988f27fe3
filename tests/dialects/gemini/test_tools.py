"""Tools and the choice among them, read and written."""

import pytest

from cliproxy.dialects.gemini.tools import decode_choice, decode_tools, encode_choice, encode_tools
from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from support.factories import make_context

KEY = "parametersJsonSchema"
EMPTY = {"type": "object", "properties": {}}


def request(*tools, choice=None):
    return IRRequest(model="m", messages=[], tools=list(tools), tool_choice=choice)


def function(name="f", **fields):
    return Tool(ToolKind.FUNCTION, name, **fields)


@pytest.mark.parametrize(
    ("declaration", "tool"),
    [
        ({"name": "f", "parametersJsonSchema": {"type": "object"}}, function(schema={"type": "object"})),
        ({"name": "f", "parameters_json_schema": {"type": "object"}}, function(schema={"type": "object"})),
        (
            {"name": "f", "description": "d", "parameters": {"type": "OBJECT"}},
            function(description="d", schema={"type": "object"}),
        ),
        ({"name": "f"}, function()),
        ({"name": "f", "behavior": "BLOCKING"}, function(extras={"gemini": {"behavior": "BLOCKING"}})),
    ],
)
def test_declarations(declaration, tool):
    assert decode_tools({"tools": [{"functionDeclarations": [declaration]}]}) == [tool]
    assert decode_tools({"tools": [{"function_declarations": [declaration]}]}) == [tool]


def test_a_node_may_hold_several_kinds_and_stand_alone():
    node = {"functionDeclarations": [{"name": "f"}, {"name": "g"}], "google_search": {}, "codeExecution": {}}
    assert [(tool.kind, tool.name) for tool in decode_tools({"tools": node})] == [
        (ToolKind.FUNCTION, "f"),
        (ToolKind.FUNCTION, "g"),
        (ToolKind.WEB_SEARCH, "googleSearch"),
        (ToolKind.BUILTIN, "codeExecution"),
    ]


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ("f", "tools"),
        ([1], "tools[0]"),
        ([{}, {"functionDeclarations": [{"description": "d"}]}], "tools[1].functionDeclarations[0].name"),
        ([{"functionDeclarations": ["f"]}], "tools[0].functionDeclarations[0].name"),
    ],
)
def test_what_is_no_tool_is_refused_by_name(tools, param):
    with pytest.raises(DialectError) as caught:
        decode_tools({"tools": tools})
    assert caught.value.param == param


def test_writing():
    tools = request(
        function(description="d", schema={"type": "object"}, extras={"gemini": {"behavior": "BLOCKING"}}),
        Tool(ToolKind.CUSTOM, "patch", "p"),
        function("g"),
        Tool(ToolKind.BUILTIN, "urlContext", raw={"url_context": {}}, dialect="gemini"),
    )
    custom = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert encode_tools(tools, KEY, make_context()) == [
        {
            "functionDeclarations": [
                {"behavior": "BLOCKING", "name": "f", "description": "d", KEY: {"type": "object"}},
                {"name": "patch", "description": "p", KEY: custom},
                {"name": "g", KEY: EMPTY},
            ]
        },
        {"urlContext": {}},
    ]


def test_nothing_to_write():
    assert encode_tools(request(), KEY, make_context()) == []


def test_the_search_of_another_dialect_is_ours_unless_there_are_functions():
    search = Tool(ToolKind.WEB_SEARCH, "web_search", raw={"type": "web_search"}, dialect="openai-response")
    ctx = make_context()
    assert encode_tools(request(search), KEY, ctx) == [{"googleSearch": {}}]
    assert ctx.notes == []
    assert encode_tools(request(search, function()), KEY, ctx) == [
        {"functionDeclarations": [{"name": "f", KEY: EMPTY}]}
    ]
    assert ctx.notes == ["tools: a server tool (web_search) is not carried"]


def test_a_server_tool_of_another_dialect_is_noted():
    ctx = make_context()
    tool = Tool(ToolKind.BUILTIN, "bash", raw={"type": "bash"}, dialect="claude")
    assert encode_tools(request(tool), KEY, ctx) == []
    assert ctx.notes


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "any"}, ToolChoice("any")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("tool", ["f"])),
        ({"mode": "ANY", "allowed_function_names": ["f", "g"]}, ToolChoice("any", ["f", "g"])),
        ({"mode": "VALIDATED"}, ToolChoice("auto", extras={"gemini": {"mode": "VALIDATED"}})),
        (
            {"streamFunctionCallArguments": True},
            ToolChoice("auto", extras={"gemini": {"streamFunctionCallArguments": True}}),
        ),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_reading_a_choice(calling, choice):
    assert decode_choice({"functionCallingConfig": calling}) == choice


def test_no_configuration_is_no_choice():
    assert decode_choice({}) is None


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("any"), {"mode": "ANY"}),
        (ToolChoice("tool", ["f"]), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("any", ["f", "g"]), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice("auto", ["f"]), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
        (ToolChoice("auto", extras={"gemini": {"mode": "VALIDATED"}}), {"mode": "VALIDATED"}),
        (None, {}),
    ],
)
def test_writing_a_choice(choice, calling):
    assert encode_choice(request(function(), choice=choice)) == calling


def test_without_functions_there_is_nothing_to_choose():
    search = Tool(ToolKind.WEB_SEARCH, "googleSearch", raw={"googleSearch": {}}, dialect="gemini")
    assert encode_choice(request(search, choice=ToolChoice("any"))) == {}


def test_server_tool_cannot_be_demanded():
    """Only functions may be named; a search that is offered beside them is the model's to use or not."""
    search = Tool(ToolKind.WEB_SEARCH, "web_search", raw={"type": "web_search"}, dialect="openai-response")
    assert encode_choice(request(function(), search, choice=ToolChoice("tool", ["web_search"]))) == {}
    both = ToolChoice("any", ["web_search", "f"])
    assert encode_choice(request(function(), search, choice=both))["allowedFunctionNames"] == ["f"]
