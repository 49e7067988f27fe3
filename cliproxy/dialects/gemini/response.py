"""Whole answers, and glimpses at answers that are passed through.

An answer and a chunk of a stream have the same shape. An answer is therefore decoded by the stream decoder,
as a stream of one chunk: what it says in one piece and what it says in many cannot differ.
"""

import re
from collections.abc import Iterator
from typing import Final, Protocol, assert_never

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.gemini.decoder import CITATIONS, GeminiStreamDecoder
from cliproxy.dialects.gemini.encoder import (
    HALF_A_CALL,
    call_part,
    head_of,
    is_half_a_call,
    opaque_part,
    signed,
)
from cliproxy.dialects.gemini.errors import decode_error
from cliproxy.dialects.gemini.outcome import decode_usage, encode_ending, encode_usage, is_reason_for_silence
from cliproxy.dialects.gemini.parts import DIALECT_ID, encode_media
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.errors import DialectError
from cliproxy.ir.collect import Collector
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import Event, StreamError
from cliproxy.ir.request import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.ir.response import Choice, IRResponse, Usage
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    integer,
    items,
    loads,
    loads_object,
    objects,
    text,
)
from cliproxy.wire.sse import Frame

# --- reading ---


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read a whole answer. Raises :class:`~cliproxy.errors.DialectError` for one that is an error."""
    return decode_with(GeminiStreamDecoder(ctx), body)


class WholeDecoder(Protocol):
    """A stream decoder that takes a parsed answer as well."""

    def read(self, value: JsonValue) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


def decode_with(decoder: WholeDecoder, body: JsonObject) -> IRResponse:
    """Read a whole answer with a relative's decoder; see :func:`decode_response`."""
    collector = Collector()
    for event in (*decoder.read(body), *decoder.finish()):
        if isinstance(event, StreamError):
            raise DialectError(event.message or "the upstream answered with an error", "error")
        collector.feed(event)
    return collector.result()


def _unwrapped(body: JsonObject) -> JsonObject:
    inner = body.get("response")
    return camel(inner if isinstance(inner, dict) and "candidates" not in body else body)


_NOTABLE: Final = re.compile(
    rb'"(?:error|finish_?[rR]eason|prompt_?[fF]eedback|function_?(?:[cC]all|[rR]esponse)|(?:usage_m|cpaUsageM)etadata)"'
)
"""What may make a chunk more than a piece of text, or hold members named by somebody else."""
_SAYS_TEXT: Final = re.compile(rb'"parts":\s*\[\s*\{\s*"text":\s*"[^"]')
_COUNTS: Final = re.compile(rb'"usageMetadata":\s*(\{(?:[^{}]++|\{[^{}]*+\})*+\})')


def inspect(frame: Frame) -> Glimpse:
    """Look at a chunk that is passed through.

    Nearly every chunk is a piece of text with the counts so far. Of such a one only the counts are parsed.
    """
    data = frame.data
    if _SAYS_TEXT.search(data) is not None and _NOTABLE.search(data) is None:
        counts = _COUNTS.search(data)
        if counts is not None or b'"usageMetadata"' not in data:
            return Glimpse(usage=_counts_in(counts[1]) if counts is not None else None)
    return _inspect_whole(data)


def _counts_in(data: bytes) -> Usage | None:
    try:
        usage = loads_object(data)
    except JsonError:
        return None
    return decode_usage(usage) if usage else None


def _inspect_whole(data: bytes) -> Glimpse:
    try:
        value = loads(data)
    except JsonError:
        return Glimpse(has_content=False)
    return inspect_response(value) if isinstance(value, dict) else Glimpse(has_content=bool(value))


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at a whole answer or a chunk. No chunk is known to be the last one, so none is terminal."""
    node = _unwrapped(body)
    if isinstance(node.get("error"), dict):
        return Glimpse(error=decode_error(0, node))
    usage = child(node, "usageMetadata") or child(node, "cpaUsageMetadata")
    candidates = [camel(candidate) for candidate in objects(node, "candidates")]
    is_blocked = bool(text(camel(child(node, "promptFeedback")), "blockReason"))
    ends = [word for candidate in candidates if (word := text(candidate, "finishReason"))]
    # An answer may be empty for a reason; one that just stops has nothing to stop.
    is_explained = is_blocked or any(is_reason_for_silence(word) for word in ends)
    return Glimpse(
        usage=decode_usage(usage) if usage else None,
        has_content=is_explained or any(_says_something(candidate) for candidate in candidates),
        is_finished=is_blocked or bool(ends),
    )


def _says_something(candidate: JsonObject) -> bool:
    parts = items(child(candidate, "content"), "parts")
    return any(part != {"text": ""} for part in parts)


def decode_count(body: JsonObject) -> int | None:
    """Read the answer to a token count."""
    return integer(camel(body), "totalTokens")


# --- writing ---


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write a whole answer."""
    own = response.extras.get(DIALECT_ID, {})
    body: JsonObject = {}
    if "promptFeedback" not in own or any(choice.parts for choice in response.choices):
        body["candidates"] = [_candidate(choice, ctx) for choice in response.choices]
    if counts := encode_usage(response.usage):
        body["usageMetadata"] = counts
    return {**body, **head_of(response.id, response.model, response.created, ctx), **own}


def _candidate(choice: Choice, ctx: ExchangeContext) -> JsonObject:
    parts = list[JsonValue](_joined(_parts(choice, ctx)))
    candidate: JsonObject = {
        "content": {"parts": parts or [{"text": ""}], "role": "model"},
        "finishReason": encode_ending(choice.ending),
        "index": choice.index,
    }
    for part in choice.parts:
        if isinstance(part, Text) and part.citation_dialect == DIALECT_ID:
            for citation in part.citations:
                candidate |= {name: citation[name] for name in CITATIONS if name in citation}
        elif isinstance(part, Text) and part.citations:
            ctx.note("citations are not carried")
    return {**candidate, **choice.extras.get(DIALECT_ID, {})}


def _parts(choice: Choice, ctx: ExchangeContext) -> Iterator[JsonObject]:
    reason = encode_ending(choice.ending)
    for part in choice.parts:
        if isinstance(part, ToolCall) and is_half_a_call(part, reason):
            ctx.note(HALF_A_CALL)
            continue
        node = _part(part, ctx)
        if node is not None:
            yield node


def _part(part: Part, ctx: ExchangeContext) -> JsonObject | None:
    match part:
        case Text(text=said, signature=signature):
            return signed({"text": said}, signature) if said or signature else None
        case Refusal(text=said):
            return {"text": said}
        case Thinking(text=said):
            signature = part.signature or part.redacted
            if not ctx.want_thoughts or not (said or signature):
                return None
            return signed({"text": said, "thought": True}, signature)
        case ToolCall():
            return call_part(part, ctx)
        case Image() | Document() | Audio() | Video():
            node = encode_media(part)
            return signed(node, part.signature) if node and isinstance(part, Image) else node
        case Opaque():
            return opaque_part(part, ctx)
        case ToolResult():
            return None
        case _:
            assert_never(part)


def _joined(nodes: Iterator[JsonObject]) -> Iterator[JsonObject]:
    """Join neighbouring texts of the same kind, unless the first is signed and thereby complete."""
    last: JsonObject | None = None
    for node in nodes:
        if last is not None and _continues(last, node):
            last = {**last, **node, "text": text(last, "text") + text(node, "text")}
            continue
        if last is not None:
            yield last
        last = node
    if last is not None:
        yield last


def _continues(last: JsonObject, node: JsonObject) -> bool:
    are_texts = "text" in last and "text" in node
    return are_texts and "thoughtSignature" not in last and last.get("thought") == node.get("thought")


def encode_count(count: int) -> JsonObject:
    """Write the answer to a token count."""
    details: list[JsonValue] = [{"modality": "TEXT", "tokenCount": count}]
    return {"totalTokens": count, "promptTokensDetails": details}
