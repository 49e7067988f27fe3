"""A white canvas, for the one model that draws but knows no proportions.

The preview of Gemini's first drawing model refuses ``imageConfig.aspectRatio``. What it does keep are the
proportions of a picture that it is given. So a request that names proportions and brings no picture gets an
empty one of that size, and words that ask to fill it; later models take the setting as it is.
"""

import base64
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Final

from cliproxy.dialects.gemini.settings import CONFIG
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.wire.jsontext import Document, JsonObject, JsonValue, child, items, rest, text

MODEL: Final = "gemini-2.5-flash-image-preview"
SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
"""Proportions → width and height in pixels, about a megapixel each."""
WORDS: Final = "Draw what is asked for inside the picture that follows. Cover it all, and keep its shape."
_IMAGE: Final = "imageConfig"
_SPELLINGS: Final = (CONFIG, "generation_config")


def _knows_proportions(model: str) -> bool:
    return model.removeprefix("models/") != MODEL


def put_on_canvas(model: str, body: bytes) -> bytes:
    """Return a request as the model takes it; those for other models are not even looked at."""
    if _knows_proportions(model):
        return body
    document = Document.parse(body)
    return document.patch(on_canvas(model, document.value))


def on_canvas(model: str, body: JsonObject) -> JsonObject:
    """Return what to replace in a request for pictures; nothing unless this model is told proportions."""
    if _knows_proportions(model):
        return {}
    name = next((name for name in _SPELLINGS if name in body), CONFIG)
    config = camel(child(body, name))
    ratio = text(camel(child(config, _IMAGE)), "aspectRatio")
    if not ratio:
        return {}
    without = rest(config, _IMAGE)
    contents = _contents(body)
    if ratio not in SIZES or not contents or any(map(_has_picture, contents)):
        return {name: without}
    first: JsonObject = {
        **contents[0],
        "parts": [{"text": WORDS}, _canvas(ratio), *items(contents[0], "parts")],
    }
    return {
        "contents": [first, *contents[1:]],
        name: {**without, "responseModalities": ["IMAGE", "TEXT"]},
    }


def _contents(body: JsonObject) -> list[JsonObject]:
    """Return the conversation; none if it is not one the API would take."""
    given = body.get("contents")
    listed = given if isinstance(given, list) else [given]
    contents = [content for content in listed if isinstance(content, dict)]
    is_plain = all(isinstance(content.get("parts"), list) for content in contents)
    return contents if is_plain and len(contents) == len(listed) else []


def _has_picture(content: JsonObject) -> bool:
    return any(isinstance(part, dict) and "inlineData" in camel(part) for part in items(content, "parts"))


@cache
def _white(width: int, height: int) -> str:
    """Draw a white picture, one bit for each pixel, as base64 of a PNG."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = (b"\0" + b"\xff" * ((width + 7) // 8)) * height
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)
    return base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _canvas(ratio: str) -> JsonValue:
    return {"inlineData": {"mimeType": "image/png", "data": _white(*SIZES[ratio])}}
