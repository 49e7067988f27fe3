"""A look at a passed-through stream: usage, the end, errors, and whether the client learns something.

The event's name decides whether a frame is parsed at all. Deltas, nearly all frames, are not.
"""

import re
from typing import Final

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.claude.errors import decode_error
from cliproxy.dialects.claude.outcome import read_ending, read_later_usage, read_usage
from cliproxy.ir.response import FinishReason, Usage
from cliproxy.wire.jsontext import JsonError, JsonObject, child, items, loads_object, text
from cliproxy.wire.sse import Frame, FrameRun

_NAME: Final = re.compile(rb'"type"\s*:\s*"([a-z_]+)"')
_ERROR_WITHOUT_TYPE: Final = re.compile(rb'\s*\{\s*"error"')
_DELTAS: Final = FrameRun(b"event: ?content_block_delta")
_CONTENT: Final = Glimpse()
_NO_CONTENT: Final = Glimpse(has_content=False)
_END: Final = Glimpse(has_content=False, is_terminal=True)
_SILENT_AT_FIRST: Final = frozenset({"text", "thinking"})


def inspect(frame: Frame) -> Glimpse:
    """Look at one frame of a stream."""
    match frame.event or _name_in(frame.data):
        case b"content_block_delta":
            return _CONTENT
        case b"content_block_stop" | b"ping":
            return _NO_CONTENT
        case b"message_stop":
            return _END
        case b"message_start" | b"content_block_start" | b"message_delta" | b"error" as name:
            return _look_inside(name, frame.data)
    return _NO_CONTENT


def skim(data: bytes, start: int) -> int:
    """Pass over deltas."""
    return _DELTAS.end(data, start)


def _name_in(data: bytes) -> bytes:
    """Return the type that the data names first; servers that send no event name still begin with it."""
    if _ERROR_WITHOUT_TYPE.match(data):
        return b"error"
    match = _NAME.search(data)
    return match[1] if match is not None else b""


def _look_inside(name: bytes, data: bytes) -> Glimpse:
    try:
        value = loads_object(data)
    except JsonError:
        return _NO_CONTENT
    match name:
        case b"message_start":
            return Glimpse(usage=read_usage(child(child(value, "message"), "usage")), has_content=False)
        case b"content_block_start":
            return _CONTENT if _says_something(child(value, "content_block")) else _NO_CONTENT
        case b"message_delta":
            ending = read_ending(child(value, "delta"))
            return Glimpse(
                # Zeros for the prompt side must not wipe what the start of the stream said.
                usage=read_later_usage(child(value, "usage"), _ANYTHING),
                has_content=ending.reason is not FinishReason.STOP,
                is_finished=bool(ending.native),
            )
    return Glimpse(has_content=False, error=decode_error(0, value))


_ANYTHING: Final = Usage(fresh_input=1, cache_read=1, cache_write=1)


def _says_something(block: JsonObject) -> bool:
    kind = text(block, "type")
    return kind not in _SILENT_AT_FIRST or bool(text(block, kind))


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at a whole answer."""
    if text(body, "type") == "error" or ("error" in body and "content" not in body):
        return Glimpse(has_content=False, error=decode_error(0, body))
    has_content = bool(items(body, "content")) or read_ending(body).reason is not FinishReason.STOP
    return Glimpse(
        usage=read_usage(child(body, "usage")), has_content=has_content, is_terminal=True, is_finished=True
    )
