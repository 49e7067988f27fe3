"""Clients that declare functions, not tools: an answer has one call for them, in a member of its own."""

import json

import pytest

from cliproxy.dialects.openai_chat.decoder import ChatStreamDecoder
from cliproxy.dialects.openai_chat.encoder import ChatStreamEncoder
from cliproxy.dialects.openai_chat.request import decode_request, encode_request
from cliproxy.dialects.openai_chat.response import decode_response, encode_response
from cliproxy.ir.collect import to_events
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Family, Part, Signature, Text, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse
from support.factories import make_context
from support.frames import collect, decode, encode

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {}}}
BODY = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ],
    "functions": [FUNCTION],
    "function_call": {"name": "f"},
}


def older() -> ExchangeContext:
    return make_context(original_body=BODY, upstream_dialect="claude")


def answer(*parts: Part) -> IRResponse:
    return IRResponse(
        id="x", model="m", choices=[Choice([*parts], Ending(FinishReason.TOOL_CALLS))], created=5
    )


CALL = ToolCall("c", "f", '{"a":1}', signature=Signature("c2ln", Family.GEMINI))


def test_request_asks_for_one_call_at_a_time():
    ctx = make_context()
    body = encode_request(decode_request(BODY, ctx), ctx)
    assert body["tools"] == [{"type": "function", "function": FUNCTION}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    assert {"functions", "function_call"}.isdisjoint(body)


def test_whole_answer():
    ctx = older()
    [choice] = encode_response(answer(Text("t"), CALL, CALL), ctx)["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "t",
        "function_call": {"name": "f", "arguments": '{"a":1}'},
    }
    assert choice["finish_reason"] == "function_call"
    assert len(ctx.notes) == 1


def test_whole_answer_without_a_call():
    [choice] = encode_response(answer(Text("t")), older())["choices"]
    assert choice["message"] == {"role": "assistant", "content": "t"}
    assert choice["finish_reason"] == "stop"


def test_stream():
    ctx = older()
    frames = encode(ChatStreamEncoder(ctx), to_events(answer(Text("t"), CALL, CALL)))
    told = [json.loads(frame.data)["choices"][0] for frame in frames[:-1]]
    assert [entry["delta"] for entry in told] == [
        {"role": "assistant", "content": ""},
        {"content": "t"},
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":1}'}},
        {},
    ]
    assert told[-1]["finish_reason"] == "function_call"
    assert len(ctx.notes) == 1


def test_what_is_written_is_read():
    """Our own reader knows the older form, too: whole and streamed."""
    whole = decode_response(encode_response(answer(CALL), older()), make_context())
    frames = encode(ChatStreamEncoder(older()), to_events(answer(CALL)))
    streamed = collect(decode(ChatStreamDecoder(make_context()), frames))
    for response in (whole, streamed):
        [part] = response.choices[0].parts
        assert isinstance(part, ToolCall)
        assert (part.name, part.arguments) == ("f", '{"a":1}')
        assert response.choices[0].ending.reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    "body", [{**BODY, "tools": []}, {key: value for key, value in BODY.items() if key != "functions"}]
)
def test_clients_that_declare_tools_get_calls(body):
    [choice] = encode_response(answer(CALL), make_context(original_body=body))["choices"]
    assert "tool_calls" in choice["message"]
    assert choice["finish_reason"] == "tool_calls"
