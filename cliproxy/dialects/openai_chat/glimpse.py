"""A look at an answer that is passed through: usage, the end, errors, and whether the client learns anything.

Most frames of a stream are deltas of text. They are told by a few byte strings they lack, without parsing:
a chunk that has no usage, no error, no role and no finish reason says something. Whatever looks different
is parsed.
"""

import re
from typing import Final

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.openai_chat.errors import decode_error
from cliproxy.dialects.openai_chat.messages import reasoning_of
from cliproxy.dialects.openai_chat.names import DONE
from cliproxy.dialects.openai_chat.outcome import decode_usage, usage_of
from cliproxy.dialects.openai_chat.response import has_content
from cliproxy.wire.jsontext import JsonError, JsonObject, child, items, loads_object, objects, text
from cliproxy.wire.sse import Frame, FrameRun

_NOTABLE: Final = re.compile(
    rb'"error"|"usage":\s*\{|"role"|"finish_reason":\s*"|"choices":\s*\[\s*\]|"content":\s*(?:""|null|\[)'
)
_DELTAS: Final = FrameRun()
_SAYING: Final = ("content", "refusal", "tool_calls", "function_call", "images", "audio")
_DELTA: Final = Glimpse()


def inspect(frame: Frame) -> Glimpse:
    """Look at one frame."""
    data = frame.data
    if data.strip() == DONE:
        return Glimpse(has_content=False, is_terminal=True)
    if frame.event != b"error" and _NOTABLE.search(data) is None:
        return _DELTA
    try:
        chunk = loads_object(data)
    except JsonError:
        return Glimpse(has_content=False)
    choices = items(chunk, "choices")
    if chunk.get("error") or (frame.event == b"error" and not choices):
        return Glimpse(has_content=False, error=decode_error(0, chunk))
    usage = decode_usage(usage_of(chunk))
    reasons = {text(choice, "finish_reason") for choice in objects(chunk, "choices")} - {""}
    return Glimpse(
        usage=usage,
        has_content=bool(reasons - {"stop"})
        or any(_says_something(choice) for choice in objects(chunk, "choices")),
        is_finished=bool(reasons),
        is_usage_only=usage is not None and not choices,
    )


def skim(data: bytes, start: int) -> int:
    """Pass over frames without a name in which nothing is notable."""
    end = _DELTAS.end(data, start)
    notable = _NOTABLE.search(data, start, end)
    stops = [data.find(DONE, start, end), -1 if notable is None else notable.start()]
    if max(stops) < 0:
        return end
    blank = data.rfind(b"\n\n", start, min(place for place in stops if place >= 0))
    # The frame that has it begins behind the last blank line.
    return start if blank < 0 else blank + 2


def _says_something(choice: JsonObject) -> bool:
    delta = child(choice, "delta") or child(choice, "message")
    return any(delta.get(member) for member in _SAYING) or bool(reasoning_of(delta))


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at a whole answer. Some servers send an error with status 200."""
    if body.get("error") and not body.get("choices"):
        return Glimpse(has_content=False, error=decode_error(0, body))
    return Glimpse(
        usage=decode_usage(child(body, "usage")),
        has_content=has_content(body),
        is_terminal=True,
        is_finished=True,
    )
