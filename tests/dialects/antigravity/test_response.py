"""Answers of the service."""

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.antigravity import DIALECT
from cliproxy.ir.events import ArgsDone, SignatureDelta, UsageUpdate
from cliproxy.ir.request import Family, IRRequest, Thinking, Tool, ToolCall, ToolKind
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import dumps, loads_object
from support.factories import make_context
from support.frames import decode, encode, json_frames

SCHEMA = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}}
SIGNATURE = "EgAA"


def context(client="claude", family=Family.CLAUDE, **more):
    tools = [Tool(ToolKind.FUNCTION, "f", schema=SCHEMA), Tool(ToolKind.FUNCTION, "g")]
    return make_context(
        client_dialect=client,
        upstream_dialect="antigravity",
        upstream_family=family,
        original=IRRequest(model="m", messages=[], tools=tools),
        **more,
    )


def chunk(*parts, **members):
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP"}
    return {"response": {"candidates": [candidate], "responseId": "r", **members}, "traceId": "t"}


@pytest.mark.parametrize(
    ("name", "arguments", "left"),
    [
        ("f", {"a": {"b": 1, "_": True}, "reason": "x"}, '{"a":{"b":1}}'),
        ("g", {"reason": "x"}, "{}"),
        ("other", {"reason": "x"}, '{"reason":"x"}'),
    ],
    ids=["declared", "without a schema", "undeclared"],
)
def test_placeholders_do_not_reach_the_client(name, arguments, left):
    call = {"functionCall": {"id": "c", "name": name, "args": arguments}}
    events = decode(DIALECT.stream_decoder(context()), json_frames([chunk(call)]))
    assert ArgsDone(0, left) in events
    (part,) = DIALECT.decode_response(chunk(call), context()).choices[0].parts
    assert isinstance(part, ToolCall)
    assert (part.id, part.arguments) == ("c", left)


def test_a_renamed_tool_is_known_by_its_own_name():
    ctx = context(tool_names={"f_renamed": "f"})
    call = {"functionCall": {"name": "f_renamed", "args": {"reason": "x"}}}
    assert ArgsDone(0, "{}") in decode(DIALECT.stream_decoder(ctx), json_frames([chunk(call)]))


@pytest.mark.parametrize("family", [Family.CLAUDE, Family.GEMINI])
def test_a_signature_is_the_models_own(family):
    """By its looks this one might be either's."""
    chunks = [
        chunk({"text": "hm", "thought": True}),
        chunk({"text": "", "thought": True, "thoughtSignature": SIGNATURE}),
        chunk({"text": "a"}),
    ]
    events = decode(DIALECT.stream_decoder(context(family=family)), json_frames(chunks))
    assert SignatureDelta(0, SIGNATURE, family) in events


def test_a_thought_of_a_claude_model_returns_to_it():
    """Through a Claude client, whose slot it fits, and back into the same part."""
    ctx = context()
    parts = (
        {"text": "hm", "thought": True, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "f", "args": {}}},
    )
    frames = encode(
        by_id("claude").stream_encoder(ctx),
        decode(DIALECT.stream_decoder(ctx), json_frames([chunk(*parts)])),
    )
    signed = b"".join(frame.raw for frame in frames)
    assert b'"signature_delta"' in signed
    response = DIALECT.decode_response(chunk(*parts), ctx)
    content = loads_object(dumps(by_id("claude").encode_response(response, ctx)))["content"]
    request = by_id("claude").decode_request(
        {"model": "m", "max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}, ctx
    )
    (thought, _) = request.messages[0].parts
    assert isinstance(thought, Thinking)
    assert thought.signature is not None
    assert (thought.signature.value, thought.signature.family) == (SIGNATURE, Family.CLAUDE)


def test_counts_that_are_left_out_are_meant_in_the_total():
    counts = {"promptTokenCount": 10, "thoughtsTokenCount": 6, "totalTokenCount": 20}
    events = decode(
        DIALECT.stream_decoder(context()), json_frames([chunk({"text": "a"}, usageMetadata=counts)])
    )
    (update,) = [event for event in events if isinstance(event, UsageUpdate)]
    assert update.usage == Usage(fresh_input=10, output=4, reasoning=6, reported_total=20)
