"""Tools and tool choices of the chat wire."""

import pytest
from hypothesis import given

from cliproxy.dialects.openai_chat.tools import decode_choice, decode_tools, encode_tools
from cliproxy.errors import DialectError
from cliproxy.ir.request import CacheMark, Family, IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.ir.schema import FREE_TEXT
from support import ir_strategies
from support.factories import make_context

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}

TOOLS = {
    "function": (FUNCTION, Tool(ToolKind.FUNCTION, "f", "d", SCHEMA, True)),
    "flat": (
        {"type": "function", "name": "f", "parameters": SCHEMA},
        Tool(ToolKind.FUNCTION, "f", schema=SCHEMA),
    ),
    "without a type": ({"function": {"name": "f"}}, Tool(ToolKind.FUNCTION, "f")),
    "Gemini's spelling": (
        {"type": "function", "function": {"name": "f", "parametersJsonSchema": SCHEMA}},
        Tool(ToolKind.FUNCTION, "f", schema=SCHEMA),
    ),
    "cached": (
        {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}},
        Tool(ToolKind.FUNCTION, "f", cache=CacheMark({"type": "ephemeral"})),
    ),
    "more members": (
        {"type": "function", "x": 1, "function": {"name": "f", "y": 2}},
        Tool(ToolKind.FUNCTION, "f", extras={"openai": {"x": 1, "y": 2}}),
    ),
    "custom": (
        {"type": "custom", "custom": {"name": "c", "description": "d", "format": GRAMMAR}},
        Tool(
            ToolKind.CUSTOM,
            "c",
            "d",
            format={"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
        ),
    ),
    "Gemini's search": (
        {"google_search": {}},
        Tool(ToolKind.BUILTIN, "google_search", raw={"google_search": {}}, dialect="gemini"),
    ),
    "search": (
        {"type": "web_search_preview"},
        Tool(
            ToolKind.WEB_SEARCH, "web_search", raw={"type": "web_search_preview"}, dialect="openai-response"
        ),
    ),
    "other": (
        {"type": "code_interpreter"},
        Tool(
            ToolKind.BUILTIN, "code_interpreter", raw={"type": "code_interpreter"}, dialect="openai-response"
        ),
    ),
}


@pytest.mark.parametrize(("entry", "tool"), TOOLS.values(), ids=TOOLS.keys())
def test_reading_a_tool(entry, tool):
    assert decode_tools({"tools": [entry]}, make_context()) == [tool]


def test_older_functions_and_search_options():
    ctx = make_context()
    first, second = decode_tools({"functions": [{"name": "f"}], "web_search_options": {"x": 1}}, ctx)
    assert (first.kind, first.name) == (ToolKind.FUNCTION, "f")
    assert (second.kind, second.raw) == (ToolKind.WEB_SEARCH, {"x": 1})


def test_custom_tools_are_remembered():
    ctx = make_context()
    decode_tools({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, ctx)
    assert ctx.custom_tools == {"c"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"functions": 3}, "functions"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [FUNCTION, {}]}, "tools[1].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "x": 1, "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "custom", "custom": {"name": 3}}]}, "tools[0].name"),
    ],
)
def test_tools_that_are_none(body, param):
    with pytest.raises(DialectError) as caught:
        decode_tools(body, make_context())
    assert caught.value.param == param


CHOICES = {
    "nothing": ({}, None),
    "auto": ({"tool_choice": "auto"}, ToolChoice("auto")),
    "none": ({"tool_choice": "none"}, ToolChoice("none")),
    "required": ({"tool_choice": "required"}, ToolChoice("any")),
    "another vendor's words": ({"tool_choice": {"type": "any"}}, ToolChoice("any")),
    "function": ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, ToolChoice("tool", ["f"])),
    "flat": ({"tool_choice": {"type": "function", "name": "f"}}, ToolChoice("tool", ["f"])),
    "custom": ({"tool_choice": {"type": "custom", "custom": {"name": "c"}}}, ToolChoice("tool", ["c"])),
    "older": ({"function_call": {"name": "f"}}, ToolChoice("tool", ["f"])),
    "older word": ({"function_call": "auto"}, ToolChoice("auto")),
    "search": ({"tool_choice": {"type": "web_search_preview"}}, ToolChoice("tool", ["web_search"])),
    "built-in": ({"tool_choice": {"type": "mcp"}}, ToolChoice("tool", ["mcp"])),
    "allowed": (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "c"}},
                    ],
                },
            }
        },
        ToolChoice("any", ["f", "c"]),
    ),
    "allowed, flat": (
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {}],
            }
        },
        ToolChoice("auto", ["f"]),
    ),
}


@pytest.mark.parametrize(("body", "choice"), CHOICES.values(), ids=CHOICES.keys())
def test_reading_a_choice(body, choice):
    assert decode_choice(body) == choice


@pytest.mark.parametrize(
    "value", [3, "get_weather", [], {"type": "function"}, {"type": "function", "function": {}}, {}]
)
def test_choices_that_are_none(value):
    with pytest.raises(DialectError) as caught:
        decode_choice({"tool_choice": value})
    assert caught.value.param == "tool_choice"


def request(*tools: Tool, choice: ToolChoice | None = None, parallel: bool | None = None) -> IRRequest:
    return IRRequest(
        model="m", messages=[], tools=list(tools), tool_choice=choice, parallel_tool_calls=parallel
    )


F = Tool(ToolKind.FUNCTION, "f", schema=SCHEMA)
C = Tool(ToolKind.CUSTOM, "c")
SEARCH = Tool(ToolKind.WEB_SEARCH, "web_search", raw={"type": "web_search"}, dialect="openai-response")


@pytest.mark.parametrize("name", ["function", "cached", "custom", "search", "other", "Gemini's search"])
def test_tools_of_a_chat_client_are_written_as_they_came(name):
    entry, _ = TOOLS[name]
    ctx = make_context()
    tools = decode_tools({"tools": [entry]}, ctx)
    [written] = encode_tools(request(*tools), ctx)["tools"]
    if name == "cached":
        entry = {**entry, "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    assert written == entry


def test_free_text_tools_are_functions_where_only_the_vendor_has_them():
    """Other servers refuse a tool of type ``custom``."""
    wanted = request(C, choice=ToolChoice("tool", ["c"]))
    others = make_context(client_dialect="openai-response", upstream_family=Family.UNKNOWN)
    written = encode_tools(wanted, others)
    assert written["tools"] == [{"type": "function", "function": {"name": "c", "parameters": FREE_TEXT}}]
    assert written["tool_choice"] == {"type": "function", "function": {"name": "c"}}
    own = make_context(client_dialect="openai-response", upstream_family=Family.GPT)
    assert encode_tools(wanted, own)["tools"] == [{"type": "custom", "custom": {"name": "c"}}]


def test_search_options_come_back_in_their_own_member():
    ctx = make_context()
    tools = decode_tools({"web_search_options": {"x": 1}}, ctx)
    assert encode_tools(request(*tools), ctx) == {"web_search_options": {"x": 1}}


def test_built_in_tools_of_others_are_dropped_together_with_the_choice():
    """Servers refuse a choice among nothing."""
    ctx = make_context(client_dialect="openai-response")
    assert encode_tools(request(SEARCH, choice=ToolChoice("auto"), parallel=True), ctx) == {}
    assert ctx.notes == ["the built-in tool web_search was dropped"]


def test_cache_marks_of_other_clients_are_not_written():
    ctx = make_context(client_dialect="claude")
    marked = Tool(ToolKind.FUNCTION, "f", schema=SCHEMA, cache=CacheMark({"type": "ephemeral"}))
    assert "cache_control" not in encode_tools(request(marked), ctx)["tools"][0]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("any"), "required"),
        (ToolChoice("tool", ["f"]), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("tool", ["c"]), {"type": "custom", "custom": {"name": "c"}}),
        (ToolChoice("tool", ["unknown"]), {"type": "function", "function": {"name": "unknown"}}),
        (
            ToolChoice("any", ["f", "c"]),
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "c"}},
                    ],
                },
            },
        ),
    ],
)
def test_writing_a_choice(choice, written):
    body = encode_tools(request(F, C, choice=choice, parallel=False), make_context())
    assert body["tool_choice"] == written
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("choice", [ToolChoice("tool", ["web_search"]), ToolChoice("tool"), None])
def test_choice_of_what_is_not_there(choice):
    ctx = make_context(client_dialect="openai-response")
    assert "tool_choice" not in encode_tools(request(F, SEARCH, choice=choice), ctx)


def test_auto_choice_among_a_built_in_tool_is_just_auto():
    body = encode_tools(request(F, SEARCH, choice=ToolChoice("auto", ["web_search"])), make_context())
    assert body["tool_choice"] == "auto"


@given(ir_strategies.requests())
def test_what_is_written_reads_the_same(original):
    ctx = make_context()
    body = encode_tools(original, ctx)
    assert decode_tools(body, ctx) == original.tools
    assert decode_choice(body) == (original.tool_choice if original.tools else None)


def test_format_that_is_no_grammar():
    tool = {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}
    ctx = make_context()
    assert encode_tools(request(*decode_tools({"tools": [tool]}, ctx)), ctx)["tools"] == [tool]
