"""The event stream of code suggestions: text in small events, some of them cumulative.

Event names seen are ``stream_start``, ``content_chunk`` and ``stream_end``; the data is JSON with the text
under one of several names, a chat chunk, or bare text. An instance sends either *pieces*, to be joined, or
*the whole text so far* in every event. Which it is shows only in hindsight: a piece may by chance begin with
all the text before it. So the decision is made once for each stream:

====================  ======================================================================================
state                 next text …
====================  ======================================================================================
nothing seen          is given out
one text seen         begins with it and is longer: held back, the question is open; otherwise: *pieces*
one text held         begins with the held text and is longer: *cumulative*; otherwise: *pieces*
pieces                is given out as it is
cumulative            its new end is given out
====================  ======================================================================================

A stream that ends while a text is held was cumulative if the first text was long enough that nobody repeats
it by chance. White space is text like any other.

Bare text may well begin with a brace. In a stream whose events are objects it is half an object, though, in
which a piece of the answer is lost.
"""

from enum import Enum, auto
from typing import Final

from cliproxy.dialects.base import Glimpse, broken_event
from cliproxy.dialects.gitlab_rest.answer import (
    BAD_GATEWAY,
    decode_error,
    ending_of,
    error_text,
    estimated,
    model_of,
)
from cliproxy.errors import ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    Finish,
    Start,
    TextDelta,
    UsageUpdate,
)
from cliproxy.ir.response import Ending, FinishReason
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps,
    flag,
    literal,
    loads,
    objects,
    text,
)
from cliproxy.wire.sse import Frame, make_frame

DONE: Final = b"[DONE]"
CHANCE_LENGTH: Final = 12
"""A piece of at least this many characters is not repeated by chance at the start of the next one."""
_NAMES: Final = ("content_chunk", "content", "text", "response", "completion")


class Manner(Enum):
    """How a stream tells its text; see the module's docstring."""

    UNKNOWN = auto()
    HELD = auto()
    PIECES = auto()
    CUMULATIVE = auto()


class TextFlow:
    """Turns the texts of events into the text that is new."""

    def __init__(self) -> None:
        self.manner = Manner.UNKNOWN
        self._seen = ""
        self._held = ""

    def take(self, said: str) -> str:
        """Return what an event's text adds; possibly nothing yet."""
        match self.manner:
            case Manner.UNKNOWN if not self._seen:
                self._seen = said
                return said
            case Manner.UNKNOWN if _extends(said, self._seen):
                self.manner, self._held = Manner.HELD, said
                return ""
            case Manner.HELD if _extends(said, self._held):
                self.manner = Manner.CUMULATIVE
                return self._grown(said)
            case Manner.CUMULATIVE:
                return self._grown(said)
            case _:
                self.manner = Manner.PIECES
                held, self._held = self._held, ""
                return held + said

    def end(self) -> str:
        """Return what was still held back."""
        held, self._held = self._held, ""
        if self.manner is not Manner.HELD:
            return ""
        return held[len(self._seen) :] if len(self._seen) >= CHANCE_LENGTH else held

    def _grown(self, said: str) -> str:
        if not said.startswith(self._seen):
            # No longer what was told before: the rest can only be pieces.
            self.manner = Manner.PIECES
            return said
        new, self._seen = said[len(self._seen) :], said
        return new


def _extends(said: str, before: str) -> bool:
    return len(said) > len(before) and said.startswith(before)


class RestStreamDecoder:
    """Frames → events. One text block, one finish."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._flow = TextFlow()
        self._told: list[str] = []
        self._is_started = False
        self._is_open = False
        self._is_over = False
        self._speaks_objects = False

    def feed(self, frame: Frame) -> list[Event]:
        """Take one frame."""
        if self._is_over or frame.is_comment:
            return []
        if frame.data.strip() == DONE or frame.event == b"stream_end":
            return self._end(ending_of(""))
        body, is_object = _body_of(frame.data)
        if self._speaks_objects and not is_object and (broken := broken_event(frame)) is not None:
            self._is_over = True
            return [broken]
        self._speaks_objects = is_object
        if body.get("error") or frame.event == b"error":
            self._is_over = True
            error = decode_error(BAD_GATEWAY, body)
            error.message = error.message or error_text(body) or "the upstream reported an error"
            error.raw = body
            return [*self._begin(body), error]
        return self._content(body)

    def _content(self, body: JsonObject) -> list[Event]:
        events = [*self._begin(body), *self._text(self._flow.take(_text_of(body)))]
        reason = _reason_of(body)
        if reason or flag(body, "done"):
            return events + self._end(ending_of(reason))
        return events

    def _begin(self, body: JsonObject) -> list[Event]:
        if self._is_started:
            return []
        self._is_started = True
        model = model_of(body) or self._ctx.upstream_model
        return [Start(self._ctx.new_id("gitlab-"), model, int(self._ctx.now))]

    def _text(self, said: str) -> list[Event]:
        if not said:
            return []
        opening: list[Event] = [] if self._is_open else [BlockStart(0, BlockKind.TEXT)]
        self._is_open = True
        self._told.append(said)
        return [*opening, TextDelta(0, said)]

    def _end(self, ending: Ending) -> list[Event]:
        events = [*self._begin({}), *self._text(self._flow.end())]
        if self._is_open:
            events.append(BlockStop(0))
        self._is_over = True
        usage = UsageUpdate(estimated("".join(self._told), self._ctx))
        return [*events, usage, Finish(ending), End()]

    def finish(self) -> list[Event]:
        """Take the end of the transport. Some instances send no terminator: what was told is complete."""
        if self._is_over:
            return []
        if self._is_started:
            return self._end(ending_of(""))
        self._is_over = True
        return [End(clean=False)]


def _body_of(data: bytes) -> tuple[JsonObject, bool]:
    """Read an event's data, and whether it is an object; what is none is text."""
    try:
        value = loads(data)
    except JsonError:
        value = None
    if isinstance(value, dict):
        return value, True
    return {"text": value if isinstance(value, str) else data.decode("utf-8", "replace")}, False


def _text_of(body: JsonObject) -> str:
    choice = next(objects(body, "choices"), {})
    places: tuple[tuple[JsonObject, str], ...] = (
        (child(choice, "delta"), "content"),
        (choice, "text"),
        (child(body, "delta"), "content"),
        *((body, name) for name in _NAMES),
    )
    return next((said for holder, key in places if (said := text(holder, key))), "")


def _reason_of(body: JsonObject) -> str:
    choice = next(objects(body, "choices"), {})
    return text(choice, "finish_reason") or text(body, "finish_reason")


class RestStreamEncoder:
    """Events → frames of the same kind: what a whole answer is replayed as."""

    def __init__(self, _ctx: ExchangeContext) -> None:
        self._is_over = False

    def encode(self, event: Event) -> list[Frame]:
        """Write one event; only text and the end have a form here."""
        match event:
            case TextDelta():
                return [make_frame(b'{"choices":[{"delta":{"content":' + literal(event.text) + b"}}]}")]
            case Finish() if event.ending.reason is not FinishReason.STOP:
                reason: JsonValue = event.ending.native or str(event.ending.reason)
                return [make_frame(dumps({"choices": [{"delta": {}, "finish_reason": reason}]}))]
            case End():
                return self.finish()
            case _:
                return []

    def finish(self) -> list[Frame]:
        """Write the terminator once."""
        if self._is_over:
            return []
        self._is_over = True
        return [make_frame(DONE)]

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error event."""
        self._is_over = True
        return [make_frame(dumps({"error": error.message}), b"error")]


def inspect(frame: Frame) -> Glimpse:
    """Look at a frame without decoding its text."""
    if frame.data.strip() == DONE or frame.event == b"stream_end":
        return Glimpse(has_content=False, is_terminal=True, is_finished=True)
    body, _ = _body_of(frame.data)
    if body.get("error") or frame.event == b"error":
        return Glimpse(error=decode_error(BAD_GATEWAY, body), is_terminal=True)
    finished = bool(_reason_of(body) or flag(body, "done"))
    return Glimpse(has_content=bool(_text_of(body)), is_finished=finished)
