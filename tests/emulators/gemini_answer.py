"""A turn as a GenerateContentResponse, or as the chunks of a stream.

Every chunk is a whole response object with running token counts; the last one says why the answer ended.
With `alt=sse` the chunks are events separated by CRLF, as the real service sends them; without it they are
the members of one JSON array that grows. Function calls arrive whole. Newer models sign the first call of a
turn and the end of a text.
"""

from collections.abc import Iterator

from attrs import frozen

from emulators.gemini_rules import Model, error_body
from emulators.signing import gemini_signature
from emulators.turns import Block, Call, Decline, Image, Text, Thinking, Turn
from emulators.values import SSE_TYPE, Answer, Ids, Json, JsonObject, dumps, json_answer, loads

_FINISH = {"length": "MAX_TOKENS", "refusal": "SAFETY"}
_RATINGS: list[Json] = [
    {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
]
CRLF = b"\r\n"


@frozen(kw_only=True)
class Reply:
    """What shapes one answer besides the turn."""

    model: Model
    ids: Ids
    shows_thoughts: bool
    candidates: int = 1


def gemini_answer(reply: Reply, turn: Turn, framing: str) -> Answer:
    """Render a turn; `framing` is `whole`, `sse` or `array`."""
    frame: JsonObject = {"modelVersion": reply.model.name, "responseId": reply.ids.next("resp", 18)}
    if framing == "whole":
        parts = [part for _, part in _parts(reply, turn, split=False)]
        finished = _candidates(reply, parts, turn)
        return json_answer({"candidates": finished, "usageMetadata": _usage(turn), **frame})
    chunks = list(_chunks(reply, turn, frame))
    error = error_body(503, "The model is overloaded. Please try again later.")
    if framing == "sse":
        return Answer(
            headers=(("content-type", SSE_TYPE.partition(";")[0]),),
            pieces=tuple(_event(chunk) for chunk in chunks),
            is_stream=True,
            terminal=1,
            error_piece=_event(error),
        )
    members = [(b"[" if at == 0 else CRLF + b"," + CRLF) + dumps(chunk) for at, chunk in enumerate(chunks)]
    return Answer(
        headers=(("content-type", "application/json; charset=UTF-8"),),
        pieces=(*members, CRLF + b"]" + CRLF),
        is_stream=True,
        terminal=1,
        error_piece=CRLF + b"," + CRLF + dumps(error) + CRLF + b"]",
    )


def _event(value: JsonObject) -> bytes:
    return b"data: " + dumps(value) + CRLF + CRLF


def _parts(reply: Reply, turn: Turn, *, split: bool) -> Iterator[tuple[int, JsonObject]]:
    """The parts in order, each with the number of its block; texts in their deltas if `split`."""
    signed = False
    for number, block in enumerate(turn.blocks):
        if isinstance(block, Text | Thinking):
            if isinstance(block, Thinking) and not reply.shows_thoughts:
                continue
            extra: JsonObject = {"thought": True} if isinstance(block, Thinking) else {}
            texts = block.deltas if split else (block.text,)
            yield from ((number, {"text": text, **extra}) for text in texts)
        elif not isinstance(block, Decline):
            part = _data_part(reply, block)
            if isinstance(block, Call) and not signed and (reply.model.signs or turn.thinks()):
                part["thoughtSignature"] = gemini_signature(block.name + block.arguments)
                signed = True
            yield number, part
    if reply.model.signs and turn.blocks and isinstance(turn.blocks[-1], Text):
        yield len(turn.blocks), {"text": "", "thoughtSignature": gemini_signature(turn.blocks[-1].text)}


def _data_part(reply: Reply, block: Block) -> JsonObject:
    if isinstance(block, Image):
        return {"inlineData": {"mimeType": block.mime, "data": block.data}}
    assert isinstance(block, Call)
    call: JsonObject = {"name": block.name, "args": _arguments(block)}
    if reply.model.signs:
        call = {"id": block.id or reply.ids.next("fc", 8), **call}
    return {"functionCall": call}


def _arguments(call: Call) -> Json:
    try:
        return loads(call.arguments)
    except ValueError:
        return {"input": call.arguments}


def _chunks(reply: Reply, turn: Turn, frame: JsonObject) -> Iterator[JsonObject]:
    parts = [part for _, part in _parts(reply, turn, split=True)]
    for part in parts[:-1]:
        candidates = _candidates(reply, [part], None)
        yield {"candidates": candidates, "usageMetadata": _usage(turn, running=True), **frame}
    yield {"candidates": _candidates(reply, parts[-1:], turn), "usageMetadata": _usage(turn), **frame}


def _candidates(reply: Reply, parts: list[JsonObject], finished: Turn | None) -> list[Json]:
    candidate: JsonObject = {"content": {"parts": [*parts], "role": "model"} if parts else {"role": "model"}}
    if finished is not None:
        candidate["finishReason"] = _FINISH.get(finished.finish, "STOP")
        if finished.finish == "refusal":
            candidate["safetyRatings"] = _RATINGS
    return [{**candidate, "index": at} for at in range(reply.candidates)]


def _usage(turn: Turn, *, running: bool = False) -> JsonObject:
    """Token counts; those of the answer are not complete before the last chunk."""
    tally = turn.tally
    visible = 1 if running else tally.output - tally.reasoning
    usage: JsonObject = {
        "promptTokenCount": tally.input,
        "candidatesTokenCount": visible,
        "totalTokenCount": tally.input + visible + tally.reasoning,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tally.input}],
    }
    if tally.cache_read:
        usage["cachedContentTokenCount"] = tally.cache_read
    if tally.reasoning:
        usage["thoughtsTokenCount"] = tally.reasoning
    return usage
