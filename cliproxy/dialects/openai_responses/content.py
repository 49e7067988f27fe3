"""Content parts: what a message or a tool result holds.

Contract: the OpenAI API reference, "Create a model response", ``input`` → content lists. Users write
``input_text``, ``input_image``, ``input_file``, ``input_audio``; the assistant ``output_text`` and
``refusal``. A part of a type unknown here stays what it is for targets of this wire (:class:`Opaque` whose
kind begins with :data:`CONTENT`) and is dropped, with a note, by others.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.dialects.openai_responses.names import (
    CACHE,
    DIALECT_ID,
    NATIVE,
    as_extras,
    cache_of,
    native_extras,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import (
    audio_format,
    mime_of_audio,
    mime_of_name,
    read_data_url,
    read_url,
    write_data_url,
)
from cliproxy.ir.request import (
    Audio,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Role,
    Stored,
    Text,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, objects, rest, text

CONTENT: Final = "content:"
"""Prefix of the kind of an opaque content part, as opposed to an opaque item."""

_FILE_NAMES: Final[Mapping[str, str]] = {
    "application/pdf": "document.pdf",
    "application/json": "document.json",
    "text/markdown": "document.md",
    "text/csv": "document.csv",
    "text/html": "document.html",
    "text/plain": "document.txt",
}


# --- reading ----------------------------------------------------------------------------------------------


def decode_content(content: JsonValue, ctx: ExchangeContext, param: str) -> list[Part]:
    """Read the content of a message: a text, or a list of parts. Raises :class:`DialectError`."""
    if isinstance(content, str):
        return [Text(content)]
    if content is None:
        return []
    if not isinstance(content, list):
        raise DialectError(f"`{param}` must be a text or a list of content parts", param)
    parts: list[Part] = []
    for index, entry in enumerate(content):
        if isinstance(entry, str):
            parts.append(Text(entry))
            continue
        if not isinstance(entry, dict):
            raise DialectError(f"`{param}[{index}]` must be an object", f"{param}[{index}]")
        part = decode_part(entry, ctx)
        if part is not None:
            parts.append(part)
    return parts


def decode_part(part: JsonObject, ctx: ExchangeContext) -> Part | None:
    """Read one content part; ``None`` for one that holds nothing usable."""
    kind = text(part, "type")
    reader = _READERS.get(kind)
    if reader is None:
        return Opaque(DIALECT_ID, CONTENT + kind, part)
    read = reader(part)
    if read is None:
        ctx.note(f"a part of type {kind} without usable content was dropped")
    return read


def is_recognised(part: JsonValue) -> bool:
    """Tell whether a value is a content part of a known type."""
    return isinstance(part, dict) and text(part, "type") in _READERS


_PLAIN_TEXT: Final = frozenset({"type", "text", "annotations", "logprobs"})


def _read_text(part: JsonObject) -> Part:
    if _PLAIN_TEXT.issuperset(part) and not part.get("annotations"):
        return Text(text(part, "text"))
    annotations = list(objects(part, "annotations")) if part.get("annotations") else []
    return Text(
        text(part, "text"),
        annotations,
        DIALECT_ID if annotations else "",
        cache=cache_of(part),
        extras=as_extras(rest(part, "type", "text", "annotations", "logprobs", CACHE)),
    )


def _read_refusal(part: JsonObject) -> Part:
    return Refusal(text(part, "refusal"))


def _read_image(part: JsonObject) -> Part | None:
    url = text(part, "image_url") or text(child(part, "image_url"), "url")
    file_id = text(part, "file_id")
    source = read_url(url) or (Stored(file_id, DIALECT_ID) if file_id else None)
    detail = text(part, "detail") or text(child(part, "image_url"), "detail")
    if source is None:
        return None
    leftover = rest(part, "type", "image_url", "file_id", "detail", CACHE)
    return Image(source, detail, cache_of(part), as_extras(leftover))


def _read_file(part: JsonObject) -> Part | None:
    mark = cache_of(part)
    part = child(part, "file") or part
    name = text(part, "filename")
    source = _source_of_file(part, name)
    if source is None:
        return None
    leftover = rest(part, "type", "filename", "file_data", "file_url", "file_id", CACHE)
    return Document(source, name=name, cache=mark, extras=as_extras(leftover))


def _source_of_file(part: JsonObject, name: str) -> Inline | Remote | Stored | None:
    data, url, file_id = text(part, "file_data"), text(part, "file_url"), text(part, "file_id")
    if data:
        inline = read_data_url(data)
        mime = mime_of_name(name)
        if inline is None and mime and ":" not in data:
            return Inline(mime, data)
        return inline
    if url:
        return read_url(url, mime_of_name(name) or mime_of_name(url.partition("?")[0]))
    return Stored(file_id, DIALECT_ID) if file_id else None


def _read_audio(part: JsonObject) -> Part | None:
    audio = child(part, "input_audio") or part
    data = text(audio, "data")
    return Audio(Inline(mime_of_audio(text(audio, "format")), data)) if data else None


_READERS: Final[Mapping[str, Callable[[JsonObject], Part | None]]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "summary_text": _read_text,
    "reasoning_text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "image_url": _read_image,
    "input_file": _read_file,
    "file": _read_file,
    "input_audio": _read_audio,
}


# --- writing ----------------------------------------------------------------------------------------------


def encode_part(part: Part, role: Role, ctx: ExchangeContext) -> JsonObject | None:
    """Write one content part of a message; ``None`` for what a message of that role cannot hold."""
    written: JsonObject | None = None
    match part:
        case Text():
            written = _text(part, "output_text" if role == "assistant" else "input_text")
        case Refusal() if role == "assistant":
            written = {"type": "refusal", "refusal": part.text}
        case Refusal():
            written = {"type": "input_text", "text": part.text}
        case Image() if role != "assistant":
            written = _image(part)
        case Document() if role != "assistant":
            written = _file(part)
        case Audio(source=Inline() as source) if role != "assistant":
            sound: JsonObject = {"data": source.data, "format": audio_format(source.mime)}
            written = {"type": "input_audio", "input_audio": sound}
        case Opaque() if part.dialect in NATIVE and part.kind.startswith(CONTENT):
            written = part.raw
    if written is None:
        ctx.note(f"{type(part).__name__.lower()} content of a message ({role}) was dropped")
    return written


def _text(part: Text, kind: str) -> JsonObject:
    written: JsonObject = {"type": kind, "text": part.text}
    if part.extras:
        written |= native_extras(part.extras)
    if part.citations and part.citation_dialect in NATIVE:
        written["annotations"] = [*part.citations]
    return written


def _image(part: Image) -> JsonObject | None:
    written: JsonObject = {"type": "input_image", **native_extras(part.extras)}
    match part.source:
        case Inline():
            written["image_url"] = write_data_url(part.source)
        case Remote():
            written["image_url"] = part.source.url
        case Stored(dialect=dialect) if dialect in NATIVE:
            written["file_id"] = part.source.file_id
        case _:
            return None
    if part.detail:
        written["detail"] = part.detail
    return written


def _file(part: Document) -> JsonObject | None:
    written: JsonObject = {"type": "input_file", **native_extras(part.extras)}
    name = part.name or part.title
    match part.source:
        case Inline(mime=mime):
            written["filename"] = name or _FILE_NAMES.get(mime, "document")
            written["file_data"] = write_data_url(part.source)
            return written
        case Remote():
            written["file_url"] = part.source.url
        case Stored(dialect=dialect) if dialect in NATIVE:
            written["file_id"] = part.source.file_id
        case _:
            return None
    if part.name:
        written["filename"] = part.name
    return written
