"""Content blocks of the Claude dialect, read into parts.

Requests and answers share their blocks. They differ in how a signature is taken: one that comes from a client
may carry our tag or belong to another part (see :mod:`cliproxy.ir.signatures`); one that comes from an
upstream is that upstream's own, whatever it looks like. The caller therefore hands in a :data:`Sign`.

A block of a type that only this dialect knows becomes an :class:`~cliproxy.ir.request.Opaque` part, members
nobody models go into the extras of their node, and both are written back toward an upstream of this dialect.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from attrs import evolve

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    CacheMark,
    Document,
    Extras,
    Family,
    Image,
    Inline,
    MediaSource,
    Opaque,
    Part,
    Remote,
    Role,
    Signature,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.signatures import Anchor, read, read_anchored
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, dumps_text, flag, items, objects, rest, text

ID: Final = "claude"
SEARCHED: Final = "web_search_tool_result"
RAW: Final = "raw"
"""Extras member with a whole wire object, where the part is only what other dialects understand of it."""

_BARE: Final = 2
"""Members of a text block that is nothing but text, as nearly all are."""
_PLAIN_CALL: Final = frozenset({"type", "id", "name", "input"})
_PLAIN_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error"})
"""All that most calls and results have."""

Sign: TypeAlias = Callable[[str], Signature]


def extras_of(obj: JsonObject, *modelled: str) -> Extras:
    """Return the members of a wire object that the hub has no place for."""
    for key in obj:
        if key not in modelled:
            return {ID: rest(obj, *modelled)}
    return {}


def cache_mark(obj: JsonObject) -> CacheMark | None:
    """Read the wish to cache the prompt up to here."""
    raw = obj.get("cache_control")
    return CacheMark(raw) if isinstance(raw, dict) else None


def own_family(ctx: ExchangeContext) -> Family:
    """Return the family whose signatures an upstream of this dialect makes and takes.

    A model nobody knows is presumed to behave like the dialect's own.
    """
    return Family.CLAUDE if ctx.upstream_family is Family.UNKNOWN else ctx.upstream_family


def client_signature(value: str) -> Signature:
    """Read a signature that a client sends back."""
    return read(value, Family.CLAUDE)


# --- lists of blocks ----------------------------------------------------------------------------------------


def read_content(content: JsonValue, role: Role, where: str, ctx: ExchangeContext) -> list[Part]:
    """Read the content of a message in a request. Raises :class:`~cliproxy.errors.DialectError`."""
    if isinstance(content, str):
        return [Text(content)]
    if content is None:
        return []
    if not isinstance(content, list):
        raise DialectError(f"{where}: must be a string or a list of content blocks", where)
    parts: list[Part] = []
    carried: dict[Anchor, Signature] = {}
    for number, block in enumerate(content):
        if isinstance(block, str):
            parts.append(Text(block))
            continue
        if not isinstance(block, dict):
            raise DialectError(f"{where}.{number}: must be a content block", f"{where}.{number}")
        kind = text(block, "type")
        if kind == SEARCHED and role == "assistant":
            parts.append(_read_search(block))
        elif kind != "thinking" or not _takes_along(block, parts, carried):
            reader = _READERS.get(kind)
            part = reader(block) if reader is not None else read_block(block, client_signature)
            parts.append(_with_carried(part, carried) if carried else part)
    if role == "user" and Thinking in map(type, parts):
        ctx.note("thinking in a user message was ignored")
        parts = [part for part in parts if not isinstance(part, Thinking)]
    return parts


def _takes_along(block: JsonObject, parts: list[Part], carried: dict[Anchor, Signature]) -> bool:
    """Deal with a thought that only carries the signature of another part; tell whether this was one."""
    if text(block, "thinking"):
        return False
    signature, anchor = read_anchored(text(block, "signature"), Family.CLAUDE)
    match anchor:
        case Anchor.OWN:
            return False
        case Anchor.NEXT_CALL | Anchor.NEXT_TEXT:
            carried[anchor] = signature
        case _:
            wanted = ToolCall if anchor is Anchor.PREVIOUS_CALL else Text
            at = next((at for at in reversed(range(len(parts))) if isinstance(parts[at], wanted)), None)
            if at is not None:
                parts[at] = _signed(parts[at], signature)
    return True


def _with_carried(part: Part, carried: dict[Anchor, Signature]) -> Part:
    anchor = Anchor.NEXT_CALL if isinstance(part, ToolCall) else Anchor.NEXT_TEXT
    return _signed(part, carried.pop(anchor)) if anchor in carried else part


def _signed(part: Part, signature: Signature) -> Part:
    return evolve(part, signature=signature) if isinstance(part, ToolCall | Text) else part


# --- one block ----------------------------------------------------------------------------------------------


def read_block(block: JsonObject, sign: Sign) -> Part:
    """Read a content block of a message, a tool result or an answer."""
    kind = text(block, "type")
    reader = _READERS.get(kind)
    if reader is not None:
        return reader(block)
    match kind:
        case "thinking":
            value = text(block, "signature")
            signature = sign(value) if value else None
            extras = extras_of(block, "type", "thinking", "signature")
            return Thinking(text(block, "thinking"), signature, extras=extras)
        case "redacted_thinking":
            extras = extras_of(block, "type", "data")
            return Thinking(redacted=sign(text(block, "data")), extras=extras)
    return Opaque(ID, kind, block)


def _read_text(block: JsonObject) -> Part:
    if len(block) == _BARE and "text" in block:
        return Text(text(block, "text"))
    citations = list(objects(block, "citations")) if "citations" in block else []
    extras = extras_of(block, "type", "text", "cache_control", "citations")
    return Text(
        text(block, "text"), citations, ID if citations else "", cache=cache_mark(block), extras=extras
    )


def _read_image(block: JsonObject) -> Part:
    source = _source(child(block, "source"))
    if source is None:
        return Opaque(ID, "image", block)
    extras = extras_of(block, "type", "source", "cache_control")
    return Image(source, cache=cache_mark(block), extras=extras)


def _source(source: JsonObject) -> MediaSource | None:
    match text(source, "type"):
        case "base64":
            mime = text(source, "media_type") or text(source, "mime_type") or "application/octet-stream"
            return Inline(mime, text(source, "data") or text(source, "base64"))
        case "url":
            return Remote(text(source, "url"))
        case "file":
            return Stored(text(source, "file_id"), ID)
    return None


def _read_document(block: JsonObject) -> Part:
    wire = child(block, "source")
    extras = extras_of(block, "type", "source", "title", "context", "cache_control")
    match text(wire, "type"):
        case "text":
            source: MediaSource | None = _plain(text(wire, "data"))
        case "content":
            source = _plain(_text_of(wire.get("content")))
            extras = {ID: {**extras.get(ID, {}), "source": wire}}
        case _:
            source = _source(wire)
    if source is None:
        return Opaque(ID, "document", block)
    title = text(block, "title")
    return Document(source, title, title, text(block, "context"), cache_mark(block), extras)


def _plain(content: str) -> Inline:
    return Inline("text/plain", base64.b64encode(content.encode("utf-8", "surrogatepass")).decode("ascii"))


def _text_of(content: JsonValue) -> str:
    """Return the words of nested content."""
    if isinstance(content, str):
        return content
    return "\n\n".join(text(block, "text") for block in objects({"content": content}, "content"))


def _read_search_result(block: JsonObject) -> Part:
    shown = "\n".join(filter(None, (text(block, "title"), _text_of(items(block, "content")))))
    return Text(shown, cache=cache_mark(block), extras={ID: {RAW: block}})


def _read_search(block: JsonObject) -> Part:
    """Read what a web search of the past found.

    Other models learn of the pages as words of the assistant; what stood on them is encrypted.
    """
    found = [page for page in objects(block, "content") if text(page, "url")]
    if not found:
        return Opaque(ID, SEARCHED, block)
    lines = [f"- {text(page, 'title') or 'page'}: {text(page, 'url')}" for page in found]
    return Text("\n".join(("[web search results]", *lines)), extras={ID: {RAW: block}})


def _read_tool_use(block: JsonObject) -> Part:
    given = block.get("input")
    written = given if isinstance(given, dict) else None
    call = ToolCall(text(block, "id"), text(block, "name"), arguments_of(given), written=written)
    if not _PLAIN_CALL.issuperset(block):
        call.cache = cache_mark(block)
        call.extras = extras_of(block, *_PLAIN_CALL, "cache_control")
    return call


def arguments_of(value: JsonValue) -> str:
    """Return a call's input as the text the hub keeps; numbers and the order of keys survive."""
    if value is None:
        return "{}"
    return value if isinstance(value, str) else dumps_text(value)


def _read_tool_result(block: JsonObject) -> Part:
    content = block.get("content")
    parts: list[Part] = []
    value: JsonValue = None
    if isinstance(content, str):
        parts = [Text(content)] if content else []
    elif isinstance(content, list):
        parts = [*_read_inner(content)]
    elif isinstance(content, dict) and text(content, "type"):
        parts = [read_block(content, client_signature)]
    else:
        value = content
    result = ToolResult(text(block, "tool_use_id"), parts, value, is_error=flag(block, "is_error"))
    if not _PLAIN_RESULT.issuperset(block):
        result.cache = cache_mark(block)
        result.extras = extras_of(block, *_PLAIN_RESULT, "cache_control")
    return result


def _read_inner(content: list[JsonValue]) -> Iterator[Part]:
    for inner in content:
        if isinstance(inner, str):
            yield Text(inner)
        elif isinstance(inner, dict):
            yield read_block(inner, client_signature)


_READERS: Final[Mapping[str, Callable[[JsonObject], Part]]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_search_result,
    "tool_use": _read_tool_use,
    "tool_result": _read_tool_result,
}
