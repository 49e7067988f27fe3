"""Tool names: candidates, collisions, and the way back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    IRRequest,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from cliproxy.ir.toolnames import PROFILES, fit_tool_names

ALLOWED = {
    "openai64": r"[A-Za-z0-9_-]{1,64}",
    "gemini": r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}",
    "claude": r"[A-Za-z0-9_-]{1,128}",
}


def context() -> ExchangeContext:
    return ExchangeContext(
        client_dialect="c",
        upstream_dialect="u",
        requested_model="m",
        upstream_model="m",
        now=0.0,
        random_hex=lambda digits: "0" * digits,
    )


def request(*names: str, kind: ToolKind = ToolKind.FUNCTION) -> IRRequest:
    return IRRequest(model="m", messages=[], tools=[Tool(kind, name) for name in names])


def fitted(profile: str, *names: str) -> list[str]:
    return [tool.name for tool in fit_tool_names(request(*names), profile, context()).tools]


@pytest.mark.parametrize(
    ("profile", "name", "expected"),
    [
        ("openai64", "mcp__server__" + "x" * 70, "mcp__" + "x" * 59),
        ("openai64", "mcp__" + "x" * 70, "mcp__" + "x" * 59),
        ("openai64", "y" * 70, "y" * 64),
        ("openai64", "x" * 64, "x" * 64),
        ("openai64", "a.b", "a_b"),
        ("gemini", "1.a b/ü", "_1.a_b__"),
        ("gemini", "1" + "a" * 63, "_1" + "a" * 62),
        ("gemini", "a:b.c-d", "a:b.c-d"),
        ("gemini", "", "tool"),
        ("claude", "a:b", "a_b"),
        ("claude", "x" * 130, "x" * 128),
        ("", "anything goes", "anything goes"),
    ],
)
def test_candidates(profile: str, name: str, expected: str) -> None:
    assert fitted(profile, name) == [expected]


def test_numbered_collision_keeps_within_the_limit() -> None:
    assert fitted("openai64", "x" * 70, "x" * 71, "x" * 72) == ["x" * 64, "x" * 62 + "_1", "x" * 62 + "_2"]


def test_hashed_collision_is_told_apart_and_restored() -> None:
    ctx = context()
    first, second = [tool.name for tool in fit_tool_names(request("a b", "a/b"), "gemini", ctx).tools]
    assert first == "a_b"
    assert re.fullmatch(r"a_b_[0-9a-f]{12}", second)
    assert [ctx.client_tool_name(first), ctx.client_tool_name(second)] == ["a b", "a/b"]


def test_the_whole_request_follows_a_renamed_tool() -> None:
    original = IRRequest(
        model="m",
        tools=[Tool(ToolKind.FUNCTION, "a b")],
        tool_choice=ToolChoice("tool", ["a b"]),
        messages=[
            Message("user", [Text("hi")]),
            Message("assistant", [ToolCall("1", "a b", "{}"), ToolCall("2", "un declared", "{}")]),
            Message("user", [ToolResult("1", name="a b"), ToolResult("2")]),
        ],
    )
    changed = fit_tool_names(original, "gemini", context())
    assert changed.tool_choice == ToolChoice("tool", ["a_b"])
    assert changed.messages[0] is original.messages[0]
    calls = changed.messages[1].parts
    assert [part.name for part in calls if isinstance(part, ToolCall)] == ["a_b", "un_declared"]
    results = changed.messages[2].parts
    assert [part.name for part in results if isinstance(part, ToolResult)] == ["a_b", ""]


def test_server_side_tools_keep_their_names_and_reserve_them() -> None:
    tools = [Tool(ToolKind.FUNCTION, "web search"), Tool(ToolKind.WEB_SEARCH, "web_search")]
    wanted = IRRequest(
        model="m", messages=[], tools=tools, tool_choice=ToolChoice("any", ["web search", "web_search"])
    )
    changed = fit_tool_names(wanted, "openai64", context())
    assert [tool.name for tool in changed.tools] == ["web_search_1", "web_search"]
    assert changed.tool_choice == ToolChoice("any", ["web_search_1", "web_search"])


def test_strange_name_of_a_server_side_tool_is_its_own_affair() -> None:
    tools = [Tool(ToolKind.BUILTIN, "web search")]
    wanted = IRRequest(model="m", messages=[], tools=tools, tool_choice=ToolChoice("tool", ["web search"]))
    assert fit_tool_names(wanted, "gemini", context()) == wanted


def test_twice_declared_tool_keeps_one_name() -> None:
    assert fitted("gemini", "a b", "a b") == ["a_b", "a_b"]


@pytest.mark.parametrize(
    ("upstream", "client"),
    [
        ("_read", "Read"),
        ("READ", "Read"),
        (" read", "Read"),
        ("Read", "Read"),
        ("write", "write"),
        ("x", "x"),
    ],
)
def test_spelling_of_the_client_is_restored(upstream: str, client: str) -> None:
    ctx = context()
    fit_tool_names(request("Read", "Write", "write"), "", ctx)
    assert ctx.client_tool_name(upstream) == client


def test_spelling_of_a_renamed_tool_is_restored() -> None:
    ctx = context()
    fit_tool_names(request("My Tool"), "gemini", ctx)
    assert ctx.client_tool_name("_my_tool") == "My Tool"


def test_context_learns_custom_tools_and_namespaces() -> None:
    ctx = context()
    tools = [
        Tool(ToolKind.CUSTOM, "patch"),
        Tool(ToolKind.FUNCTION, "fs__read", namespace="fs", child_name="read"),
        Tool(ToolKind.FUNCTION, "fs__raw", namespace="fs"),
    ]
    fit_tool_names(IRRequest(model="m", messages=[], tools=tools), "openai64", ctx)
    assert ctx.custom_tools == {"patch"}
    assert ctx.namespaces == {"fs__read": ("fs", "read"), "fs__raw": ("fs", "fs__raw")}


names = st.text(st.characters(exclude_categories=("Cs",)), max_size=80) | st.sampled_from(
    ["a b", "a/b", "a_b", "A_b", "_a_b", "mcp__s__" + "t" * 80, "mcp__r__" + "t" * 80]
)


@given(st.lists(names, max_size=8), st.sampled_from(sorted(PROFILES)))
def test_names_are_allowed_unique_reversible_and_final(declared: list[str], profile: str) -> None:
    ctx = context()
    once = fit_tool_names(request(*declared), profile, ctx)
    upstream = [tool.name for tool in once.tools]
    assert all(re.fullmatch(ALLOWED[profile], name) for name in upstream)
    assert [ctx.client_tool_name(name) for name in upstream] == declared
    assert fit_tool_names(once, profile, ctx) == once
    assert [ctx.client_tool_name(name) for name in upstream] == declared
