"""Forms with files: ``multipart/form-data``, on bytes.

Contract: RFC 7578 and RFC 2046, section 5.1. A form is a sequence of parts, each with a name and either a
text or a file; a name may repeat, and ``image[]`` is a name like any other.

:class:`FormData` offers what :class:`~cliproxy.wire.jsontext.Document` offers for JSON: the texts as a JSON
object, and a copy in which some of them are replaced while every other part, files above all, keeps its
bytes. Nothing but the heads and the texts is decoded: files stay bytes.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import field, frozen

from cliproxy.wire.jsontext import Changes, Delete, JsonObject, JsonValue, dumps_text

MEDIA_TYPE: Final = "multipart/form-data"
MAX_PARTS: Final = 1000
MAX_HEAD_BYTES: Final = 16 * 1024
"""Longest head of one part."""
UNKNOWN_TYPE: Final = "application/octet-stream"

_BOUNDARY: Final = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_AFTER_DELIMITER: Final = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
_PARAMETER: Final = re.compile(r';\s*([\w*]+)=("(?:[^"\\]|\\.)*"|[^;\s]*)')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class FormError(ValueError):
    """Bytes that are not a form."""


@frozen(kw_only=True)
class Part:
    """One part: a text, or with a ``filename`` a file."""

    name: str
    data: bytes = field(repr=False)
    filename: str | None = None
    mime: str = ""


class FormData:
    """A form: its parts in order, and the bytes they stand in."""

    __slots__ = ("_boundary", "_raw", "_spans", "content_type", "parts", "value")

    def __init__(
        self, raw: bytes, content_type: str, boundary: bytes, parts: Sequence[tuple[Part, int, int]]
    ) -> None:
        self._raw = raw
        self._boundary = boundary
        self._spans = [(start, end) for _, start, end in parts]
        """Where each part stands, from the start of its head to the end of its data."""
        self.content_type = content_type
        self.parts = tuple(part for part, _, _ in parts)
        self.value = _texts(self.parts)
        """The texts by name, as strings; the strings of a name that repeats as a list."""

    @classmethod
    def parse(cls, raw: bytes, content_type: str) -> "FormData":
        """Read a form. Raises :class:`FormError`."""
        boundary = boundary_of(content_type)
        parts: list[tuple[Part, int, int]] = []
        for start, end in _spans(raw, boundary):
            if len(parts) == MAX_PARTS:
                raise FormError(f"the form has more than {MAX_PARTS} parts")
            parts.append((_read_part(raw, start, end), start, end))
        return cls(raw, content_type, boundary, parts)

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "FormData":
        """Write a form. Its boundary is made of the content, so that it occurs in none of the parts."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part.name.encode() + b"\0" + part.data + b"\0")
        boundary = b"cliproxy-" + digest.hexdigest()[:40].encode()
        raw = _joined(boundary, [_head(part) + part.data for part in parts])
        return cls.parse(raw, f"{MEDIA_TYPE}; boundary={boundary.decode()}")

    @property
    def raw(self) -> bytes:
        """The form as received."""
        return self._raw

    @property
    def files(self) -> Iterator[Part]:
        """The parts that are files."""
        return (part for part in self.parts if part.filename is not None)

    def patch(self, changes: Changes) -> bytes:
        """Return the form with some texts replaced, added or removed; the other parts keep their bytes and
        the boundary stays."""
        if not changes:
            return self._raw
        pieces = [
            self._raw[start:end]
            for part, (start, end) in zip(self.parts, self._spans, strict=True)
            if part.name not in changes
        ]
        for name, change in changes.items():
            if not isinstance(change, Delete):
                part = Part(name=name, data=_as_text(change).encode())
                pieces.append(_head(part) + part.data)
        return _joined(self._boundary, pieces)

    def changed(self, changes: Changes) -> "FormData":
        """Return the form with some texts replaced; see :meth:`patch`."""
        return FormData.parse(self.patch(changes), self.content_type)


def is_form(content_type: str) -> bool:
    """Tell whether a content type is that of a form with files."""
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def boundary_of(content_type: str) -> bytes:
    """Return the boundary a content type names. Raises :class:`FormError`."""
    found = _BOUNDARY.search(content_type)
    if not is_form(content_type) or found is None:
        raise FormError(f"the content type names no boundary: send `{MEDIA_TYPE}; boundary=…`")
    return (found[1] or found[2]).encode("latin-1", "replace")


# --- reading ---


def _spans(raw: bytes, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends."""
    start = -1
    for at, after, is_last in _delimiters(raw, b"--" + boundary):
        if start >= 0:
            yield start, at
        start = after
        if is_last:
            return
    raise FormError("the form is cut off" if start >= 0 else "the form does not begin with its boundary")


def _delimiters(raw: bytes, dashed: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield (end of what precedes, start of what follows, whether it is the last) of each delimiter."""
    at = raw.find(dashed)
    while at >= 0:
        is_at_line = at == 0 or raw[at - 2 : at] == b"\r\n"
        after = _AFTER_DELIMITER.match(raw, at + len(dashed))
        if is_at_line and after is not None:
            yield max(at - 2, 0), after.end(), after[1] is not None
        at = raw.find(dashed, at + len(dashed))


def _read_part(raw: bytes, start: int, end: int) -> Part:
    head_end = raw.find(b"\r\n\r\n", start, min(end, start + MAX_HEAD_BYTES))
    if head_end < 0:
        raise FormError("a part of the form has no head")
    headers = _headers(raw[start:head_end])
    kind, _, _ = headers.get("content-disposition", "").partition(";")
    parameters = _parameters(headers.get("content-disposition", ""))
    name = parameters.get("name")
    if kind.strip().lower() != "form-data" or not name:
        raise FormError("a part of the form has no name")
    return Part(
        name=name,
        data=raw[head_end + 4 : end],
        filename=parameters.get("filename", parameters.get("filename*")),
        mime=headers.get("content-type", "").partition(";")[0].strip().lower(),
    )


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("utf-8", "replace").split("\r\n"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _parameters(field_value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(field_value):
        quoted = value.startswith('"')
        found[name.lower()] = _QUOTED_PAIR.sub(r"\1", value[1:-1]) if quoted else value
    return found


def _texts(parts: Sequence[Part]) -> JsonObject:
    found: dict[str, list[JsonValue]] = {}
    for part in parts:
        if part.filename is not None:
            continue
        try:
            found.setdefault(part.name, []).append(part.data.decode("utf-8"))
        except UnicodeDecodeError as exc:
            raise FormError(f"the text of `{part.name}` is not UTF-8") from exc
    return {name: texts if len(texts) > 1 else texts[0] for name, texts in found.items()}


# --- writing ---


def _head(part: Part) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{_quoted(part.name)}"']
    if part.filename is not None:
        lines[0] += f'; filename="{_quoted(part.filename)}"'
        lines.append(f"Content-Type: {part.mime or UNKNOWN_TYPE}")
    return "\r\n".join([*lines, "", ""]).encode()


def _quoted(name: str) -> str:
    """Escape what would end a quoted name, as browsers do."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps_text(value)


def _joined(boundary: bytes, pieces: Sequence[bytes]) -> bytes:
    opening = b"--" + boundary + b"\r\n"
    return b"".join([*(opening + piece + b"\r\n" for piece in pieces), b"--" + boundary + b"--\r\n"])
