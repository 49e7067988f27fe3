"""A look at passed-through frames."""

import pytest

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.claude.glimpse import inspect, inspect_response, skim
from cliproxy.errors import Kind
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps
from cliproxy.wire.sse import Frame, make_frame

NOTHING = Glimpse(has_content=False)


def frames(data: JsonObject) -> list[Frame]:
    """The frame with its event's name and without it."""
    kind = data.get("type")
    named = make_frame(dumps(data), kind.encode() if isinstance(kind, str) else None)
    return [named, make_frame(dumps(data))]


def opening(**block: JsonValue) -> JsonObject:
    return {"type": "content_block_start", "index": 0, "content_block": {**block}}


@pytest.mark.parametrize(
    ("data", "glimpse"),
    [
        (
            {"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}},
            Glimpse(usage=Usage(10, output=1), has_content=False),
        ),
        (opening(type="text", text=""), NOTHING),
        (opening(type="thinking", thinking="", signature=""), NOTHING),
        (opening(type="text", text="hi"), Glimpse()),
        (opening(type="tool_use", id="t", name="f", input={}), Glimpse()),
        (opening(type="redacted_thinking", data="d"), Glimpse()),
        (
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
            Glimpse(),
        ),
        ({"type": "content_block_stop", "index": 0}, NOTHING),
        ({"type": "ping"}, NOTHING),
        (
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
            Glimpse(usage=Usage(output=7), has_content=False, is_finished=True),
        ),
        (
            {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"input_tokens": 0}},
            Glimpse(usage=Usage(), has_content=True, is_finished=True),
        ),
        (
            {"type": "message_delta", "delta": {"stop_reason": None}},
            Glimpse(usage=Usage(), has_content=False),
        ),
        ({"type": "message_stop"}, Glimpse(has_content=False, is_terminal=True)),
        ({"type": "something_new", "error": "not one"}, NOTHING),
        ({"index": 0}, NOTHING),
    ],
)
def test_frames(data: JsonObject, glimpse: Glimpse) -> None:
    assert [inspect(frame) for frame in frames(data)] == [glimpse, glimpse]


@pytest.mark.parametrize(
    "data",
    [
        {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
        {"error": {"type": "overloaded_error", "message": "busy"}},
    ],
)
def test_errors(data: JsonObject) -> None:
    for frame in frames(data):
        error = inspect(frame).error
        assert error is not None
        assert (error.kind, error.message, error.status) == (Kind.OVERLOADED, "busy", 529)


def test_deltas_are_not_parsed() -> None:
    assert inspect(make_frame(b"{broken", b"content_block_delta")) == Glimpse()


def test_broken_frames_say_nothing() -> None:
    assert inspect(make_frame(b"{broken", b"message_delta")) == NOTHING
    assert inspect(make_frame(b"[DONE]")) == NOTHING


@pytest.mark.parametrize(
    ("body", "has_content"),
    [
        ({"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}, True),
        ({"content": [], "stop_reason": "end_turn"}, False),
        ({"content": [], "stop_reason": "max_tokens"}, True),
        ({"content": [], "stop_reason": "refusal"}, True),
    ],
)
def test_answers(body: JsonObject, has_content: bool) -> None:
    glimpse = inspect_response({**body, "usage": {"input_tokens": 1, "output_tokens": 2}})
    assert glimpse.has_content is has_content
    assert glimpse.usage == Usage(1, output=2)
    assert glimpse.error is None


@pytest.mark.parametrize(
    "body",
    [
        {"type": "error", "error": {"type": "api_error", "message": "why"}},
        {"error": {"type": "api_error", "message": "why"}},
    ],
)
def test_error_in_a_successful_answer(body: JsonObject) -> None:
    error = inspect_response(body).error
    assert error is not None
    assert error.message == "why"


@pytest.mark.parametrize(
    "kind", ["message_start", "content_block_start", "content_block_stop", "ping", "error"]
)
def test_deltas_are_passed_over_and_nothing_else(kind: str) -> None:
    delta, other = (make_frame(b"{}", name).raw for name in (b"content_block_delta", kind.encode()))
    assert skim(delta * 2 + other + delta, 0) == len(delta * 2)
    assert skim(other + delta, 0) == 0
    assert skim(other + delta * 2, len(other)) == len(other + delta * 2)
    assert skim(b"data: {}\n\n", 0) == 0
