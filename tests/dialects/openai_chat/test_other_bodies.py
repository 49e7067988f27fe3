"""Bodies of the vendor's other dialect at the address of chats: read as what they are, answered as a chat."""

import json

import pytest
import trio

from cliproxy.dialects import by_id
from cliproxy.dialects.base import ClientRequest, PathFacts
from cliproxy.dialects.openai_chat.endpoints import read
from cliproxy.errors import Kind
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import StreamError
from cliproxy.ir.request import Text, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import Document, JsonObject, dumps
from support.exchange import Bottle, FakeContract, Reply, bottle, json_reply
from support.factories import make_context
from support.frames import encode, parse
from support.grammar_openai import check_chat_response, check_chat_stream

BODY: JsonObject = {
    "model": "m",
    "instructions": "be brief",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}],
    "stream_options": {"include_usage": True},
}
ANSWER = IRResponse(
    id="x",
    model="up",
    choices=[Choice([Text("hello"), ToolCall("call_1", "f", "{}")], Ending(FinishReason.TOOL_CALLS))],
    usage=Usage(fresh_input=3, output=2),
)
UPSTREAMS = pytest.mark.parametrize("upstream", ["openai", "openai-response", "claude", "gemini"])


def posted(**members: object) -> ClientRequest:
    return read(Document.parse(dumps({**BODY, **members})), PathFacts())


def world_of(upstream: str, reply: Reply) -> Bottle:
    return bottle(reply, contracts=(FakeContract(dialect=upstream),))


async def told(world: Bottle, wanted: ClientRequest) -> bytes:
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted, world.deps)
        async with head.body:
            return b"".join([piece async for piece in head.body])
    raise AssertionError("unreachable")


@UPSTREAMS
async def test_stream_is_one_of_chat_chunks(upstream: str, autojump_clock: object) -> None:
    """With the usage chunk, if the body asked for one in the chat's words."""
    encoder = by_id(upstream).stream_encoder(make_context(client_dialect=upstream))
    frames = encode(encoder, to_events(ANSWER))
    world = world_of(upstream, Reply(body=[frame.raw for frame in frames]))
    seen = check_chat_stream(parse(await told(world, posted(stream=True))), include_usage=True)
    [choice] = seen.choices.values()
    assert (choice.content, [call.name for call in choice.calls]) == ("hello", ["f"])
    assert choice.finish_reason == "tool_calls"
    assert seen.usage is not None
    assert seen.usage["total_tokens"] == 5


@UPSTREAMS
async def test_whole_answer_is_a_chat_completion(upstream: str, autojump_clock: object) -> None:
    body = by_id(upstream).encode_response(ANSWER, make_context(client_dialect=upstream))
    world = world_of(upstream, json_reply(body))
    answer = await answer_exchange(posted(), world.deps)
    [choice] = check_chat_response(json.loads(answer.body))["choices"]
    assert choice["message"]["content"] == "hello"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "f"


async def test_upstream_is_sent_a_chat(autojump_clock: object) -> None:
    body = by_id("openai").encode_response(ANSWER, make_context())
    world = world_of("openai", json_reply(body))
    await answer_exchange(posted(), world.deps)
    sent = json.loads(world.upstreams.calls[0].body)
    assert sent["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]
    assert sent["tools"][0]["function"]["name"] == "f"
    assert {"input", "instructions"}.isdisjoint(sent)


async def test_error_in_the_stream_is_one_of_chats(autojump_clock: object) -> None:
    encoder = by_id("claude").stream_encoder(make_context(client_dialect="claude"))
    beginning = [*to_events(ANSWER)][:4]
    frames = [frame for event in beginning for frame in encoder.encode(event)]
    frames += encoder.encode(StreamError(Kind.OVERLOADED, "busy", 529))
    world = world_of("claude", Reply(body=[frame.raw for frame in frames]))
    seen = check_chat_stream(parse(await told(world, posted(stream=True))), include_usage=True)
    assert seen.error is not None
    assert seen.error["message"] == "busy"
