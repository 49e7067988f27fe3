"""Looking at answers that are passed through."""

import pytest
from hypothesis import given

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.glimpse import inspect, inspect_response, skim
from cliproxy.errors import Kind
from cliproxy.ir.events import ArgsDelta, BlockStart, TextDelta, ThinkingDelta
from cliproxy.ir.response import Usage
from cliproxy.wire.sse import Frame, make_frame
from support import ir_strategies
from support.factories import make_context
from support.frames import encode, json_frames


def chunk(finish_reason: str | None = None, **delta: object) -> dict:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


USAGE = {"prompt_tokens": 1, "completion_tokens": 2}
COUNTED = Usage(fresh_input=1, output=2)

FRAMES = {
    "text": (chunk(content="a"), Glimpse()),
    "opening": (chunk(role="assistant", content=""), Glimpse(has_content=False)),
    "opening that says something": (chunk(role="assistant", content="a"), Glimpse()),
    "empty text beside reasoning": (chunk(content="", reasoning_content="r"), Glimpse()),
    "nothing": (chunk(content=None), Glimpse(has_content=False)),
    "call": (chunk(tool_calls=[{"index": 0}]), Glimpse()),
    "stop": (chunk("stop"), Glimpse(has_content=False, is_finished=True)),
    "length": (chunk("length"), Glimpse(is_finished=True)),
    "usage": (
        {"choices": [], "usage": USAGE},
        Glimpse(usage=COUNTED, has_content=False, is_usage_only=True),
    ),
    "usage with the end": (
        {**chunk("stop"), "usage": USAGE},
        Glimpse(usage=COUNTED, has_content=False, is_finished=True),
    ),
    "usage inside the choice": (
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]},
        Glimpse(usage=COUNTED, has_content=False, is_finished=True),
    ),
    "usage is null": ({**chunk(content="a"), "usage": None}, Glimpse()),
    "no choices": ({"choices": [], "prompt_filter_results": []}, Glimpse(has_content=False)),
    "tool that is called error": (
        chunk(tool_calls=[{"index": 0, "function": {"name": "error"}}]),
        Glimpse(),
    ),
}


@pytest.mark.parametrize(("value", "glimpse"), FRAMES.values(), ids=FRAMES.keys())
def test_frame(value, glimpse):
    assert inspect(json_frames([value])[0]) == glimpse


def test_terminator():
    assert inspect(make_frame(b" [DONE]")) == Glimpse(has_content=False, is_terminal=True)


def test_errors():
    said = inspect(json_frames([{"error": {"message": "busy", "code": 503}}])[0])
    assert said.error is not None
    assert (said.error.kind, said.has_content) == (Kind.UNAVAILABLE, False)
    named = inspect(Frame(b"error", b'{"message":"busy"}', b""))
    assert named.error is not None
    assert named.error.message == "busy"


def test_odd_frames():
    assert inspect(make_frame(b'{"error"')) == Glimpse(has_content=False)
    assert inspect(Frame(b"error", b"plain", b"")) == Glimpse(has_content=False)


@given(ir_strategies.events(failing=False))
def test_glimpses_of_a_stream_add_up(events):
    """Looking is as good as decoding: the counts, the end, and whether anything was said."""
    glimpses = [
        inspect(frame) for frame in encode(ChatStreamEncoder(make_context(include_usage=True)), events)
    ]
    assert [glimpse.is_terminal for glimpse in glimpses].count(True) == 1
    assert glimpses[-1].is_terminal
    assert any(glimpse.is_finished for glimpse in glimpses)
    assert [glimpse.is_usage_only for glimpse in glimpses].count(True) == 1
    spoken = any(isinstance(event, TextDelta | ThinkingDelta | ArgsDelta) for event in events)
    if spoken and any(isinstance(event, BlockStart) and event.kind != "opaque" for event in events):
        assert any(glimpse.has_content for glimpse in glimpses)


def test_whole_answers():
    answer = {"choices": [{"message": {"content": "a"}}], "usage": USAGE}
    assert inspect_response(answer) == Glimpse(usage=COUNTED, is_terminal=True, is_finished=True)
    refused = inspect_response({"error": {"message": "m", "type": "insufficient_quota"}})
    assert refused.error is not None
    assert refused.error.kind is Kind.QUOTA
    assert not inspect_response(
        {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    ).has_content


@pytest.mark.parametrize(("value", "glimpse"), FRAMES.values(), ids=FRAMES.keys())
def test_only_frames_that_need_no_look_are_passed_over(value, glimpse):
    """A role or an empty text beside something that is said gets its look although it would not need it."""
    delta, frame = (json_frames([each])[0].raw for each in (chunk(content="a"), value))
    passed = skim(delta + frame + delta, 0)
    assert passed in {len(delta), len(delta + frame + delta)}
    assert passed == len(delta) or glimpse == Glimpse()


def test_passing_over_begins_anywhere_and_ends_before_a_frame_that_is_not_complete():
    delta = json_frames([chunk(content="a")])[0].raw
    assert skim(delta * 5, len(delta)) == len(delta) * 5
    assert skim(delta * 2 + delta[:-1], 0) == len(delta) * 2
    assert skim(delta, 1) == 1
    assert skim(delta + b"data: [DONE]\n\n", 0) == len(delta)
    assert skim(b"data: [DONE]\n\n", 0) == 0
