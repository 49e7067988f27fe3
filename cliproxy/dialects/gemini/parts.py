"""Content parts, in requests and in answers: the one shape both directions share.

A part holds exactly one kind of data (``text``, ``inlineData``, ``functionCall``, …) beside members that any
kind may carry; ``thoughtSignature`` is the important one, and it stays with the part it stands on. A part
that is nothing but a signature signs the part before it.

Members that are not modelled go into the part's extras and come back where they were, including those inside
the data object (``inlineData.displayName``, ``functionResponse.scheduling``). Data of an unknown kind is an
opaque part.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import evolve

from cliproxy.dialects.gemini.spelling import camel
from cliproxy.errors import DialectError
from cliproxy.ir.arguments import as_object
from cliproxy.ir.media import mime_of_name, standard_base64
from cliproxy.ir.request import (
    Audio,
    Document,
    Extras,
    Family,
    Image,
    Inline,
    MediaSource,
    Opaque,
    Part,
    Remote,
    Signature,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.ir.signatures import read
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps_text,
    flag,
    loads,
    objects,
    rest,
    text,
)

DIALECT_ID: Final = "gemini"
"""Also the name under which all relatives keep extras and citations: inside an envelope they are the same."""
CLIENTS: Final = frozenset({DIALECT_ID, "gemini-cli"})
"""Client dialects whose requests and answers are these bodies, bare or in an envelope."""
RELATIVES: Final = CLIENTS | {"antigravity"}
"""Dialects with these bodies, errors included."""

Media = Image | Document | Audio | Video
_MEDIA: Final = (Image, Document, Audio, Video)
TEXTS: Final = (Text, Thinking)

_FETCHABLE: Final = re.compile(
    r"gs://|https://generativelanguage\.googleapis\.com/|https://(www\.)?youtube\.com/|https://youtu\.be/"
)
"""Addresses the upstream reads by itself; it does not fetch from the rest of the web."""

_MIME_OF_SUFFIX: Final[Mapping[str, str]] = {"wav": "audio/wav", "flac": "audio/flac", "webm": "video/webm"}
"""Types the upstream knows by another name than the rest of the world, or that are known to few."""

_TEXT_KEYS: Final = ("output", "result", "content")
"""Where tools put their whole answer when it is one text or one value."""


# --- reading ---


def decode_parts(raw_parts: Iterable[JsonValue], where: str) -> list[Part]:
    """Read the parts of one content. Raises :class:`~cliproxy.errors.DialectError` for what is no part."""
    parts: list[Part] = []
    for number, raw in enumerate(raw_parts):
        if isinstance(raw, str):
            parts.append(Text(raw))
        elif isinstance(raw, dict):
            if len(raw) == 1 and (only := _only(raw)) is not None:
                parts.append(only)
                continue
            node = camel(raw)
            part = decode_part(node)
            if not ("text" not in node and _sign(parts, part)):
                parts.append(part)
        else:
            raise DialectError(f"`{where}[{number}]` must be an object", f"{where}[{number}]")
    return parts


def _only(raw: JsonObject) -> Part | None:
    """Read a part that is one thing and has nothing besides, as nearly all are; ``None`` for any other."""
    ((name, said),) = raw.items()
    if name == "text":
        return Text(said) if isinstance(said, str) else None
    reader = _READERS.get(name)
    return reader(raw, camel(said)) if reader is not None and isinstance(said, dict) else None


def _sign(parts: list[Part], bare: Part) -> bool:
    """Give the signature of a part that is nothing else to the part before it, if that one has none."""
    if not isinstance(bare, TEXTS) or bare.text or bare.signature is None or not parts:
        return False
    last = parts[-1]
    if isinstance(bare, Thinking) and not isinstance(last, Thinking):
        return False
    if isinstance(last, Text | Thinking | ToolCall | Image) and last.signature is None:
        parts[-1] = evolve(last, signature=bare.signature)
        return True
    return False


def decode_part(node: JsonObject) -> Part:
    """Read one part whose names are in their first spelling."""
    if not _KINDS.isdisjoint(node):
        for kind, reader in _READERS.items():
            data = node.get(kind)
            if isinstance(data, dict):
                return reader(node, camel(data))
    value = text(node, "thoughtSignature")
    signature = read(value, Family.GEMINI) if value else None
    is_bare = signature is not None and not node.keys() - {"thoughtSignature", "thought", "text"}
    if not isinstance(node.get("text"), str) and not is_bare:
        return Opaque(DIALECT_ID, next(iter(node), ""), node)
    extras = _extras(node, "text", "thought", "thoughtSignature")
    if flag(node, "thought"):
        return Thinking(text(node, "text"), signature, extras=extras)
    return Text(text(node, "text"), signature=signature, extras=extras)


_CALL_IDS: Final = ("id", "call_id", "callId")
"""Spellings of a call's id that clients use; the first is the vendor's."""


def _call_id(data: JsonObject) -> str:
    for name in _CALL_IDS:
        if name in data and (value := text(data, name)):
            return value
    return ""


_PLAIN_CALL: Final = frozenset({"id", "name", "args"})
_PLAIN_RESULT: Final = frozenset({"id", "name", "response"})
"""All that most calls and results have, in a part that has nothing besides."""


def _read_call(node: JsonObject, data: JsonObject) -> ToolCall:
    given = data.get("args")
    arguments = given if isinstance(given, str) else dumps_text({} if given is None else given)
    written = given if isinstance(given, dict) else None
    if len(node) == 1 and _PLAIN_CALL.issuperset(data):
        return ToolCall(text(data, "id"), text(data, "name"), arguments, written=written)
    return ToolCall(
        _call_id(data),
        text(data, "name"),
        arguments,
        signature=_signature(node),
        extras=_extras(
            node, "functionCall", "thoughtSignature", inner=rest(data, *_CALL_IDS, "name", "args")
        ),
        written=written,
    )


def _read_result(node: JsonObject, data: JsonObject) -> ToolResult:
    parts, value, is_error = _understand(data.get("response"))
    if len(node) == 1 and _PLAIN_RESULT.issuperset(data):
        own: JsonObject = {"functionResponse": {"response": data["response"]}} if "response" in data else {}
        extras = {DIALECT_ID: own} if own else {}
        return ToolResult(text(data, "id"), parts, value, text(data, "name"), is_error, extras=extras)
    media = [decode_part(camel(raw)) for raw in objects(data, "parts")] if "parts" in data else []
    if media:
        said: list[Part] = list(parts) if value is None else [Text(dumps_text(value))]
        parts, value = [*said, *media], None
    kept = _extras(node, "functionResponse", "thoughtSignature", inner=rest(data, *_CALL_IDS, "name"))
    return ToolResult(_call_id(data), parts, value, text(data, "name"), is_error, extras=kept)


def _understand(response: JsonValue) -> tuple[list[Part], JsonValue, bool | None]:
    """Find what a tool said: ``(parts, value, whether it failed)``.

    A response is an object of the tool's own making. By convention a single ``output`` or ``error`` holds the
    whole answer, and clients use ``result`` and ``content`` likewise.
    """
    if isinstance(response, dict) and len(response) == 1:
        key, inner = next(iter(response.items()))
        is_error = True if key == "error" else None
        if key in _TEXT_KEYS or (is_error and isinstance(inner, str)):
            return (
                ([Text(inner)] if inner else [], None, is_error)
                if isinstance(inner, str)
                else ([], inner, None)
            )
    if isinstance(response, str):
        return [Text(response)] if response else [], None, None
    return [], response, None


def _read_inline(node: JsonObject, data: JsonObject) -> Media:
    mime = text(data, "mimeType")
    extras = _extras(node, "inlineData", "thoughtSignature", inner=rest(data, "mimeType", "data"))
    return _media(Inline(mime, standard_base64(text(data, "data"))), mime, _signature(node), extras)


def _read_file(node: JsonObject, data: JsonObject) -> Media:
    mime = text(data, "mimeType")
    uri = text(data, "fileUri")
    extras = _extras(node, "fileData", "thoughtSignature", inner=rest(data, "mimeType", "fileUri"))
    # Marked even when empty: this address came from a client of this dialect, which knows what it may send.
    own = extras.setdefault(DIALECT_ID, {})
    own.setdefault("fileData", {})
    return _media(Remote(uri, mime), mime or mime_of_address(uri), _signature(node), extras)


def _media(source: MediaSource, mime: str, signature: Signature | None, extras: Extras) -> Media:
    match mime.partition("/")[0]:
        case "image":
            return Image(source, extras=extras, signature=signature)
        case "audio":
            return Audio(source, extras=extras)
        case "video":
            return Video(source, extras=extras)
        case _:
            name = text(child(extras.get(DIALECT_ID, {}), "inlineData"), "displayName")
            return Document(source, name=name, extras=extras)


_READERS: Final[Mapping[str, Callable[[JsonObject, JsonObject], Part]]] = {
    "functionCall": _read_call,
    "functionResponse": _read_result,
    "inlineData": _read_inline,
    "fileData": _read_file,
}


_KINDS: Final = frozenset(_READERS)


def _signature(node: JsonObject) -> Signature | None:
    value = text(node, "thoughtSignature")
    return read(value, Family.GEMINI) if value else None


def _extras(node: JsonObject, kind: str, *known: str, inner: JsonObject | None = None) -> Extras:
    """Keep what is not modelled; members inside the data object under its own name."""
    kept = rest(node, kind, *known)
    if inner:
        kept[kind] = inner
    return {DIALECT_ID: kept} if kept else {}


def mime_of_address(address: str) -> str:
    """Tell the type of a file by the end of its address; empty when that says nothing."""
    name = address.partition("?")[0].rpartition("/")[2]
    return _MIME_OF_SUFFIX.get(name.rpartition(".")[2].lower(), "") or mime_of_name(name)


# --- writing ---


def with_extras(node: JsonObject, extras: Extras) -> JsonObject:
    """Put back what the decoder kept; members inside the data object go there."""
    own = extras.get(DIALECT_ID) if extras else None
    if not own:
        return node
    merged = dict(node)
    for name, value in own.items():
        present = merged.get(name)
        if isinstance(present, dict) and isinstance(value, dict):
            merged[name] = {**value, **present}
        elif name not in merged:
            merged[name] = value
    return merged


def encode_media(part: Media) -> JsonObject | None:
    """Write media; ``None`` for what the upstream cannot read: it fetches nothing from the web."""
    match part.source:
        case Inline(mime=mime, data=data):
            inline: JsonObject = {"mimeType": mime or "application/octet-stream", "data": data}
            return with_extras({"inlineData": inline}, part.extras)
        case Remote(url=url, mime=mime) if "fileData" in part.extras.get(DIALECT_ID, {}) or _FETCHABLE.match(
            url
        ):
            return with_extras({"fileData": _file(url, mime or mime_of_address(url))}, part.extras)
        case Stored(file_id=file_id, dialect="gemini"):
            return with_extras({"fileData": _file(file_id, "")}, part.extras)
        case _:
            return None


def _file(uri: str, mime: str) -> JsonObject:
    return {"mimeType": mime, "fileUri": uri} if mime else {"fileUri": uri}


def encode_call(part: ToolCall, **head: JsonValue) -> JsonObject:
    """Write a call as a part, without signature; ``head`` are members to go before the name."""
    return with_extras({"functionCall": {**head, "name": part.name, "args": as_object(part)}}, part.extras)


def encode_result(part: ToolResult, **head: JsonValue) -> tuple[JsonObject, list[Media]]:
    """Write a tool's answer as a part, of which ``head`` says whose it is; media of it come separately."""
    own = part.extras.get(DIALECT_ID)
    if own and isinstance(child(own, "functionResponse").get("response"), dict):
        return with_extras({"functionResponse": head}, part.extras), []
    media = [inner for inner in part.parts if isinstance(inner, _MEDIA)]
    said = "\n\n".join([inner.text for inner in part.parts if isinstance(inner, Text) and inner.text])
    written: JsonObject = {"functionResponse": {**head, "response": _response(part, said)}}
    return with_extras(written, part.extras), media


def _response(part: ToolResult, said: str) -> JsonObject:
    key = "error" if part.is_error else "result"
    value = part.value
    if isinstance(value, dict):
        return {key: value} if part.is_error and "error" not in value else value
    if value is not None:
        return {key: value}
    return {key: said if part.is_error else _structured(said)}


def _structured(said: str) -> JsonValue:
    """Hand a result that is JSON text to the model as the value it stands for."""
    if said.lstrip()[:1] not in {"{", "["}:
        return said
    try:
        return loads(said)
    except JsonError:
        return said
