"""Streamed answers: previews while the picture is drawn, then the picture.

Events are ``image_generation.partial_image`` and ``image_generation.completed``, for edits ``image_edit.…``;
a stream may complete several pictures and ends with its transport. Upstreams of other dialects send no
previews, which the API allows: a picture may be finished before any.

What a picture cost is known only at the end, and the client reads it from the event that completes it, so the
last picture waits for the end of the stream.
"""

import re
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import Glimpse, broken_event
from cliproxy.dialects.openai_chat.errors import decode_error, encode_error, error_in_stream
from cliproxy.dialects.openai_chat.names import DONE
from cliproxy.dialects.openai_chat.outcome import decode_usage
from cliproxy.dialects.openai_images.response import encode_usage, format_of, no_picture
from cliproxy.dialects.openai_images.sizes import AUTO
from cliproxy.errors import ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    Finish,
    ImageDone,
    Start,
    StreamError,
    TextDelta,
    UsageUpdate,
)
from cliproxy.ir.media import mime_of_image_format, standard_base64
from cliproxy.ir.request import Image
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonError, JsonObject, child, dumps, integer, loads_object, text
from cliproxy.wire.sse import Frame, make_frame

GENERATION: Final = "image_generation"
EDIT: Final = "image_edit"
PARTIAL: Final = ".partial_image"
COMPLETED: Final = ".completed"
_ERROR: Final = "error"
_TYPE: Final = re.compile(rb'"type"\s*:\s*"((?:image_generation|image_edit)\.\w+)"')


# --- reading ---


def _kind_of(frame: Frame) -> str:
    """Return the type of an event. It is not parsed for that: it may hold megabytes."""
    if frame.event:
        return frame.event.decode("latin-1")
    found = _TYPE.search(frame.data)
    return found[1].decode("latin-1") if found else ""


def inspect(frame: Frame) -> Glimpse:
    """Look at one event."""
    if frame.data.strip() == DONE:
        return Glimpse(has_content=False, is_terminal=True)
    kind = _kind_of(frame)
    if kind.endswith(PARTIAL):
        return Glimpse()
    try:
        event = loads_object(frame.data)
    except JsonError:
        return Glimpse(has_content=False)
    if event.get(_ERROR) or kind == _ERROR:
        return Glimpse(has_content=False, error=decode_error(0, event))
    if kind.endswith(COMPLETED):
        return Glimpse(usage=decode_usage(child(event, "usage")), is_finished=True)
    return Glimpse(has_content=False)


@define(eq=False)
class ImageStreamDecoder:
    """Reads a stream: one block for each picture, its previews included."""

    _ctx: ExchangeContext
    _has_started: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)
    _completed: int = field(default=0, init=False)
    _is_open: bool = field(default=False, init=False)

    def feed(self, frame: Frame) -> list[Event]:
        """Take one event."""
        if self._has_ended or not frame.data:
            return []
        if frame.data.strip() == DONE:
            return self._end()
        try:
            event = loads_object(frame.data)
        except JsonError:
            self._ctx.note("a frame of the stream is not JSON")
            broken = broken_event(frame)
            self._has_ended = broken is not None
            return [broken] if broken is not None else []
        kind = text(event, "type") or _kind_of(frame)
        if event.get(_ERROR) or kind == _ERROR:
            self._has_ended = True
            return [decode_error(0, event)]
        return list(self._picture(event, kind)) if kind.endswith((PARTIAL, COMPLETED)) else []

    def _picture(self, event: JsonObject, kind: str) -> Iterator[Event]:
        if not self._has_started:
            self._has_started = True
            yield Start("", "", integer(event, "created_at") or 0)
        index = self._completed
        if not self._is_open:
            self._is_open = True
            yield BlockStart(index, BlockKind.IMAGE)
        mime = mime_of_image_format(text(event, "output_format"))
        yield ImageDone(index, mime, text(event, "b64_json"), partial=kind.endswith(PARTIAL))
        if kind.endswith(PARTIAL):
            return
        self._is_open = False
        self._completed += 1
        yield BlockStop(index)
        usage = decode_usage(child(event, "usage"))
        if usage is not None:
            yield UsageUpdate(usage)

    def finish(self) -> list[Event]:
        """Take the end of the transport, which is the end of the stream."""
        return [] if self._has_ended else self._end()

    def _end(self) -> list[Event]:
        self._has_ended = True
        events: list[Event] = [] if self._has_started else [Start("", "")]
        if self._is_open:
            events.append(BlockStop(self._completed))
        is_clean = self._completed > 0 and not self._is_open
        if is_clean:
            events.append(Finish(Ending(FinishReason.STOP)))
        return [*events, End(clean=is_clean)]


# --- writing ---


@define(eq=False)
class ImageStreamEncoder:
    """Writes a stream. Words of the model are told only if there is no picture."""

    _ctx: ExchangeContext
    _created: int = field(default=0, init=False)
    _usage: Usage = field(factory=Usage, init=False)
    _waiting: ImageDone | None = field(default=None, init=False)
    """The newest picture."""
    _previews: int = field(default=0, init=False)
    _words: list[str] = field(factory=list, init=False)
    _endings: list[Ending] = field(factory=list, init=False)
    _has_drawn: bool = field(default=False, init=False)
    _is_over: bool = field(default=False, init=False)

    def encode(self, event: Event) -> list[Frame]:
        """Take one event."""
        if self._is_over:
            return []
        match event:
            case Start():
                self._created = event.created
                self._usage = self._usage.merged(event.usage or Usage())
            case UsageUpdate():
                self._usage = self._usage.merged(event.usage)
            case TextDelta():
                self._words.append(event.text)
            case Finish():
                self._endings.append(event.ending)
            case ImageDone():
                return self._preview(event) if event.partial else self._next(event)
            case StreamError():
                return self.error(error_in_stream(event))
            case End():
                return self.finish()
            case _:
                pass
        return []

    def _preview(self, event: ImageDone) -> list[Frame]:
        self._previews += 1
        return [self._frame(event, PARTIAL, {"partial_image_index": self._previews - 1})]

    def _next(self, event: ImageDone | None) -> list[Frame]:
        """Complete the picture that waits; the new one waits now."""
        done, self._waiting = self._waiting, event
        if done is None:
            return []
        # Only the last picture knows what all of them cost.
        usage = self._usage if event is None else Usage()
        self._previews = 0
        return [self._frame(done, COMPLETED, {"usage": encode_usage(usage)})]

    def _frame(self, picture: ImageDone, suffix: str, more: JsonObject) -> Frame:
        self._has_drawn = True
        kind = (EDIT if self._is_edit() else GENERATION) + suffix
        body: JsonObject = {
            "type": kind,
            "b64_json": standard_base64(picture.data),
            "background": AUTO,
            "created_at": self._created or int(self._ctx.now),
            "output_format": format_of(picture.mime),
            "quality": AUTO,
            "size": text(self._ctx.original_body, "size") or AUTO,
            **more,
        }
        return make_frame(dumps(body), kind.encode())

    def _is_edit(self) -> bool:
        asked = self._ctx.original.messages if self._ctx.original is not None else []
        return any(isinstance(part, Image) for message in asked for part in message.parts)

    def finish(self) -> list[Frame]:
        """Complete the last picture."""
        if self._is_over:
            return []
        frames = self._next(None)
        if not self._has_drawn:
            return self.error(no_picture("".join(self._words), self._endings))
        self._is_over = True
        return frames

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error; nothing may follow it."""
        if self._is_over:
            return []
        self._is_over = True
        return [make_frame(dumps({"type": _ERROR, **encode_error(error)}), _ERROR.encode())]
