"""Media in words: data URLs, MIME types of file names, and the audio formats of the OpenAI dialects.

Only what is said about media is read here; the content stays base64 text that nobody decodes.
"""

import mimetypes
import re
from collections.abc import Mapping
from typing import Final

from cliproxy.ir.request import Inline, MediaSource, Remote

UNKNOWN_MIME: Final = "application/octet-stream"

_DATA_URL: Final = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)

# The table that ships with Python: the machine's own may say anything.
_TYPES: Final = mimetypes.MimeTypes(filenames=())

_TEXT: Final = "text/plain"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_MORE_TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ts", "tsx", "jsx", "py", "go", "rs", "java", "c", "h", "cpp", "sh", "toml"), _TEXT),
    **dict.fromkeys(("yaml", "yml"), _TEXT),
    "md": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "pdf": "application/pdf",
    "webp": "image/webp",
    "heic": "image/heic",
    "docx": f"{_OFFICE}wordprocessingml.document",
    "xlsx": f"{_OFFICE}spreadsheetml.sheet",
    "pptx": f"{_OFFICE}presentationml.presentation",
}

_AUDIO_MIME: Final[Mapping[str, str]] = {
    "": "audio/wav",
    "mp3": "audio/mpeg",
    "pcm16": "audio/pcm",
    "g711_ulaw": "audio/basic",
    "g711_alaw": "audio/basic",
}
_AUDIO_FORMAT: Final[Mapping[str, str]] = {
    "mpeg": "mp3",
    "x-wav": "wav",
    "pcm": "pcm16",
    "basic": "g711_ulaw",
}

_IMAGE_FORMATS: Final[Mapping[str, str]] = {"": "image/png", "jpg": "image/jpeg"}


def read_data_url(url: str) -> Inline | None:
    """Take a base64 data URL apart; ``None`` for any other text."""
    head = _DATA_URL.match(url)
    if head is None or not head[2].lower().endswith(";base64"):
        return None
    return Inline(head[1].strip().lower() or UNKNOWN_MIME, url[head.end() :])


def write_data_url(source: Inline) -> str:
    """Put a data URL together."""
    return f"data:{source.mime or UNKNOWN_MIME};base64,{source.data}"


_STANDARD: Final = str.maketrans("-_", "+/")


def standard_base64(data: str) -> str:
    """Write base64 in the standard alphabet, padded.

    Gemini's clients may use the alphabet for URLs, and its own Python package does; no other dialect reads
    that.
    """
    if "-" in data or "_" in data:
        data = data.translate(_STANDARD)
    return data + "=" * (-len(data) % 4)


def read_url(url: str, mime: str = "") -> Inline | Remote | None:
    """Read a URL that may be a data URL; ``None`` for an empty one and for a broken data URL."""
    if url[:5].lower() == "data:":
        return read_data_url(url)
    return Remote(url, mime) if url else None


def write_url(source: MediaSource) -> str:
    """Return the URL that stands for a source; empty for one that has none."""
    match source:
        case Inline():
            return write_data_url(source)
        case Remote():
            return source.url
        case _:
            return ""


def mime_of_name(name: str) -> str:
    """Tell the MIME type from a file name; empty when its extension says nothing."""
    extension = name.lower().rpartition(".")[2] if "." in name else ""
    return _MORE_TYPES.get(extension) or _TYPES.types_map[True].get(f".{extension}", "")


def mime_of_audio(audio_format: str) -> str:
    """Return the MIME type of an OpenAI audio format; no format means ``wav``."""
    name = audio_format.lower()
    return _AUDIO_MIME.get(name) or f"audio/{name}"


def audio_format(mime: str) -> str:
    """Return the OpenAI audio format of a MIME type."""
    subtype = mime.lower().partition(";")[0].rpartition("/")[2]
    return _AUDIO_FORMAT.get(subtype, subtype) or "wav"


def mime_of_image_format(image_format: str) -> str:
    """Return the MIME type of an image format such as ``webp``; a MIME type stays what it is."""
    name = image_format.lower()
    return name if "/" in name else _IMAGE_FORMATS.get(name) or f"image/{name}"
