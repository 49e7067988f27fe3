"""Whole answers of the chat wire."""

import contextlib

import pytest
from hypothesis import given

from cliproxy.dialects.openai_chat.response import decode_response, encode_response, has_content
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    CallKind,
    Family,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Signature,
    Stored,
    Text,
    Thinking,
    ToolCall,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from support import ir_strategies
from support.factories import NOW, make_context
from support.grammar_openai import check_chat_response

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PNG = {"type": "image_url", "index": 0, "image_url": {"url": "data:image/png;base64,AA=="}}


def body(finish_reason: str = "stop", **message: object) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice]}


def read(finish_reason: str = "stop", **message: object) -> Choice:
    return decode_response(body(finish_reason, **message), make_context()).choices[0]


def write(*parts: Part, reason: FinishReason = FinishReason.STOP, **overrides: object) -> dict:
    """Write an answer with one choice; return the choice."""
    response = IRResponse(id="msg_1", model="m", choices=[Choice(list(parts), Ending(reason))])
    ctx = make_context(**{"upstream_dialect": "claude", **overrides})
    return check_chat_response(encode_response(response, ctx))["choices"][0]


MESSAGES = {
    "text": ({"content": "a"}, [Text("a")]),
    "nothing": ({"content": None}, []),
    "empty": ({"content": ""}, []),
    "reasoning": ({"reasoning_content": "r", "content": "a"}, [Thinking("r"), Text("a")]),
    "reasoning, other member": ({"reasoning": "r", "content": "a"}, [Thinking("r"), Text("a")]),
    "reasoning among the parts": (
        {"content": [{"type": "thinking", "thinking": [{"text": "r"}]}, {"type": "text", "text": "a"}]},
        [Thinking("r"), Text("a")],
    ),
    "refusal": ({"content": None, "refusal": "no"}, [Refusal("no")]),
    "call": ({"content": None, "tool_calls": [CALL]}, [ToolCall("c", "f", "{}")]),
    "call with an object": (
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]},
        [ToolCall("c", "f", '{"a":1}')],
    ),
    "call without id": (
        {"function_call": {"name": "f", "arguments": "{}"}},
        [ToolCall("call_000000000000000000000001", "f", "{}")],
    ),
    "image": ({"content": "a", "images": [PNG, {}]}, [Text("a"), Image(Inline("image/png", "AA=="))]),
    "sound": ({"content": None, "audio": {"id": "x"}}, [Opaque("openai", "audio", {"id": "x"})]),
    "citations": (
        {"content": "a", "annotations": [{"type": "url_citation"}]},
        [Text("a", [{"type": "url_citation"}], "openai")],
    ),
    "citations of nothing": ({"content": None, "annotations": [{"type": "url_citation"}]}, []),
}


@pytest.mark.parametrize(("message", "parts"), MESSAGES.values(), ids=MESSAGES.keys())
def test_reading_a_message(message, parts):
    assert read(**message).parts == parts


def test_reading_the_rest():
    value = body("length", content="a")
    value |= {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "system_fingerprint": "fp"}
    value["choices"][0] |= {"logprobs": None, "native_finish_reason": "MAX"}
    assert decode_response(value, make_context()) == IRResponse(
        id="c1",
        model="m",
        choices=[Choice([Text("a")], Ending(FinishReason.LENGTH, "MAX"), 0, {"openai": {"logprobs": None}})],
        usage=Usage(fresh_input=3, output=2),
        created=5,
        extras={"openai": {"system_fingerprint": "fp"}},
    )


@pytest.mark.parametrize(
    ("reason", "message", "ending"),
    [
        ("tool_calls", {"content": "a"}, FinishReason.STOP),
        ("stop", {"tool_calls": [CALL]}, FinishReason.TOOL_CALLS),
        ("stop", {"refusal": "no"}, FinishReason.REFUSAL),
        ("content_filter", {}, FinishReason.CONTENT_FILTER),
    ],
)
def test_reading_why_it_ended(reason, message, ending):
    assert read(reason, **message).ending == Ending(ending, reason)


def test_choices_without_index_are_counted():
    value = {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}
    assert [choice.index for choice in decode_response(value, make_context()).choices] == [0, 1]


@pytest.mark.parametrize("value", [{}, {"choices": None}, {"error": {"message": "m"}}, {"choices": {}}])
def test_what_is_no_answer(value):
    with pytest.raises(DialectError):
        decode_response(value, make_context())


def test_content_of_an_impossible_type():
    with pytest.raises(DialectError):
        read(content=3)


def test_skeleton():
    response = IRResponse(
        id="msg_1",
        model="m",
        choices=[Choice([Text("a")], Ending(FinishReason.STOP, "END_TURN"))],
        usage=Usage(output=1),
    )
    written = encode_response(response, make_context(upstream_dialect="claude"))
    assert written == {
        "id": "chatcmpl-000000000000000000000001",
        "object": "chat.completion",
        "created": int(NOW),
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a"},
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 1, "total_tokens": 1},
    }


def test_shown_model_and_unknown_usage():
    response = IRResponse(id="x", model="", choices=[], created=5)
    written = encode_response(response, make_context(shown_model="alias"))
    assert (written["model"], written["created"], written["id"]) == ("alias", 5, "x")
    assert "usage" not in written
    assert encode_response(response, make_context())["model"] == "upstream-model"


@pytest.mark.parametrize(
    ("parts", "content"),
    [
        ([Text("a"), Text("b")], "ab"),
        ([], ""),
        ([Thinking("r")], ""),
        ([ToolCall("c", "f", "")], None),
        ([Refusal("no")], None),
        ([Text("a"), ToolCall("c", "f", "")], "a"),
    ],
)
def test_content(parts, content):
    assert write(*parts)["message"]["content"] == content


def test_reasoning_is_shown_if_wanted():
    parts = Thinking("a"), Thinking(redacted=Signature("x", Family.CLAUDE)), Thinking("b")
    assert write(*parts)["message"]["reasoning_content"] == "ab"
    assert "reasoning_content" not in write(*parts, want_thoughts=False)["message"]


def test_calls():
    choice = write(ToolCall("c", "f", ""), ToolCall("d", "p", "raw", CallKind.CUSTOM))
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"] == [
        CALL,
        {"id": "d", "type": "custom", "custom": {"name": "p", "input": "raw"}},
    ]


def test_custom_tool_behind_a_dialect_that_has_none():
    [call] = write(ToolCall("c", "p", '{"input":"raw"}'), custom_tools={"p"})["message"]["tool_calls"]
    assert call == {"id": "c", "type": "custom", "custom": {"name": "p", "input": "raw"}}


def test_signature_of_a_call():
    [call] = write(ToolCall("c", "f", "{}", signature=Signature("c2ln", Family.GEMINI)))["message"][
        "tool_calls"
    ]
    assert call["extra_content"] == {"google": {"thought_signature": "c2ln"}}


def test_images_once_each():
    image = Image(Inline("image/png", "AA=="))
    choice = write(Text("a"), image, image, Image(Remote("https://x")), Image(Stored("f", "claude")))
    assert choice["message"]["images"] == [
        PNG,
        {"type": "image_url", "index": 1, "image_url": {"url": "https://x"}},
    ]


def test_citations():
    flat = {"type": "url_citation", "url": "https://e.com", "title": "T", "start_index": 1, "end_index": 2}
    choice = write(
        Text("a", [flat], "openai-response"), Text("b", [{"type": "file_citation"}], "openai-response")
    )
    assert choice["message"]["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://e.com", "title": "T", "start_index": 1, "end_index": 2},
        }
    ]


def test_foreign_parts_are_dropped_with_a_note():
    ctx = make_context()
    response = IRResponse(
        id="", model="m", choices=[Choice([Opaque("claude", "x", {})], Ending(FinishReason.STOP))]
    )
    encode_response(response, ctx)
    assert len(ctx.notes) == 1


FAITHFUL = {
    **body(
        "tool_calls",
        content="a",
        reasoning_content="r",
        annotations=[{"type": "url_citation"}],
        tool_calls=[CALL],
    ),
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "service_tier": "default",
    "system_fingerprint": "fp",
}


def test_answer_of_a_chat_upstream_is_written_as_it_came():
    ctx = make_context()
    value = {**FAITHFUL}
    value["choices"] = [
        {**FAITHFUL["choices"][0], "native_finish_reason": "tool_calls", "logprobs": {"content": []}}
    ]
    assert encode_response(decode_response(value, ctx), ctx) == value


def test_spoken_answer_is_written_as_it_came():
    ctx = make_context()
    value = body(content=None, audio={"id": "a", "data": "AA=="})
    message = encode_response(decode_response(value, ctx), ctx)["choices"][0]["message"]
    assert message == value["choices"][0]["message"]


@given(ir_strategies.responses())
def test_answers_are_grammatical_and_read_the_same(response):
    written = check_chat_response(encode_response(response, make_context()))
    again = decode_response(written, make_context())
    twice = encode_response(again, make_context())
    assert [choice["message"] for choice in twice["choices"]] == [
        choice["message"] for choice in written["choices"]
    ]
    assert again.usage.total == response.usage.total


@given(ir_strategies.json_objects, ir_strategies.json_values)
def test_any_body_is_read_or_refused(members, value):
    for message in (
        members,
        {"content": value},
        {"tool_calls": value},
        {"images": value, "annotations": value},
    ):
        with contextlib.suppress(DialectError):
            decode_response(
                {**members, "choices": [{"message": message, "index": value}, value]}, make_context()
            )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (body(content="a"), True),
        (body(content=None), False),
        (body(content="", reasoning_content="r"), True),
        (body(tool_calls=[CALL]), True),
        (body("length", content=""), True),
        ({"choices": []}, False),
        ({}, False),
    ],
)
def test_whether_an_answer_says_anything(value, says):
    assert has_content(value) is says
