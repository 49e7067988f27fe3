"""Reasoning signatures: who made one, how it travels through a foreign dialect, and whether it may return.

A signature is an opaque proof that only the vendor that made it can check. Sent to another vendor it costs
the whole request (a 400), so its origin must survive the way to the client and back. Three sources tell it,
strongest first:

* **our own tag.** A signature that leaves in a slot of another family's dialect is written
  ``family#value``; the tag is trusted on the way back. A slot that does not belong to the signed part itself
  adds where that part is: ``gemini.next-call#value`` (see :class:`Anchor`). Gemini's slot is of type bytes:
  its vendor's clients refuse an answer whose signature is not base64, so there the tagged text is base64;
* **the value's shape**, because clients replay histories recorded without this server;
* **the slot** it came in: a Claude ``signature`` is Claude's unless something says otherwise.

The shapes overlap in one place. Claude's older signatures are a single length-delimited protobuf record,
exactly like Gemini's, so that shape proves nothing in Claude's own slot and decides everywhere else.

:func:`replay` says what a target family accepts. Chat has no slot for signatures; its encoder keeps the text.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, assert_never

from cliproxy.ir.request import Family, Signature
from cliproxy.wire.jsontext import JsonValue, text

GEMINI_PLACEHOLDER: Final = "skip_thought_signature_validator"
"""Published by the vendor: stands in for a signature Gemini demands and nobody has."""

_PLACEHOLDERS: Final = frozenset({GEMINI_PLACEHOLDER, "context_engineering_is_the_way_to_go"})

_FAMILY_OF_TAG: Final[Mapping[str, Family]] = {
    "claude": Family.CLAUDE,
    "anthropic": Family.CLAUDE,
    "gemini": Family.GEMINI,
    "google": Family.GEMINI,
    "gpt": Family.GPT,
    "openai": Family.GPT,
    "codex": Family.GPT,
    "kimi": Family.KIMI,
    "grok": Family.GROK,
    "unknown": Family.UNKNOWN,
}
_TAG: Final = re.compile(r"([a-z]+)(?:\.([a-z-]+))?#", re.IGNORECASE)
_WRAPPED_TAG: Final = 40
"""Base64 characters that hold the longest tag."""

_WORDS_OF_FAMILY: Final[Mapping[Family, tuple[str, ...]]] = {
    Family.CLAUDE: ("claude",),
    Family.GEMINI: ("gemini",),
    Family.GPT: ("gpt", "openai", "codex"),
    Family.KIMI: ("kimi", "moonshot"),
    Family.GROK: ("grok",),
}
_PREFIXES_OF_FAMILY: Final[Mapping[Family, tuple[str, ...]]] = {
    Family.GPT: ("o1", "o3", "o4"),
    Family.KIMI: ("k2", "k3"),
}

_FERNET_OVERHEAD: Final = 57
"""Version, time stamp, initialisation vector and MAC of a Fernet token; the rest is AES blocks."""
_AES_BLOCK: Final = 16
_KIMI_LENGTHS: Final = frozenset({4340, 12946})
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_UUID: Final = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FIELD_1_VARINT: Final = 0x08
_FIELD_2_RECORD: Final = 0x12
_FERNET_VERSION: Final = 0x80
_VARINT_MORE: Final = 0x80


class Anchor(StrEnum):
    """The part a signature belongs to, when the slot it travels in is not that part's own.

    Gemini signs function calls and visible text; Claude and Responses have slots on reasoning only. The
    signature then travels in a reasoning block of its own beside the part, without any text.
    """

    OWN = ""
    NEXT_CALL = "next-call"
    NEXT_TEXT = "next-text"
    PREVIOUS_CALL = "previous-call"
    PREVIOUS_TEXT = "previous-text"


class Replay(StrEnum):
    """What to do with a signed part of the history on its way to a target family."""

    KEEP = "keep"
    STRIP = "strip"
    """Keep what is readable, without the signature. A call to Gemini takes :data:`GEMINI_PLACEHOLDER`."""
    DROP = "drop"
    """Leave the whole reasoning part out: the target takes no unsigned reasoning."""


def family_of_model(name: str) -> Family:
    """Tell from its name whose signatures a model verifies, for models the catalogue says nothing about."""
    lowered = name.lower()
    for family, words in _WORDS_OF_FAMILY.items():
        if any(word in lowered for word in words):
            return family
    last = lowered.rpartition("/")[2]
    for family, prefixes in _PREFIXES_OF_FAMILY.items():
        if last.startswith(prefixes):
            return family
    return Family.UNKNOWN


def carry(signature: Signature, native: Family, anchor: Anchor = Anchor.OWN) -> str:
    """Write a signature for a client whose dialect's slots belong to ``native``, tagged only if need be."""
    fits = native is not Family.GEMINI or _is_strict_base64(signature.value)
    if fits and anchor is Anchor.OWN and read(signature.value, native) == signature:
        return signature.value
    side = f".{anchor}" if anchor else ""
    tagged = f"{signature.family}{side}#{signature.value}"
    if native is Family.GEMINI:
        return base64.b64encode(tagged.encode("utf-8", "surrogatepass")).decode("ascii")
    return tagged


def read(value: str, default_family: Family) -> Signature:
    """Read a signature out of a slot that belongs to ``default_family``."""
    return read_anchored(value, default_family)[0]


def read_anchored(value: str, default_family: Family) -> tuple[Signature, Anchor]:
    """Read a signature and where the part it belongs to stands."""
    value = _unwrapped(value)
    tag = _TAG.match(value)
    if tag is not None and (family := _FAMILY_OF_TAG.get(tag[1].lower())) is not None:
        side = tag[2] or ""
        if side in frozenset(Anchor):
            return Signature(value[tag.end() :], family), Anchor(side)
    if "#" in value:
        return Signature(value, Family.UNKNOWN), Anchor.OWN
    if default_family is Family.GEMINI:
        value = _respelled(value)
    return Signature(value, _family_in_slot(value, default_family)), Anchor.OWN


def _respelled(value: str) -> str:
    """Return another vendor's signature in that vendor's own base64.

    Gemini's slot is of type bytes, which its vendor's clients write in either alphabet, whatever they were
    given; the other vendors compare text.
    """
    standard = value.replace("-", "+").replace("_", "/")
    if shape_of(standard) is Family.CLAUDE:
        return standard
    url_safe = value.replace("+", "-").replace("/", "_")
    return url_safe if shape_of(url_safe) is Family.GPT else value


def _unwrapped(value: str) -> str:
    """Return the tagged text inside a value for a slot of type bytes; any other value as it is."""
    head = _decoded(value[:_WRAPPED_TAG]).decode("latin-1")
    if _TAG.match(head) is None:
        return value
    try:
        return _decoded(value).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return value


def _family_in_slot(value: str, default_family: Family) -> Family:
    shape = shape_of(value)
    if shape is None or (shape is Family.GEMINI and default_family is Family.CLAUDE):
        return default_family
    return shape


def shape_of(value: str) -> Family | None:
    """Recognise an untagged value by its shape. ``None``: nothing speaks for any family."""
    if value in _PLACEHOLDERS:
        return Family.GEMINI
    shape: Family | None = None
    match value[:1]:
        case "g" if _is_fernet(value):
            shape = Family.GPT
        case "E" | "R":
            shape = _shape_of_record(value)
        case "C" if (data := _decoded(value)) and data[0] == _FIELD_1_VARINT and b"claude-" in data:
            shape = Family.CLAUDE
    if shape is None and len(value) in _KIMI_LENGTHS and _BASE64.fullmatch(value) and not value.endswith("="):
        return Family.KIMI
    return shape


def _is_fernet(value: str) -> bool:
    if not value.startswith("gAAAA") or "+" in value or "/" in value:
        return False
    data = _decoded(value)
    blocks = len(data) - _FERNET_OVERHEAD
    return bool(data) and data[0] == _FERNET_VERSION and blocks > 0 and blocks % _AES_BLOCK == 0


def _shape_of_record(value: str) -> Family | None:
    data = _decoded(value)
    if value.startswith("R"):
        # Claude's second form is the first one encoded once more.
        data = _decoded(data.decode("latin-1")) if data.startswith(b"E") else b""
    if not data or data[0] != _FIELD_2_RECORD:
        return None
    if b"claude" in data:
        return Family.CLAUDE
    inner = _single_record(data)
    if value.startswith("R") or inner is None:
        return None
    # Gemini's own servers hand out bare identifiers in some places; they are refused when they come back.
    return Family.UNKNOWN if _UUID.fullmatch(inner) else Family.GEMINI


def _single_record(data: bytes) -> bytes | None:
    """Return the content of a length-delimited record that fills ``data``, or ``None``."""
    length = shift = 0
    for at, byte in enumerate(data[1:6], start=2):
        length |= (byte & ~_VARINT_MORE) << shift
        shift += 7
        if not byte & _VARINT_MORE:
            return data[at:] if length == len(data) - at else None
    return None


def _is_strict_base64(value: str) -> bool:
    """Tell whether even a strict reader takes a value: padded, and without stray bits at the end."""
    plain = value.replace("-", "+").replace("_", "/")
    return bool(value) and base64.b64encode(_decoded(value)).decode("ascii") == plain


def _decoded(value: str) -> bytes:
    """Decode base64 of either alphabet, padded or not; empty when it is neither."""
    if not _BASE64.fullmatch(value):
        return b""
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return b""


def replay(signature: Signature | None, target: Family) -> Replay:
    """Decide what becomes of a reasoning part, or of another signed part, toward a model of ``target``."""
    if signature is not None and signature.value and signature.family is target is not Family.UNKNOWN:
        return Replay.KEEP
    match target:
        case Family.CLAUDE | Family.GPT | Family.GROK:
            return Replay.DROP
        case Family.GEMINI | Family.KIMI | Family.UNKNOWN:
            return Replay.STRIP
        case _:
            assert_never(target)


_SLOTS: Final[Mapping[str, tuple[str, ...]]] = {
    "thinking": ("signature",),
    "redacted_thinking": ("data",),
    "reasoning": ("encrypted_content",),
}
"""Where signatures stand, by the type of the object; Gemini's parts have no type."""
_SLOTS_OF_PARTS: Final = ("thoughtSignature", "thought_signature")


def has_foreign_signature(body: JsonValue, target: Family) -> bool:
    """Tell whether a raw body of ``target``'s own dialect holds a signature that ``target`` would refuse.

    Such a request must not be passed through as it is, however equal the dialects are.
    """
    pending: list[JsonValue] = [body]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            values = (text(node, slot) for slot in _SLOTS.get(text(node, "type"), _SLOTS_OF_PARTS))
            if any(value and _is_foreign(value, target) for value in values):
                return True
            pending.extend(value for value in node.values() if isinstance(value, dict | list))
    return False


def _is_foreign(value: str, target: Family) -> bool:
    signature, anchor = read_anchored(value, target)
    return signature.family is not target or anchor is not Anchor.OWN or signature.value != value
