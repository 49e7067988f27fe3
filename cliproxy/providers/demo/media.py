"""Embeddings and pictures of the demo model: made of hashes, the same ones for the same words.

Contract: the embeddings and images APIs of the ``openai`` and ``openai-images`` dialects, in one piece.

A vector counts words: each word adds to one of its places, so that texts with words in common have vectors
that are alike, and a search over them finds something. A picture is a chessboard in two colours of the size
that was asked for.
"""

import hashlib
import struct
import zlib
from base64 import b64encode
from http import HTTPStatus
from math import sqrt
from typing import Final

from cliproxy.dialects.openai_images.form import read_form
from cliproxy.ir.embeddings import write_base64
from cliproxy.providers.demo.model import CREATED, DemoAnswer
from cliproxy.providers.demo.prompt import tokens_of
from cliproxy.wire.formdata import FormData, is_form
from cliproxy.wire.http import Headers, MemoryCall
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps, dumps_text, integer, loads_object, text

VECTOR_LENGTH: Final = 256
SIDE: Final = 256
"""Pixels of a picture whose size is left to the model."""
_MOST: Final = 4096
_SQUARE: Final = 32
_INDEXED: Final = 3
"""PNG's colour type of pixels that are numbers of a palette."""


# --- embeddings ---


def answer_embeddings(call: MemoryCall) -> DemoAnswer:
    """Answer a request for embeddings."""
    body = loads_object(call.body)
    given = body.get("input")
    is_list = isinstance(given, list) and not all(isinstance(entry, int) for entry in given)
    inputs = given if is_list and isinstance(given, list) else [given]
    length = min(max(integer(body, "dimensions") or VECTOR_LENGTH, 1), _MOST)
    is_packed = body.get("encoding_format") == "base64"
    vectors = [vector_of(_words(entry), length) for entry in inputs]
    data: list[JsonValue] = [
        {"object": "embedding", "index": index, "embedding": write_base64(one) if is_packed else list(one)}
        for index, one in enumerate(vectors)
    ]
    tokens = sum(tokens_of(_words(entry)) for entry in inputs)
    usage: JsonObject = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": text(body, "model"), "usage": usage})


def _words(entry: JsonValue) -> str:
    return entry if isinstance(entry, str) else dumps_text(entry)


def vector_of(said: str, length: int) -> list[float]:
    """Return the vector of a text, of length one."""
    counts = [0.0] * length
    for word in said.lower().split() or [""]:
        digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
        counts[int.from_bytes(digest[:4]) % length] += 1.0
    norm = sqrt(sum(count * count for count in counts))
    return [count / norm for count in counts]


# --- pictures ---


def answer_images(call: MemoryCall) -> DemoAnswer:
    """Answer a request for pictures, new or edited."""
    content_type = call.headers.get("content-type")
    if is_form(content_type):
        body = read_form(FormData.parse(call.body, content_type))
    else:
        body = loads_object(call.body)
    width, height = _size(text(body, "size"))
    prompt = text(body, "prompt")
    data: list[JsonValue] = [
        {"b64_json": b64encode(chessboard(f"{prompt} {number}", width, height)).decode("ascii")}
        for number in range(min(max(integer(body, "n") or 1, 1), 10))
    ]
    tokens = tokens_of(prompt)
    usage: JsonObject = {
        "input_tokens": tokens,
        "output_tokens": len(data),
        "total_tokens": tokens + len(data),
    }
    size = f"{width}x{height}"
    return _json({"created": CREATED, "data": data, "output_format": "png", "size": size, "usage": usage})


def _size(wanted: str) -> tuple[int, int]:
    sides = [int(side) for side in wanted.lower().split("x") if side.isascii() and side.isdigit()]
    if len(sides) != len(("width", "height")) or not all(1 <= side <= _MOST for side in sides):
        return SIDE, SIDE
    return sides[0], sides[1]


def chessboard(seed: str, width: int, height: int) -> bytes:
    """Draw a chessboard as a PNG; the seed decides its colours."""
    colours = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:6]
    head = struct.pack(">IIBBBBB", width, height, 1, _INDEXED, 0, 0, 0)
    row = bytes(255 * (column * 8 // _SQUARE % 2) for column in range((width + 7) // 8))
    rows = (b"\0" + row, b"\0" + bytes(255 - byte for byte in row))
    pixels = b"".join(rows[line // _SQUARE % 2] for line in range(height))
    chunks = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _json(value: JsonObject) -> DemoAnswer:
    headers = Headers({"content-type": "application/json"})
    return DemoAnswer(status=HTTPStatus.OK, headers=headers, chunks=((0.0, dumps(value)),))
