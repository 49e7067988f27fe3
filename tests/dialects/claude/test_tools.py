"""Tools and the tool choice, read and written."""

import pytest
from attrs import evolve

from cliproxy.dialects.claude.tools import read_tool_choice, read_tools, write_tool_choice, write_tools
from cliproxy.ir.request import CacheMark, IRRequest, Tool, ToolChoice, ToolKind
from cliproxy.wire.jsontext import JsonObject
from support.factories import make_context

SCHEMA: JsonObject = {"type": "object", "properties": {"a": {"type": "string"}}}
MARK: JsonObject = {"type": "ephemeral"}


def request(*tools: Tool, choice: ToolChoice | None = None, parallel: bool | None = None) -> IRRequest:
    return IRRequest(model="m", messages=[], tools=[*tools], tool_choice=choice, parallel_tool_calls=parallel)


@pytest.mark.parametrize(
    "wire",
    [
        {"name": "read", "description": "Reads.", "input_schema": SCHEMA},
        {"name": "read", "input_schema": SCHEMA, "strict": True, "defer_loading": True},
        {"name": "read", "input_schema": SCHEMA, "type": "custom", "cache_control": MARK},
        {"name": "read", "input_schema": SCHEMA, "input_examples": [{"a": "b"}]},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "cache_control": MARK},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "mcp_toolset", "mcp_server_name": "s"},
    ],
)
def test_tools_survive_the_round_trip(wire: JsonObject) -> None:
    ctx = make_context()
    assert write_tools(request(*read_tools({"tools": [wire]}, ctx)), ctx) == [wire]
    assert ctx.notes == []


def test_own_members_of_this_dialect_are_invisible_to_others() -> None:
    wire: JsonObject = {"name": "read", "input_schema": SCHEMA, "strict": True, "cache_control": MARK}
    (tool,) = read_tools({"tools": [wire]}, make_context())
    assert tool == Tool(
        ToolKind.FUNCTION, "read", schema=SCHEMA, cache=CacheMark(MARK), extras={"claude": {"strict": True}}
    )


@pytest.mark.parametrize(
    ("wire", "kind", "name"),
    [
        ({"type": "web_search_20260209"}, ToolKind.WEB_SEARCH, "web_search"),
        ({"type": "code_execution_20250825", "name": "code_execution"}, ToolKind.BUILTIN, "code_execution"),
        ({"name": "read"}, ToolKind.FUNCTION, "read"),
    ],
)
def test_kinds_of_tools(wire: JsonObject, kind: ToolKind, name: str) -> None:
    (tool,) = read_tools({"tools": [wire]}, make_context())
    assert (tool.kind, tool.name) == (kind, name)


def test_what_has_no_name_is_passed_over() -> None:
    ctx = make_context()
    assert read_tools({"tools": [{"input_schema": SCHEMA}, 7, "x"]}, ctx) == []
    assert ctx.notes == ["a tool without a name was dropped"]


@pytest.mark.parametrize(
    ("tool", "wire"),
    [
        (
            Tool(ToolKind.FUNCTION, "f", strict=True),
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        ),
        (
            Tool(ToolKind.CUSTOM, "patch", "Applies."),
            {
                "name": "patch",
                "description": "Applies.",
                "input_schema": {
                    "type": "object",
                    "properties": {"input": {"type": "string"}},
                    "required": ["input"],
                },
            },
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={
                    "type": "web_search",
                    "filters": {"allowed_domains": ["a.b"]},
                    "search_context_size": "low",
                },
                dialect="openai-response",
            ),
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.b"]},
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={
                    "type": "web_search",
                    "filters": {"allowed_domains": None, "blocked_domains": ["c.d"]},
                    "user_location": {"type": "approximate", "city": "Ulm", "country": "DE", "region": None},
                },
                dialect="openai-response",
            ),
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "blocked_domains": ["c.d"],
                "user_location": {"type": "approximate", "city": "Ulm", "country": "DE"},
            },
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={"user_location": {"type": "approximate", "approximate": {"timezone": "CET", "x": 1}}},
                dialect="openai",
            ),
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "user_location": {"type": "approximate", "timezone": "CET"},
            },
        ),
        (
            Tool(
                ToolKind.WEB_SEARCH,
                "web_search",
                raw={"filters": {"allowed_domains": ["a.b"], "blocked_domains": ["c.d"]}},
                dialect="openai-response",
            ),
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.b"]},
        ),
        (
            Tool(ToolKind.WEB_SEARCH, "", raw={"googleSearch": {}}, dialect="gemini"),
            {"type": "web_search_20250305", "name": "web_search"},
        ),
    ],
)
def test_tools_of_other_dialects(tool: Tool, wire: JsonObject) -> None:
    assert write_tools(request(tool), make_context()) == [wire]


def test_other_dialects_server_side_tools_are_dropped_by_name() -> None:
    ctx = make_context()
    shell = Tool(ToolKind.BUILTIN, "", raw={"type": "local_shell"}, dialect="openai-response")
    assert write_tools(request(shell), ctx) == []
    assert ctx.notes == ["the server-side tool local_shell was dropped"]


@pytest.mark.parametrize(
    ("wire", "choice", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("any"), False),
        ({"type": "auto", "disable_parallel_tool_use": False}, ToolChoice("auto"), True),
        ({"type": "tool", "name": "f"}, ToolChoice("tool", ["f"]), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "auto", "new": 1}, ToolChoice("auto", extras={"claude": {"new": 1}}), None),
        ({"type": "unheard-of"}, None, None),
        ("auto", None, None),
    ],
)
def test_reading_the_choice(wire: JsonObject, choice: ToolChoice | None, parallel: bool | None) -> None:
    assert read_tool_choice({"tool_choice": wire}) == (choice, parallel)


READ, EDIT = Tool(ToolKind.FUNCTION, "read"), Tool(ToolKind.FUNCTION, "edit")


@pytest.mark.parametrize(
    ("choice", "parallel", "wire"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("tool", ["read"]), True, {"type": "tool", "name": "read"}),
        (ToolChoice("tool"), None, None),
        (ToolChoice("auto", extras={"claude": {"new": 1}}), None, {"type": "auto", "new": 1}),
    ],
)
def test_writing_the_choice(
    choice: ToolChoice | None, parallel: bool | None, wire: JsonObject | None
) -> None:
    assert write_tool_choice(request(READ, choice=choice, parallel=parallel)) == wire


def test_a_choice_among_some_offers_no_others() -> None:
    among = request(READ, EDIT, choice=ToolChoice("any", ["edit"]))
    assert [tool["name"] for tool in write_tools(among, make_context())] == ["edit"]  # type: ignore[index,call-overload]
    assert write_tool_choice(among) == {"type": "any"}
    one = evolve(among, tool_choice=ToolChoice("tool", ["edit"]))
    assert len(write_tools(one, make_context())) == 2
