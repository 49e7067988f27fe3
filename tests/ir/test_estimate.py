"""Estimated token counts: monotonic, never zero, close to the rule of thumb."""

from hypothesis import given

from cliproxy.ir.estimate import IMAGE_TOKENS, estimate_text, estimate_tokens
from cliproxy.ir.request import (
    Audio,
    Document,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    Part,
    Remote,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolKind,
    ToolResult,
)
from support.ir_strategies import requests


def of(*parts: Part) -> int:
    return estimate_tokens(IRRequest(model="m", messages=[Message("user", list(parts))]))


def test_four_characters_are_a_token() -> None:
    assert estimate_text("a" * 400) == 100


def test_characters_of_dense_scripts_are_a_token_each() -> None:
    assert estimate_text("你好世界") == 4
    assert estimate_text("é" * 8) == 2


@given(requests())
def test_there_is_always_at_least_one_token(request: IRRequest) -> None:
    assert estimate_tokens(request) >= 1


def test_every_kind_of_part_counts() -> None:
    empty = of()
    assert of(Image(Remote("https://x.example/a.png"))) == empty + IMAGE_TOKENS
    for part in (
        Text("hello world"),
        Thinking("hello world"),
        ToolCall("1", "name", "{}"),
        ToolResult("1", [Text("hello world")]),
        ToolResult("1", value={"a": "hello"}),
        Document(Inline("application/pdf", "QUJD" * 100)),
        Audio(Inline("audio/wav", "QUJD" * 100)),
        Opaque("claude", "x", {"a": "hello world"}),
    ):
        assert of(part) > empty


def test_system_text_and_tools_count() -> None:
    bare = IRRequest(model="m", messages=[])
    full = IRRequest(
        model="m",
        messages=[],
        system=[SystemText("be kind")],
        tools=[Tool(ToolKind.FUNCTION, "get", "Get it.", {"type": "object"})],
    )
    assert estimate_tokens(full) > estimate_tokens(bare) + 10
