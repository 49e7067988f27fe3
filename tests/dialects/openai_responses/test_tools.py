"""Tools, namespaces and the tool choice in both directions."""

import pytest

from cliproxy.dialects.openai_responses.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_choice,
    encode_tools,
    without_duplicates,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import IRRequest, Tool, ToolChoice, ToolKind
from support.factories import make_context

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False}
CUSTOM = {
    "type": "custom",
    "name": "patch",
    "description": "d",
    "format": {"type": "grammar", "syntax": "lark"},
}
NAMESPACE = {
    "type": "namespace",
    "name": "agents",
    "description": "Other agents.",
    "tools": [
        {"type": "function", "name": "spawn", "parameters": SCHEMA, "strict": False},
        {"type": "custom", "name": "tell"},
    ],
}
SEARCH = {"type": "web_search", "external_web_access": True}
SHELL = {"type": "local_shell"}


def native(**overrides):
    return make_context(client_dialect="openai-response", **overrides)


def request(*tools, choice=None):
    return IRRequest(model="m", messages=[], tools=list(tools), tool_choice=choice)


def written(tools, ctx):
    return encode_tools(request(*tools), ctx)


def test_tools_survive_a_round_trip():
    ctx = native()
    wire = [FUNCTION, CUSTOM, NAMESPACE, SEARCH, SHELL]
    assert written(decode_tools(wire, ctx), ctx) == wire


def test_members_without_a_counterpart_survive():
    tool = {**FUNCTION, "defer_loading": True, "output_schema": {"type": "string"}}
    ctx = native()
    assert written(decode_tools([tool], ctx), ctx) == [tool]


def test_namespace_is_flattened_and_remembered():
    ctx = native()
    spawn, tell = decode_tools([NAMESPACE], ctx)
    assert (spawn.name, spawn.namespace, spawn.child_name) == ("agents__spawn", "agents", "spawn")
    assert tell.kind is ToolKind.CUSTOM
    assert ctx.namespaces == {
        "agents__spawn": ("agents", "spawn"),
        "agents__tell": ("agents", "tell"),
    }
    assert ctx.custom_tools == {"agents__tell"}


def test_what_is_said_about_a_namespace_survives():
    ctx = native()
    space = {**NAMESPACE, "defer_loading": True}
    assert written(decode_tools([space], ctx), ctx) == [space]


def test_renamed_tools_keep_their_names_inside_a_namespace():
    """A pass may shorten the flattened name; upstreams of this wire see the tool in its namespace anyway."""
    ctx = native()
    tools = decode_tools([NAMESPACE], ctx)
    tools[0].name = "shortened"
    assert written(tools, ctx)[0]["tools"][0]["name"] == "spawn"


@pytest.mark.parametrize(
    "nested",
    [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
        },
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "parametersJsonSchema": SCHEMA,
            "strict": False,
        },
    ],
)
def test_spellings_of_other_dialects_are_read(nested):
    ctx = native()
    assert written(decode_tools([nested], ctx), ctx) == [FUNCTION]


def test_strict_is_said_for_tools_of_other_dialects():
    """The vendor's default would be to enforce a schema that was not written for that."""
    tool = Tool(ToolKind.FUNCTION, "f")
    plain = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
    assert written([tool], make_context(client_dialect="claude")) == [{**plain, "strict": False}]
    assert written([tool], native()) == [plain]


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={
                    "type": "web_search_20250305",
                    "name": "web_search",
                    "allowed_domains": ["a.b"],
                    "max_uses": 3,
                },
                dialect="claude",
            ),
            {"type": "web_search", "filters": {"allowed_domains": ["a.b"]}},
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={"user_location": {"type": "approximate", "city": "Oslo"}},
                dialect="claude",
            ),
            {"type": "web_search", "user_location": {"type": "approximate", "city": "Oslo"}},
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={
                    "user_location": {"type": "approximate", "approximate": {"city": "Oslo"}},
                    "search_context_size": "low",
                },
                dialect="openai",
            ),
            {
                "type": "web_search",
                "user_location": {"type": "approximate", "city": "Oslo"},
                "search_context_size": "low",
            },
        ),
        (Tool(ToolKind.WEB_SEARCH, "web_search", dialect="gemini"), {"type": "web_search"}),
    ],
    ids=["claude domains", "claude place", "chat", "gemini"],
)
def test_web_search_of_other_dialects(tool, expected):
    assert written([tool], make_context()) == [expected]


def test_limits_of_a_web_search_without_a_counterpart_are_noted():
    ctx = make_context()
    limits = {"max_uses": 3, "blocked_domains": ["a.b"]}
    assert written([Tool(ToolKind.WEB_SEARCH, "web_search", raw=limits, dialect="claude")], ctx) == [
        {"type": "web_search"}
    ]
    assert len(ctx.notes) == 2


def test_server_tools_of_other_dialects_are_dropped_with_a_note():
    ctx = make_context()
    assert written([Tool(ToolKind.BUILTIN, "bash", raw={"type": "bash"}, dialect="claude")], ctx) == []
    assert ctx.notes == ["the server-side tool bash was dropped"]


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ("none", "tools"),
        ([3], "tools[0]"),
        ([{}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([FUNCTION, {"type": "custom", "name": 3}], "tools[1].name"),
        ([{"type": "namespace", "tools": []}], "tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}], "tools[0].tools[0].name"),
    ],
)
def test_bad_tools_are_named(tools, param):
    with pytest.raises(DialectError) as caught:
        decode_tools(tools, native())
    assert caught.value.param == param


def test_tools_that_an_item_declares_are_not_declared_again():
    tool = Tool(ToolKind.FUNCTION, "f", extras={"openai-response": {"additional": True}})
    assert written([tool], native()) == []


def test_no_tools():
    assert decode_tools(None, native()) == []


def test_first_declaration_wins_and_a_tool_of_its_own_before_a_child():
    first, second = Tool(ToolKind.FUNCTION, "f", "first"), Tool(ToolKind.FUNCTION, "f", "second")
    child = Tool(ToolKind.FUNCTION, "f", "child", namespace="n", child_name="f")
    search = Tool(ToolKind.WEB_SEARCH, "f")
    assert without_duplicates([child, first, second, search]) == [first, search]


# --- choice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", ["f"])),
        ({"type": "custom", "name": "patch"}, ToolChoice("tool", ["patch"])),
        ({"type": "function", "name": "spawn"}, ToolChoice("tool", ["agents__spawn"])),
        (
            {"type": "web_search_preview"},
            ToolChoice("tool", ["web_search"], {"openai-response": {"raw": {"type": "web_search_preview"}}}),
        ),
        (
            {"type": "mcp", "server_label": "s", "name": "t"},
            ToolChoice(
                "tool", ["t"], {"openai-response": {"raw": {"type": "mcp", "server_label": "s", "name": "t"}}}
            ),
        ),
    ],
)
def test_choice_survives_a_round_trip(wire, choice):
    ctx = native()
    tools = decode_tools([FUNCTION, CUSTOM, NAMESPACE, SEARCH], ctx)
    assert decode_tool_choice(wire, ctx) == choice
    assert encode_tool_choice(request(*tools, choice=choice)) == wire


def test_nested_choice_is_read():
    wire = {"type": "function", "function": {"name": "f"}}
    assert decode_tool_choice(wire, native()) == ToolChoice("tool", ["f"])
    assert decode_tool_choice({"type": "function", "name": "x", "namespace": "n"}, native()).names == ["n__x"]


@pytest.mark.parametrize(("mode", "ours"), [("auto", "auto"), ("required", "any")])
def test_allowed_tools(mode, ours):
    wire = {
        "type": "allowed_tools",
        "mode": mode,
        "tools": [
            {"type": "function", "name": "f"},
            {"type": "custom", "name": "patch"},
            {"type": "web_search"},
        ],
    }
    ctx = native()
    tools = decode_tools([FUNCTION, CUSTOM, SEARCH, SHELL], ctx)
    choice = decode_tool_choice(wire, ctx)
    assert (choice.mode, choice.names) == (ours, ["f", "patch", "web_search"])
    assert encode_tool_choice(request(*tools, choice=choice)) == wire
    nested = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": wire["tools"]}}
    assert decode_tool_choice(nested, ctx).names == choice.names


def test_choice_of_other_dialects_is_written_with_the_kinds_of_the_tools():
    tools = [
        Tool(ToolKind.FUNCTION, "f"),
        Tool(ToolKind.WEB_SEARCH, "web_search", dialect="claude"),
        Tool(ToolKind.BUILTIN, "sh", raw={"type": "local_shell"}, dialect="openai-response"),
    ]
    expected = {
        "f": {"type": "function", "name": "f"},
        "web_search": {"type": "web_search"},
        "sh": {"type": "local_shell"},
        "unknown": {"type": "function", "name": "unknown"},
    }
    for name, wire in expected.items():
        assert encode_tool_choice(request(*tools, choice=ToolChoice("tool", [name]))) == wire
    assert encode_tool_choice(request(*tools, choice=ToolChoice("tool"))) == "required"
    assert encode_tool_choice(request(*tools)) is None


@pytest.mark.parametrize("wire", ["any", 3, [], {}, {"name": "f"}])
def test_bad_choice_is_named(wire):
    with pytest.raises(DialectError) as caught:
        decode_tool_choice(wire, native())
    assert caught.value.param == "tool_choice"


def test_choice_without_a_name_is_named():
    with pytest.raises(DialectError) as caught:
        decode_tool_choice({"type": "function"}, native())
    assert caught.value.param == "tool_choice.name"
