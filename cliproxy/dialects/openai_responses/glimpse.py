"""Looking into a pass-through answer without decoding it, and changing single members of a raw request.

The frames of a stream are judged by their event name; only the few that can carry usage or an error are
parsed.
"""

import re
from typing import Final

from cliproxy.dialects.base import Glimpse
from cliproxy.dialects.openai_responses.errors import error_of_event
from cliproxy.dialects.openai_responses.names import CLIENT_METADATA, REDACTED_PREFIX
from cliproxy.dialects.openai_responses.request import encode_reasoning
from cliproxy.dialects.openai_responses.response import decode_usage, has_output
from cliproxy.errors import Kind
from cliproxy.ir.events import StreamError
from cliproxy.ir.request import Family, Reasoning
from cliproxy.ir.response import Usage
from cliproxy.ir.signatures import family_of_model, has_foreign_signature
from cliproxy.wire.jsontext import (
    Changes,
    JsonError,
    JsonObject,
    JsonValue,
    child,
    loads_object,
    objects,
    text,
)
from cliproxy.wire.sse import Frame, FrameRun

_OPENING: Final = frozenset({b"response.created", b"response.in_progress", b"response.queued"})
ENDS: Final = frozenset(
    {b"response.completed", b"response.incomplete", b"response.done", b"response.cancelled"}
)
"""Events that end a stream, except for those that end it with an error."""
_ERRORS: Final = frozenset({b"response.failed", b"error"})
_TYPE: Final = re.compile(rb'\{\s*"type"\s*:\s*"([a-z_.]+)"')
_DELTAS: Final = FrameRun(rb"event: ?response\.[a-z_.]+\.delta")

_NOTHING: Final = Glimpse(has_content=False)
_CONTENT: Final = Glimpse()


def inspect(frame: Frame) -> Glimpse:
    """Tell what a frame of a passed-through stream means for the exchange."""
    name = event_name(frame)
    if name in _OPENING or not name.startswith((b"response.", b"error")):
        return _NOTHING
    if name in ENDS or name in _ERRORS:
        return _inspect_end(name, frame.data)
    return _CONTENT


def event_name(frame: Frame) -> bytes:
    """Return what an event is called, also if its frame does not say so."""
    return frame.event or _name_in_data(frame.data)


def skim(data: bytes, start: int) -> int:
    """Pass over deltas."""
    return _DELTAS.end(data, start)


def _name_in_data(data: bytes) -> bytes:
    found = _TYPE.match(data)
    if found is not None:
        return found[1]
    try:
        event = loads_object(data)
    except JsonError:
        return b""
    return text(event, "type", "error" if "error" in event else "").encode("utf-8", "replace")


def _inspect_end(name: bytes, data: bytes) -> Glimpse:
    try:
        event = loads_object(data)
    except JsonError:
        broken = StreamError(Kind.UPSTREAM, "the upstream sent an event that is not JSON", 502)
        return Glimpse(error=broken, is_terminal=True)
    response = child(event, "response")
    usage = _usage(response)
    if name in _ERRORS or text(response, "status") == "failed":
        return Glimpse(usage=usage, error=error_of_event(event, None), is_terminal=True)
    return Glimpse(
        usage=usage,
        has_content=has_output(response),
        is_terminal=True,
        is_finished=True,
        answer_id=text(response, "id"),
    )


def _usage(response: JsonObject) -> Usage | None:
    usage = child(response, "usage")
    return decode_usage(usage) if usage else None


def inspect_response(body: JsonObject) -> Glimpse:
    """Tell what a whole answer means for the exchange."""
    error = body.get("error")
    if error or text(body, "status") == "failed":
        return Glimpse(usage=_usage(body), error=error_of_event({"response": body}, None), is_terminal=True)
    return Glimpse(
        usage=_usage(body),
        has_content=has_output(body),
        is_terminal=True,
        is_finished=True,
        answer_id=text(body, "id"),
    )


def may_pass(body: JsonObject, model: str) -> bool:
    """Tell whether an upstream of this wire takes a body as it is.

    Not if it would refuse a signature, nor with a member that only the backend of Codex knows.
    """
    if CLIENT_METADATA in body:
        return False
    family = family_of_model(model)
    if has_foreign_signature(body, Family.GPT if family is Family.UNKNOWN else family):
        return False
    encrypted = (text(item, "encrypted_content") for item in objects(body, "input"))
    return not any(value.startswith(REDACTED_PREFIX) for value in encrypted)


def patch_model(model: str) -> Changes:
    """Return the members that name the model."""
    return {"model": model}


def patch_reasoning(wish: Reasoning, body: JsonObject) -> Changes:
    """Return the members that carry a wish from the model's name; what else stands there is kept."""
    said = encode_reasoning(wish)
    before = child(body, "reasoning")
    if "effort" not in said:
        return {}
    reasoning: dict[str, JsonValue] = {**before, "effort": said["effort"]}
    if "summary" in said:
        reasoning.setdefault("summary", said["summary"])
    return {"reasoning": reasoning}
