"""What the emulated models of both vendors make besides text: pictures and vectors, the same ones every time.

Also the reading of forms, with the standard library's own parser, so that nothing of the proxy is trusted.
"""

import hashlib
import struct
import zlib
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP

from attrs import frozen

from emulators.values import Request

VECTOR_LENGTH = 8
SIGNATURES = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))


def png(number: int) -> bytes:
    """A picture of one pixel; other numbers have other colours."""
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = b"\0" + bytes((number * 40 % 256, 80, 160))
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(pixel)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def kind_of(data: bytes) -> str | None:
    """The MIME type of a picture, seen from its beginning."""
    return next((mime for start, mime in SIGNATURES if data.startswith(start)), None)


def vector(text: str, length: int | None = None) -> list[float]:
    """A vector of numbers that 32-bit floats can hold exactly."""
    wanted = length or VECTOR_LENGTH
    digits = b""
    while len(digits) < wanted:
        digits += hashlib.sha256(f"{len(digits)} {text}".encode()).digest()
    return [(digit - 128) / 128 for digit in digits[:wanted]]


@frozen(kw_only=True)
class File:
    """One file of a form."""

    name: str
    filename: str
    mime: str
    data: bytes


@frozen(kw_only=True)
class Form:
    """A form: texts by name, and files."""

    texts: dict[str, str]
    files: list[File]


def read_form(request: Request) -> Form:
    """Read a `multipart/form-data` body; raises ValueError for anything else."""
    kind = request.header("content-type") or ""
    message = BytesParser(policy=HTTP).parsebytes(
        b"content-type: " + kind.encode() + b"\r\n\r\n" + request.body
    )
    if message.get_content_type() != "multipart/form-data" or not message.is_multipart() or message.defects:
        msg = f"not a form: {message.defects}"
        raise ValueError(msg)
    form = Form(texts={}, files=[])
    for part in message.iter_parts():
        _take(part, form)
    return form


def _take(part: Message, form: Form) -> None:
    name = part.get_param("name", header="content-disposition")
    data = part.get_payload(decode=True)
    if not isinstance(name, str) or not isinstance(data, bytes):
        msg = "a part has no name or no content"
        raise ValueError(msg)
    filename = part.get_filename()
    if filename is None:
        form.texts[name] = data.decode()
    else:
        mime = part.get_content_type() if part["content-type"] else ""
        form.files.append(File(name=name, filename=filename, mime=mime, data=data))
