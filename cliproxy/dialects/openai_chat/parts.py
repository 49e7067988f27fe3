"""Content parts: what a message holds.

Contract: OpenAI API reference, "Create chat completion", ``messages[].content``: a text, or a list of parts
of type ``text``, ``image_url``, ``input_audio``, ``file`` and, for assistants, ``refusal``. Three additions
of compatible servers are understood as well: ``video_url``, ``thinking`` parts, and ``cache_control`` on any
part. A part of another type stays what it is for targets of this dialect (:class:`Opaque`).
"""

from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.dialects.openai_chat.names import (
    DIALECT_ID,
    RESPONSES_ID,
    as_extras,
    is_from_chat,
    is_vendors_own,
    own,
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
    write_url,
)
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    Document,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Remote,
    Stored,
    Text,
    Thinking,
    Video,
)
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, items, loads, rest, text

CACHE: Final = "cache_control"

_DETAILS: Final[Mapping[str, str]] = {"original": "high"}
"""Image details of other dialects that have another name here."""
_BARE: Final = 2
"""Members of a text part that is nothing but text, as nearly all are."""
_KNOWN_DETAILS: Final = frozenset({"auto", "low", "high"})
_VENDOR_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_FILE_STORES: Final = frozenset({DIALECT_ID, RESPONSES_ID, "codex"})
_FILE_NAMES: Final[Mapping[str, str]] = {
    "application/pdf": "document.pdf",
    "text/plain": "document.txt",
    "text/markdown": "document.md",
    "text/csv": "document.csv",
    "application/json": "document.json",
}


# --- reading ---


def decode_content(content: JsonValue, ctx: ExchangeContext, where: str) -> list[Part]:
    """Read the content of a message. Raises :class:`DialectError`."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        raise DialectError(f"`{where}` must be a string or a list of content parts", where)
    parts: list[Part] = []
    for index, entry in enumerate(content):
        if isinstance(entry, str):
            parts.append(Text(entry))
        elif not isinstance(entry, dict):
            raise DialectError(f"`{where}[{index}]` must be an object", f"{where}[{index}]")
        elif (part := decode_part(entry, ctx)) is not None:
            parts.append(part)
    return parts


def decode_part(entry: JsonObject, ctx: ExchangeContext) -> Part | None:
    """Read one content part; ``None`` for one that holds nothing usable."""
    kind = text(entry, "type") or ("text" if "text" in entry else "")
    reader = _READERS.get(kind)
    if reader is None:
        return Opaque(DIALECT_ID, kind, entry)
    part = reader(entry)
    if part is None:
        ctx.note(f"a part of type {kind} without usable content was dropped")
    return part


def cache_of(node: JsonObject) -> CacheMark | None:
    """Read the wish to cache the prompt up to here."""
    mark = node.get(CACHE)
    return CacheMark(mark) if mark and isinstance(mark, dict) else None


def _read_text(entry: JsonObject) -> Part:
    if len(entry) == _BARE and "type" in entry and "text" in entry:
        return Text(text(entry, "text"))
    extras = as_extras(rest(entry, "type", "text", CACHE))
    return Text(text(entry, "text"), cache=cache_of(entry), extras=extras)


def _read_refusal(entry: JsonObject) -> Part:
    return Refusal(text(entry, "refusal"))


def _read_thinking(entry: JsonObject) -> Part | None:
    said = entry.get("thinking")
    joined = said if isinstance(said, str) else "".join(text_of(piece) for piece in items(entry, "thinking"))
    return Thinking(joined) if joined else None


def text_of(piece: JsonValue) -> str:
    """Return the text of something that is a text or has one."""
    if isinstance(piece, str):
        return piece
    return text(piece, "text") if isinstance(piece, dict) else ""


def _read_image(entry: JsonObject) -> Part | None:
    described = child(entry, "image_url")
    source = read_url(text(described, "url") or text(entry, "image_url"))
    if source is None:
        return None
    detail = text(described, "detail") or text(entry, "detail")
    extras = as_extras(rest(entry, "type", "image_url", "detail", CACHE))
    return Image(source, detail, cache_of(entry), extras)


def _read_audio(entry: JsonObject) -> Part | None:
    sound = child(entry, "input_audio")
    data = text(sound, "data")
    if not data:
        return None
    source = read_data_url(data) or Inline(mime_of_audio(text(sound, "format")), data)
    return Audio(source, as_extras(rest(entry, "type", "input_audio")))


def _read_video(entry: JsonObject) -> Part | None:
    source = read_url(text(child(entry, "video_url"), "url") or text(entry, "video_url"))
    return Video(source, as_extras(rest(entry, "type", "video_url"))) if source is not None else None


def _read_file(entry: JsonObject) -> Part | None:
    file = child(entry, "file")
    name = text(file, "filename")
    source = _source_of_file(file, name)
    if source is None:
        return None
    extras = as_extras(rest(entry, "type", "file", CACHE))
    return Document(source, name, cache=cache_of(entry), extras=extras)


def _source_of_file(file: JsonObject, name: str) -> Inline | Remote | Stored | None:
    """Return where a file is: a data URL, another URL, bare base64 of a type the name tells, or an upload."""
    data, file_id = text(file, "file_data"), text(file, "file_id")
    mime = mime_of_name(name)
    if "://" in data[:12] or data[:5].lower() == "data:":
        return read_url(data, mime)
    if data:
        return Inline(mime, data) if mime else None
    return Stored(file_id, DIALECT_ID) if file_id else None


_READERS: Final[Mapping[str, Callable[[JsonObject], Part | None]]] = {
    "text": _read_text,
    "input_text": _read_text,
    "output_text": _read_text,
    "image_url": _read_image,
    "input_image": _read_image,
    "input_audio": _read_audio,
    "file": _read_file,
    "video_url": _read_video,
    "refusal": _read_refusal,
    "thinking": _read_thinking,
}


def parts_in_text(said: JsonValue) -> JsonValue:
    """Return the list of parts that some clients put into a tool result as text; else the value itself."""
    if not isinstance(said, str) or not said.lstrip().startswith("[{"):
        return said
    try:
        listed = loads(said)
    except JsonError:
        return said
    is_content = isinstance(listed, list) and all(
        isinstance(entry, dict) and text(entry, "type") in _READERS for entry in listed
    )
    return listed if is_content else said


# --- writing ---


def encode_content(parts: list[Part], ctx: ExchangeContext) -> JsonValue:
    """Write the content of a message: a string for a single plain text, which every server understands."""
    written = [entry for part in parts if (entry := encode_part(part, ctx)) is not None]
    if len(written) == 1 and written[0].keys() == {"type", "text"}:
        return written[0]["text"]
    return [*written] if written else ""


def encode_part(part: Part, ctx: ExchangeContext) -> JsonObject | None:
    """Write one content part of a user's or a tool's message; ``None`` for what has no place in one."""
    is_refused = is_vendors_own(ctx) and not is_from_chat(ctx) and _is_refused(part)
    written = None if is_refused else _encoded(part)
    if written is None:
        ctx.note(f"{type(part).__name__.lower()} content was dropped")
        return None
    if is_from_chat(ctx) and isinstance(part, Text | Image | Document) and part.cache is not None:
        written[CACHE] = part.cache.raw
    return written


def _encoded(part: Part) -> JsonObject | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text, **own(part.extras)}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Image():
            return _image(part)
        case Audio(source=Inline() as source):
            sound: JsonObject = {"data": source.data, "format": audio_format(source.mime)}
            return {"type": "input_audio", "input_audio": sound, **own(part.extras)}
        case Video():
            url = write_url(part.source)
            return {"type": "video_url", "video_url": {"url": url}, **own(part.extras)} if url else None
        case Document():
            return _file(part)
        case Opaque(dialect=dialect) if dialect == DIALECT_ID:
            return dict(part.raw)
        case _:
            return None


def _is_refused(part: Part) -> bool:
    """Whether the vendor's own models refuse a part that compatible servers take."""
    match part:
        case Video():
            return True
        case Audio(source=Inline(mime=mime)):
            return audio_format(mime) not in {"wav", "mp3"}
        case Image(source=Inline(mime=mime)):
            return mime not in _VENDOR_IMAGES
        case Document(source=Remote()):
            return True
        case _:
            return False


def _image(part: Image) -> JsonObject | None:
    url = write_url(part.source)
    if not url:
        return None
    described: JsonObject = {"url": url}
    detail = _DETAILS.get(part.detail, part.detail)
    if detail in _KNOWN_DETAILS:
        described["detail"] = detail
    return {"type": "image_url", "image_url": described, **own(part.extras)}


def _file(part: Document) -> JsonObject | None:
    file: JsonObject = {}
    name = part.name or part.title
    match part.source:
        case Inline(mime=mime):
            file = {
                "filename": name or _FILE_NAMES.get(mime, "document"),
                "file_data": write_data_url(part.source),
            }
        case Remote(url=url):
            file = {"filename": name, "file_data": url} if name else {"file_data": url}
        case Stored(dialect=dialect) if dialect in _FILE_STORES:
            file = {"file_id": part.source.file_id}
        case _:
            return None
    return {"type": "file", "file": file, **own(part.extras)}
