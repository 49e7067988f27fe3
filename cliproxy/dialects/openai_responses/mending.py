"""What a stream of this wire lacks that is otherwise forwarded as it is.

Upstreams of one wire differ a little in what they send, and clients in what they need:

* some upstreams repeat nothing in their last event: its ``output`` is empty, though items were streamed. The
  vendor's packages take the answer from there, so the items are filled in;
* some leave the details of ``usage`` out, on which typed clients insist;
* an ``error`` event says nothing to the vendor's command-line client, which waits for ``response.failed``.
  That is added.

A frame that lacks nothing keeps its bytes.
"""

from typing import Final

from cliproxy.dialects.openai_responses.errors import error_of_event
from cliproxy.dialects.openai_responses.glimpse import ENDS, event_name
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps,
    integer,
    items,
    loads_object,
)
from cliproxy.wire.sse import Frame, make_frame

_CREATED: Final = b"response.created"
_ITEM_DONE: Final = b"response.output_item.done"
_FAILED: Final = "response.failed"
_DETAILS: Final[JsonObject] = {
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}


class ResponsesMender:
    """Looks after one stream."""

    def __init__(self) -> None:
        self._response: JsonObject = {}
        """The answer as it was announced."""
        self._items: dict[int, JsonValue] = {}
        """Finished items by their place in the output."""

    def mend(self, frame: Frame) -> list[Frame]:
        """Return what to forward in place of a frame."""
        name = event_name(frame)
        if name in ENDS:
            return [self._ended(frame)]
        if name == b"error":
            return [frame, self._failed(frame)]
        if name in {_CREATED, _ITEM_DONE}:
            self._remember(_event(frame))
        return [frame]

    def _remember(self, event: JsonObject) -> None:
        if "response" in event:
            self._response = child(event, "response")
        elif child(event, "item"):
            index = integer(event, "output_index")
            self._items[len(self._items) if index is None else index] = event["item"]

    def _output(self) -> list[JsonValue]:
        return [self._items[index] for index in sorted(self._items)]

    def _ended(self, frame: Frame) -> Frame:
        event = _event(frame)
        response = child(event, "response")
        missing: JsonObject = {}
        if self._items and not items(response, "output"):
            missing["output"] = self._output()
        usage = child(response, "usage")
        if usage and not usage.keys() >= _DETAILS.keys():
            missing["usage"] = {**_DETAILS, **usage}
        if not missing:
            return frame
        return make_frame(dumps({**event, "response": {**response, **missing}}), frame.event)

    def _failed(self, frame: Frame) -> Frame:
        """Write the event that ends the stream behind an ``error``."""
        event = _event(frame)
        error = error_of_event(event, None)
        said: JsonObject = {"code": error.code or "server_error", "message": error.message}
        response: JsonObject = {"object": "response", **self._response}
        response |= {"status": "failed", "error": said, "output": self._output()}
        number = (integer(event, "sequence_number") or 0) + 1
        told: JsonObject = {"type": _FAILED, "sequence_number": number, "response": response}
        return make_frame(dumps(told), _FAILED.encode())


def _event(frame: Frame) -> JsonObject:
    try:
        return loads_object(frame.data)
    except JsonError:
        return {}
