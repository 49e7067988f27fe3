"""A turn as `chat.completion` or as its stream of chunks.

The stream has a role chunk first, one chunk per delta, one finish chunk per choice, a usage chunk without
choices when `include_usage` was asked for, and `[DONE]`. Reasoning is only counted by the vendor itself;
servers that imitate the API (`compatible`) show it as `reasoning_content`.
"""

from collections.abc import Iterator

from attrs import evolve, frozen

from emulators.openai_rules import error_body
from emulators.turns import Call, Decline, Text, Thinking, Turn, cut
from emulators.values import SSE_TYPE, Answer, Ids, Json, JsonObject, as_object, dumps, json_answer

DONE = b"data: [DONE]\n\n"
_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


@frozen(kw_only=True)
class ChatReply:
    """Everything that shapes one chat answer besides the turn."""

    body: JsonObject
    ids: Ids
    now: float
    compatible: bool = False

    @property
    def choices(self) -> int:
        """How many alternatives the client asked for."""
        wanted = self.body.get("n")
        return wanted if isinstance(wanted, int) else 1


def chat_answer(reply: ChatReply, turn: Turn) -> Answer:
    """Render a turn the way the request asks for it."""
    turn = _identified(turn, reply.ids)
    if reply.body.get("stream") is not True:
        return json_answer(_whole(reply, turn))
    pieces = [_event(chunk) for chunk in _chunks(reply, turn)]
    return Answer(
        headers=(("content-type", SSE_TYPE), ("cache-control", "no-cache")),
        pieces=(*pieces, DONE),
        is_stream=True,
        terminal=1,
        error_piece=_event(
            error_body("The server had an error while processing your request.", "server_error")
        ),
    )


def _identified(turn: Turn, ids: Ids) -> Turn:
    blocks = (
        evolve(block, id=block.id or ids.next("call_")) if isinstance(block, Call) else block
        for block in turn.blocks
    )
    return evolve(turn, blocks=tuple(blocks))


def usage_of(turn: Turn) -> JsonObject:
    """Token counts in the chat form: cached and reasoning tokens are parts of the totals."""
    tally = turn.tally
    return {
        "prompt_tokens": tally.input,
        "completion_tokens": tally.output,
        "total_tokens": tally.input + tally.output,
        "prompt_tokens_details": {"cached_tokens": tally.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tally.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(reply: ChatReply, turn: Turn) -> str:
    """The vendor's word; a call forced by name ends with `stop`."""
    if turn.finish == "tool_calls" and as_object(reply.body.get("tool_choice")).get("type") == "function":
        return "stop"
    return _FINISH.get(turn.finish, "stop")


def _whole(reply: ChatReply, turn: Turn) -> JsonObject:
    choices: list[Json] = [
        {
            "index": at,
            "message": _message(reply, turn),
            "logprobs": None,
            "finish_reason": _finish(reply, turn),
        }
        for at in range(reply.choices)
    ]
    return {
        "id": reply.ids.next("chatcmpl-"),
        "object": "chat.completion",
        "created": int(reply.now),
        "model": reply.body["model"],
        "choices": choices,
        "usage": usage_of(turn),
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }


def _message(reply: ChatReply, turn: Turn) -> JsonObject:
    texts = [block.text for block in turn.blocks if isinstance(block, Text)]
    refusals = [block.text for block in turn.blocks if isinstance(block, Decline)]
    thoughts = [block.text for block in turn.blocks if isinstance(block, Thinking)]
    calls = turn.calls()
    message: JsonObject = {
        "role": "assistant",
        "content": "".join(texts) if texts or not (calls or refusals) else None,
        "refusal": "".join(refusals) or None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    if thoughts and reply.compatible:
        message["reasoning_content"] = "".join(thoughts)
    return message


def _call(call: Call) -> JsonObject:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function: JsonObject = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _chunks(reply: ChatReply, turn: Turn) -> Iterator[JsonObject]:
    options = as_object(reply.body.get("stream_options"))
    with_usage = options.get("include_usage") is True
    frame: JsonObject = {
        "id": reply.ids.next("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": int(reply.now),
        "model": reply.body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_emulated",
    }
    if with_usage:
        frame["usage"] = None
    for at in range(reply.choices):
        yield {**frame, "choices": [_choice(at, {"role": "assistant", "content": "", "refusal": None})]}
    for delta in _deltas(reply, turn):
        for at in range(reply.choices):
            yield {**frame, "choices": [_choice(at, delta)]}
    for at in range(reply.choices):
        yield {**frame, "choices": [_choice(at, {}, _finish(reply, turn))]}
    if with_usage:
        yield {**frame, "choices": [], "usage": usage_of(turn)}


def _choice(index: int, delta: JsonObject, finish: str | None = None) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _deltas(reply: ChatReply, turn: Turn) -> Iterator[JsonObject]:
    position = 0
    for block in turn.blocks:
        match block:
            case Text():
                yield from _texts("content", block.deltas)
            case Decline():
                yield from _texts("refusal", cut(block.text))
            case Thinking() if reply.compatible:
                yield from _texts("reasoning_content", block.deltas)
            case Call():
                yield from _call_deltas(block, position)
                position += 1


def _texts(slot: str, deltas: tuple[str, ...]) -> Iterator[JsonObject]:
    for delta in deltas:
        yield {slot: delta}


def _call_deltas(call: Call, position: int) -> Iterator[JsonObject]:
    kind, slot = ("custom", "input") if call.custom else ("function", "arguments")
    opening: JsonObject = {
        "index": position,
        "id": call.id,
        "type": kind,
        kind: {"name": call.name, slot: ""},
    }
    yield {"tool_calls": [opening]}
    for fragment in cut(call.arguments, 6):
        yield {"tool_calls": [{"index": position, kind: {slot: fragment}}]}


def _event(value: JsonObject) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"
