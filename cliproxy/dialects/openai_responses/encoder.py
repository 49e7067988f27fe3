"""The stream to a client: events of the hub to events of this wire.

Contract: the OpenAI API reference, "Responses streaming". The items are the work of the module ``assembly``;
here they become frames, numbered from 1, between ``response.created`` and exactly one of
``response.completed``, ``response.incomplete`` and ``response.failed``.

The last event waits for the end of the upstream's stream, not for the finish reason: usage comes in between.

An error is told twice, in two events with the same content. ``error`` is what the vendor's packages turn into
an exception; the vendor's command-line client only understands ``response.failed``, which also ends the
sequence.
"""

from typing import Final

from attrs import define

from cliproxy.dialects.openai_responses.assembly import Assembly
from cliproxy.dialects.openai_responses.errors import encode_error, event_code
from cliproxy.dialects.openai_responses.names import native_extras
from cliproxy.dialects.openai_responses.output import DeltaHead, ItemIds
from cliproxy.dialects.openai_responses.response import AnswerFacts
from cliproxy.errors import ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import End, Event, ExtrasUpdate, Finish, Ping, Start, StreamError, UsageUpdate
from cliproxy.ir.response import FinishReason
from cliproxy.wire.jsontext import JsonObject, child, dumps, literal, text
from cliproxy.wire.sse import Frame

_CUT_OFF: Final[JsonObject] = {
    "code": "server_error",
    "message": "the upstream closed the stream before the end of the answer",
}


class FrameSink:
    """Renders the events of an answer as numbered frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._number = 0

    def event(self, kind: str, members: JsonObject) -> None:
        """Render an event."""
        self._number += 1
        data = dumps({"type": kind, "sequence_number": self._number, **members})
        self._put(kind.encode(), data)

    def delta(self, head: DeltaHead, text: str) -> None:
        """Render a delta: all but its number and its text is there already."""
        self._number += 1
        data = b'%b%d,"delta":%b}' % (head.data, self._number, literal(text))
        self._put(head.kind, data)

    def _put(self, kind: bytes, data: bytes) -> None:
        self.frames.append(Frame(kind, data, b"event: %b\ndata: %b\n\n" % (kind, data)))

    def taken(self) -> list[Frame]:
        """Return the frames rendered since the last call."""
        frames, self.frames = self.frames, []
        return frames


@define(eq=False)
class _Answer:
    """The answer being told, once it has begun."""

    facts: AnswerFacts
    assembly: Assembly


class ResponsesEncoder:
    """Encodes one stream. See the module's docstring."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._sink = FrameSink()
        self._answer: _Answer | None = None
        self._reason: FinishReason | None = None
        self._is_over = False

    def encode(self, event: Event) -> list[Frame]:
        """Take one event."""
        if self._is_over:
            return []
        match event:
            case Start():
                self._begin(event)
            case Ping():
                pass
            case UsageUpdate():
                facts = self._begin().facts
                facts.usage = facts.usage.merged(event.usage)
            case ExtrasUpdate(choice=None):
                self._begin().facts.told |= native_extras(event.extras)
            case Finish():
                self._finish(event)
            case End():
                self._end(is_clean=event.clean)
            case StreamError():
                self._fail(_as_proxy_error(event))
            case _:
                self._begin().assembly.feed(event)
        return self._sink.taken()

    def finish(self) -> list[Frame]:
        """Close the stream, if that has not happened yet."""
        if not self._is_over:
            self._end(is_clean=False)
        return self._sink.taken()

    def error(self, error: ProxyError) -> list[Frame]:
        """End the stream with an error."""
        if not self._is_over:
            self._fail(error)
        return self._sink.taken()

    def _begin(self, start: Start | None = None) -> _Answer:
        if self._answer is None:
            facts = AnswerFacts.of(start or Start("", ""), self._ctx)
            ids = ItemIds(facts.id.removeprefix("resp_"))
            self._answer = _Answer(facts, Assembly(self._ctx, self._sink, ids))
            begun = facts.begun()
            self._sink.event("response.created", {"response": begun})
            self._sink.event("response.in_progress", {"response": begun})
        elif start is not None and start.usage is not None:
            self._answer.facts.usage = self._answer.facts.usage.merged(start.usage)
        return self._answer

    def _finish(self, event: Finish) -> None:
        if event.choice == 0:
            self._reason = event.ending.reason
            self._begin().assembly.finish(self._reason)

    def _end(self, *, is_clean: bool) -> None:
        answer = self._begin()
        self._is_over = True
        reason = self._reason or (FinishReason.STOP if is_clean else FinishReason.ERROR)
        reason = answer.assembly.finish(reason)
        output = answer.assembly.output()
        answer.facts.thought_length = answer.assembly.thought_length
        if self._reason is None and not is_clean:
            response = answer.facts.failed(output, dict(_CUT_OFF))
        else:
            response = answer.facts.ended(output, reason)
        self._sink.event(f"response.{text(response, 'status')}", {"response": response})

    def _fail(self, error: ProxyError) -> None:
        self._is_over = True
        answer = self._answer or _Answer(
            facts=AnswerFacts.of(Start("", ""), self._ctx),
            assembly=Assembly(self._ctx, self._sink, ItemIds("")),
        )
        code = event_code(error)
        inner = child(encode_error(error), "error")
        told: JsonObject = {"code": code, "message": error.message, "param": error.param, "error": inner}
        self._sink.event("error", told)
        response = answer.facts.failed(
            answer.assembly.output(), {"type": inner["type"], "code": code, "message": error.message}
        )
        self._sink.event("response.failed", {"response": response})


def _as_proxy_error(error: StreamError) -> ProxyError:
    return ProxyError(
        error.message,
        kind=error.kind,
        status=error.status or None,
        code=error.code or None,
        retry_after=error.retry_after,
    )
