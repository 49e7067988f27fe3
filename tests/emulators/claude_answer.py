"""A turn as a Claude message, or as the events that build it.

Blocks never overlap: each is opened, filled and closed before the next. `input_tokens` leaves out what was
read from or written to the cache. A thinking block ends with its signature; with `display: omitted` it has
nothing but that.
"""

from collections.abc import Iterator

from attrs import evolve, frozen

from emulators.claude_rules import error_body
from emulators.signing import claude_signature
from emulators.turns import Block, Call, Decline, Image, Text, Thinking, Turn, cut
from emulators.values import SSE_TYPE, Answer, Ids, Json, JsonObject, as_object, dumps, json_answer, loads

_STOP_REASON = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
    "pause": "pause_turn",
}


@frozen(kw_only=True)
class Reply:
    """What shapes one answer besides the turn."""

    body: JsonObject
    ids: Ids

    @property
    def omits_thoughts(self) -> bool:
        """Whether thinking text is withheld."""
        return as_object(self.body.get("thinking")).get("display") == "omitted"


def claude_answer(reply: Reply, turn: Turn) -> Answer:
    """Render a turn the way the request asks for it."""
    shown = [_numbered(block, reply.ids) for block in turn.blocks if not isinstance(block, Image)]
    message = _message(reply, turn)
    headers = (("request-id", "req_emulated"),)
    if reply.body.get("stream") is not True:
        content: list[Json] = [_whole(block, reply) for block in shown]
        usage = {**_prompt_usage(turn), **_output_usage(turn), "service_tier": "standard"}
        stop_sequence = turn.stop_sequence
        whole: JsonObject = {**message, "content": content, "stop_reason": _STOP_REASON[turn.finish]}
        return json_answer({**whole, "stop_sequence": stop_sequence, "usage": usage}, 200, headers)
    return Answer(
        headers=(("content-type", SSE_TYPE), ("cache-control", "no-cache"), *headers),
        pieces=tuple(_event(event) for event in _events(reply, turn, message, shown)),
        is_stream=True,
        terminal=1,
        error_piece=_event(error_body(529, "Overloaded")),
    )


def _numbered(block: Block, ids: Ids) -> Block:
    if isinstance(block, Call):
        return evolve(block, id=block.id or ids.next("toolu_"))
    return block


def _message(reply: Reply, turn: Turn) -> JsonObject:
    """The message as it is when it begins."""
    return {
        "id": reply.ids.next("msg_"),
        "type": "message",
        "role": "assistant",
        "model": reply.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_prompt_usage(turn), "output_tokens": 1, "service_tier": "standard"},
    }


def _prompt_usage(turn: Turn) -> JsonObject:
    tally = turn.tally
    return {
        "input_tokens": tally.input - tally.cache_read - tally.cache_write,
        "cache_creation_input_tokens": tally.cache_write,
        "cache_read_input_tokens": tally.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tally.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
    }


def _output_usage(turn: Turn) -> JsonObject:
    details: JsonObject = {"thinking_tokens": turn.tally.reasoning}
    usage: JsonObject = {"output_tokens": turn.tally.output}
    return {**usage, "output_tokens_details": details} if turn.tally.reasoning else usage


def _whole(block: Block, reply: Reply) -> JsonObject:
    match block:
        case Text() | Decline():
            return {"type": "text", "text": block.text}
        case Thinking():
            shown = "" if reply.omits_thoughts else block.text
            return {"type": "thinking", "thinking": shown, "signature": claude_signature(block.text)}
        case Call():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": _input(block)}
        case _:
            raise AssertionError(block)


def _input(call: Call) -> Json:
    """The arguments as an object; a script may have asked for text that is none."""
    try:
        return loads(call.arguments)
    except ValueError:
        return {"input": call.arguments}


def _events(reply: Reply, turn: Turn, message: JsonObject, blocks: list[Block]) -> Iterator[JsonObject]:
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block, reply):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    usage = {**_prompt_usage(turn), **_output_usage(turn)}
    del usage["cache_creation"]
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _STOP_REASON[turn.finish], "stop_sequence": turn.stop_sequence},
        "usage": usage,
    }
    yield {"type": "message_stop"}


def _opening(block: Block) -> JsonObject:
    match block:
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Call():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        case _:
            return {"type": "text", "text": ""}


def _deltas(block: Block, reply: Reply) -> Iterator[JsonObject]:
    match block:
        case Text():
            for text in block.deltas:
                yield {"type": "text_delta", "text": text}
        case Decline():
            for text in cut(block.text):
                yield {"type": "text_delta", "text": text}
        case Thinking():
            for text in () if reply.omits_thoughts else block.deltas:
                yield {"type": "thinking_delta", "thinking": text}
            yield {"type": "signature_delta", "signature": claude_signature(block.text)}
        case Call():
            yield {"type": "input_json_delta", "partial_json": ""}
            for text in () if block.arguments == "{}" else cut(block.arguments, 6):
                yield {"type": "input_json_delta", "partial_json": text}
        case _:
            raise AssertionError(block)


def _event(event: JsonObject) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + dumps(event) + b"\n\n"
