"""Estimated token counts: close to what a tokenizer counts, and never zero."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.estimate import (
    IMAGE_TOKENS,
    MOST_OUTPUT,
    USUAL_OUTPUT,
    estimate_body,
    estimate_output,
    estimate_text,
    estimate_tokens,
)
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

SAMPLES = Path(__file__).parents[2] / "benchmarks" / "token_counts.json"


def of(*parts: Part) -> int:
    return estimate_tokens(IRRequest(model="m", messages=[Message("user", list(parts))]))


@pytest.mark.parametrize("sample", json.loads(SAMPLES.read_text("utf-8")), ids=lambda sample: sample["kind"])
def test_close_to_what_a_tokenizer_counts(sample: dict[str, Any]) -> None:
    counted = sample["tokens"]["o200k_base"]
    assert abs(estimate_text(sample["text"]) - counted) <= counted * 0.12


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("one two three", 3),
        ("incomprehensibilities", 4),
        ("1234567", 3),
        ("a\n\n    b", 3),
        ("a\nb", 3),
        ("((((((", 2),
        ("你好世界", 3),
        ("éàüö" * 2, 2),
        ("да", 1),
    ],
)
def test_runs_of_characters(text: str, tokens: int) -> None:
    assert estimate_text(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_not_fewer_tokens(text: str, more: str) -> None:
    assert estimate_text(f"{text} {more}") >= estimate_text(text) - 1


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


# --- of a body that nobody has decoded ----------------------------------------------------------------------

PICTURE = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk" * 2000


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b"", 1),
        (b'{"a": 1}', 2),
        (b'{"text": "' + b"four words are here " * 1000 + b'"}', 5003),
        (b'{"url": "data:image/png;base64,' + PICTURE + b'"}', 3 + IMAGE_TOKENS),
        (b'{"a": "' + PICTURE + b'", "b": "' + PICTURE + b'"}', 4 + 2 * IMAGE_TOKENS),
    ],
)
def test_the_size_of_a_body_tells_enough(body: bytes, tokens: int) -> None:
    assert abs(estimate_body(body) - tokens) <= 3


@pytest.mark.parametrize("sample", json.loads(SAMPLES.read_text("utf-8")), ids=lambda sample: sample["kind"])
def test_a_body_is_estimated_within_a_factor(sample: dict[str, Any]) -> None:
    body = json.dumps({"content": sample["text"]}, ensure_ascii=False).encode()
    counted = sample["tokens"]["o200k_base"]
    assert counted * 0.4 <= estimate_body(body) <= counted * 2.5 + 8


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, USUAL_OUTPUT),
        ({"max_tokens": 12}, 12),
        ({"max_completion_tokens": 7, "max_tokens": 12}, 7),
        ({"max_output_tokens": 64_000}, MOST_OUTPUT),
        ({"generationConfig": {"maxOutputTokens": 5}}, 5),
        ({"request": {"generationConfig": {"maxOutputTokens": 6}}}, 6),
        ({"max_tokens": "many"}, USUAL_OUTPUT),
        ({"max_tokens": -1}, USUAL_OUTPUT),
    ],
)
def test_the_length_of_an_answer_is_guessed_from_its_bound(body: dict[str, Any], tokens: int) -> None:
    assert estimate_output(body) == tokens
