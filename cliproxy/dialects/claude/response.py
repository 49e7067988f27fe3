"""Whole answers of the Claude dialect.

An answer for a Claude client is made so that the client can send it back with the next request: ids have
the dialect's characters, text is never empty, and a signature that another family made carries a tag.
Signatures of parts that have no slot here (Gemini signs calls and visible text) travel in empty thinking
blocks beside them, but only to clients that asked for thinking and so expect such blocks.
"""

import re
from collections.abc import Iterator
from typing import Final

from cliproxy.dialects.claude.outcome import read_ending, read_usage, write_ending, write_usage
from cliproxy.dialects.claude.reading import ID, extras_of, own_family, read_block
from cliproxy.dialects.claude.reasoning import is_off
from cliproxy.dialects.claude.writing import CALL_ID, own_extras, write_call, write_text
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Family, Opaque, Part, Refusal, Signature, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse
from cliproxy.ir.signatures import Anchor, carry
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, objects, strings, text

MODELLED: Final = ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage")
FOREIGN_CITATIONS: Final = "citations of another dialect were dropped from the answer"
"""A citation here quotes what only a search or a document of this vendor can have made."""
_ODD: Final = re.compile(r"[^A-Za-z0-9_]")
"""What the id of a server-side call must not hold."""


# --- reading ------------------------------------------------------------------------------------------------


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read an answer. Raises :class:`~cliproxy.errors.DialectError` when it is none."""
    if not isinstance(body.get("content"), list):
        raise DialectError("an answer without a list of content blocks", "content")
    family = own_family(ctx)

    def sign(value: str) -> Signature:
        return Signature(value, family)

    parts = [read_block(block, sign) for block in objects(body, "content")]
    return IRResponse(
        id=text(body, "id"),
        model=text(body, "model"),
        choices=[Choice(parts, read_ending(body))],
        usage=read_usage(child(body, "usage")),
        created=int(ctx.now),
        extras=extras_of(body, *MODELLED),
    )


# --- writing ------------------------------------------------------------------------------------------------


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write an answer for a client."""
    if len(response.choices) > 1:
        ctx.note("all answers but the first were dropped")
    choice = response.choices[0] if response.choices else Choice([], Ending(FinishReason.STOP))
    content = [block for part in choice.parts for block in answer_blocks(part, ctx)]
    has_calls = any(isinstance(part, ToolCall) for part in choice.parts)
    has_refusal = any(isinstance(part, Refusal) and part.text for part in choice.parts)
    return {
        **own_extras(response.extras),
        "id": message_id(response.id, ctx),
        "type": "message",
        "role": "assistant",
        "model": ctx.shown_model or response.model or ctx.requested_model,
        "content": [*content],
        **write_ending(choice.ending, has_calls=has_calls, has_refusal=has_refusal),
        "usage": write_usage(response.usage),
    }


def message_id(upstream_id: str, ctx: ExchangeContext) -> str:
    """Return the upstream's id if it is one of this dialect, else a new one."""
    return upstream_id if upstream_id.startswith("msg_") else ctx.new_id("msg_")


def call_id(upstream_id: str, ctx: ExchangeContext) -> str:
    """Return the client's id of a call, in characters that the client may send back."""
    known = ctx.client_call_id(upstream_id)
    if CALL_ID.fullmatch(known):
        return known
    return "".join(char if CALL_ID.fullmatch(char) else "_" for char in known) or ctx.new_id("toolu_")


def carries_signatures(ctx: ExchangeContext) -> bool:
    """Tell whether the client expects thinking blocks, in which it would take signatures along."""
    reasoning = ctx.original.reasoning if ctx.original is not None else None
    return reasoning is not None and not is_off(reasoning)


def hides_thoughts(ctx: ExchangeContext) -> bool:
    """Tell whether the client must see no trace of reasoning, rather than only none of its words."""
    return not ctx.want_thoughts and not carries_signatures(ctx)


def carrier(signature: Signature, anchor: Anchor) -> JsonObject:
    """Write a block that carries the signature of a neighbour."""
    return {"type": "thinking", "thinking": "", "signature": carry(signature, Family.CLAUDE, anchor)}


def answer_blocks(part: Part, ctx: ExchangeContext) -> Iterator[JsonObject]:
    """Write a part of an answer: usually one block, none for what this dialect cannot say."""
    match part:
        case Text() if part.text:
            if part.citations and part.citation_dialect != ID:
                ctx.note(FOREIGN_CITATIONS)
            yield write_text(part)
            if part.signature is not None and carries_signatures(ctx):
                yield carrier(part.signature, Anchor.PREVIOUS_TEXT)
        case Refusal() if part.text:
            yield {"type": "text", "text": part.text}
        case ToolCall():
            if part.signature is not None and carries_signatures(ctx):
                yield carrier(part.signature, Anchor.NEXT_CALL)
            yield write_call(part, call_id(part.id, ctx), ctx.client_tool_name(part.name))
        case Thinking():
            yield from _thought_blocks(part, ctx)
        case Opaque():
            yield from opaque_blocks(part, ctx)
        case Text() | Refusal():
            return
        case _:
            ctx.note(f"a part of type {type(part).__name__} was dropped from the answer")


def _thought_blocks(part: Thinking, ctx: ExchangeContext) -> Iterator[JsonObject]:
    hidden = part.redacted
    if hidden is not None and hidden.family is Family.CLAUDE and not hides_thoughts(ctx):
        yield {"type": "redacted_thinking", "data": hidden.value, **own_extras(part.extras)}
        return
    shown = part.text if ctx.want_thoughts else ""
    signature = part.signature or hidden
    if hides_thoughts(ctx) or (not shown and signature is None):
        return
    # Never absent: the vendor's package reads the member from every such block.
    signed = carry(signature, Family.CLAUDE) if signature is not None else ""
    yield {"type": "thinking", "thinking": shown, "signature": signed, **own_extras(part.extras)}


def opaque_blocks(part: Opaque, ctx: ExchangeContext) -> Iterator[JsonObject]:
    """Write what a server-side tool did. Another dialect's web search becomes the two blocks used here."""
    if part.dialect == ID and text(part.raw, "type"):
        yield part.raw
    elif part.kind == "web_search_call":
        yield from _search_blocks(part.raw, ctx)
    else:
        ctx.note(f"{part.kind} was dropped from the answer")


def _search_blocks(item: JsonObject, ctx: ExchangeContext) -> Iterator[JsonObject]:
    """Write a web search of the Responses dialect: what was looked for, and what was found."""
    action = child(item, "action")
    asked = text(action, "query") or next(iter(strings(action, "queries")), "") or text(item, "query")
    query: JsonObject = {"query": asked} if asked else {}
    known = text(item, "id") or text(item, "call_id")
    # Other ids the vendor would refuse when they come back in the history.
    call = f"srvtoolu_{_ODD.sub('_', known)}" if known else ctx.new_id("srvtoolu_")
    yield {"type": "server_tool_use", "id": call, "name": "web_search", "input": query}
    found = (*objects(action, "sources"), *objects(item, "results"))
    results: list[JsonValue] = [_search_result(source) for source in found if text(source, "url")]
    yield {"type": "web_search_tool_result", "tool_use_id": call, "content": results}


def _search_result(source: JsonObject) -> JsonObject:
    url = text(source, "url")
    title = text(source, "title") or url
    return {"type": "web_search_result", "url": url, "title": title, "page_age": None}
