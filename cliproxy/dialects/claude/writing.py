"""Parts, written as content blocks of the Claude dialect.

What the API cannot take is left out with a note in the context: sound, moving pictures, images of other types
than the four it reads, files that are neither documents nor text, parts that only another dialect knows.
Image types are told by the data rather than by what the client claims, because the API compares the two.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final

from cliproxy.dialects.claude.reading import ID, RAW
from cliproxy.ir.arguments import as_object
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    Document,
    Extras,
    Image,
    Inline,
    MediaSource,
    Opaque,
    Part,
    Refusal,
    Remote,
    Stored,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps_text, rest

CALL_ID: Final = re.compile(r"[A-Za-z0-9_-]+")

_MAGIC: Final[Mapping[str, str]] = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
}
"""How the base64 text of each image type begins."""
_IMAGE_TYPES: Final = frozenset(_MAGIC.values())
_TEXT_LIKE: Final = re.compile(r"text/.*|application/(?:.+\+)?(?:json|xml|yaml|javascript)")


def own_extras(extras: Extras) -> JsonObject:
    """Return the members that this dialect's decoder had put aside."""
    return rest(extras[ID], RAW) if ID in extras else {}


def with_cache(block: JsonObject, cache: CacheMark | None) -> JsonObject:
    """Add the wish to cache, if there is one."""
    return {**block, "cache_control": cache.raw} if cache is not None else block


def write_text(part: Text) -> JsonObject:
    """Write visible text; a block that was more than text comes back whole."""
    block: JsonObject = {"type": "text", "text": part.text}
    if ID in part.extras:
        raw = part.extras[ID].get(RAW)
        if isinstance(raw, dict):
            return raw
        block |= own_extras(part.extras)
    if part.citations and part.citation_dialect == ID:
        block["citations"] = [*part.citations]
    return with_cache(block, part.cache)


def write_media(part: Image | Document | Audio | Video, ctx: ExchangeContext) -> JsonObject | None:
    """Write an image or a document; ``None`` for what the API does not read."""
    block: JsonObject | None = None
    match part:
        case Image():
            block = _write_image(part)
        case Document():
            block = _write_document(part)
    if block is None:
        ctx.note(f"{type(part).__name__.lower()} content of this type or source was dropped")
    return block


def _write_image(part: Image) -> JsonObject | None:
    source = part.source
    if isinstance(source, Inline):
        mime = _image_type(source)
        if mime.startswith("image/") and mime not in _IMAGE_TYPES:
            return None
        source = Inline(mime, source.data)
    written = _write_source(source)
    if written is None:
        return None
    return with_cache({"type": "image", "source": written, **own_extras(part.extras)}, part.cache)


def _image_type(source: Inline) -> str:
    told = next((mime for start, mime in _MAGIC.items() if source.data.startswith(start)), "")
    claimed = source.mime.lower()
    return told or ("image/jpeg" if claimed == "image/jpg" else claimed)


def _write_source(source: MediaSource) -> JsonObject | None:
    match source:
        case Inline():
            return {"type": "base64", "media_type": source.mime, "data": source.data}
        case Remote(url=url) if url.startswith(("https://", "http://")):
            return {"type": "url", "url": url}
        case Stored(dialect="claude"):
            return {"type": "file", "file_id": source.file_id}
    return None


def _write_document(part: Document) -> JsonObject | None:
    source = part.source
    written = _write_source(source)
    if isinstance(source, Inline):
        if source.mime in _IMAGE_TYPES:
            return _write_image(Image(source, cache=part.cache))
        if _TEXT_LIKE.fullmatch(source.mime.lower()):
            written = _write_plain(source)
        elif not source.mime.lower().startswith("application/"):
            return None
    if written is None:
        return None
    block: JsonObject = {"type": "document", "source": written}
    title = part.title or part.name
    if title:
        block["title"] = title
    if part.context:
        block["context"] = part.context
    return with_cache({**block, **own_extras(part.extras)}, part.cache)


def _write_plain(source: Inline) -> JsonObject | None:
    try:
        plain = base64.b64decode(source.data).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return {"type": "text", "media_type": "text/plain", "data": plain} if plain.strip() else None


def write_call(part: ToolCall, call_id: str, name: str) -> JsonObject:
    """Write a call."""
    block: JsonObject = {"type": "tool_use", "id": call_id, "name": name, "input": as_object(part)}
    return with_cache(block | own_extras(part.extras) if part.extras else block, part.cache)


def write_result(part: ToolResult, ctx: ExchangeContext) -> JsonObject:
    """Write what a tool answered."""
    block: JsonObject = {"type": "tool_result", "tool_use_id": part.call_id, "content": _answer(part, ctx)}
    if part.is_error is not None:
        block["is_error"] = part.is_error
    return with_cache(block | own_extras(part.extras) if part.extras else block, part.cache)


def _answer(part: ToolResult, ctx: ExchangeContext) -> JsonValue:
    if part.value is not None:
        return part.value if isinstance(part.value, str) else dumps_text(part.value)
    match part.parts:
        case [Text() as only] if not (only.citations or only.cache or only.extras):
            return only.text
        case []:
            return ""
    return list(_inner_blocks(part.parts, ctx))


def _inner_blocks(parts: list[Part], ctx: ExchangeContext) -> Iterator[JsonObject]:
    """Write what may stand inside a tool result."""
    for part in parts:
        match part:
            case Text():
                yield write_text(part)
            case Refusal():
                yield {"type": "text", "text": part.text}
            case Image() | Document() | Audio() | Video():
                block = write_media(part, ctx)
                if block is not None:
                    yield block
            case Opaque(dialect="claude"):
                yield part.raw
            case _:
                ctx.note(f"{type(part).__name__} inside a tool result was dropped")
