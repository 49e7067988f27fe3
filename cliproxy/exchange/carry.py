"""Upstream bytes in, client bytes out: the pure part of a streamed answer.

A *carrier* takes what one read of the upstream gave and returns one :class:`Step`: the bytes for the client,
joined, and what they mean for the exchange. :class:`PassThrough` forwards frames as they are and only looks
for usage, the end and errors, where the dialect can tell in one go that there is no such thing not even frame
by frame; :class:`Translate` decodes and encodes. Both hand their frames to a writer for the client's framing.

A carrier makes sure that an answer ends properly: a transport that ends before the dialect's terminal event
is an error, unless a finish reason was seen, in which case only the terminator is missing and is supplied.
Nothing follows the terminal event, whatever the upstream adds.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define

from cliproxy.dialects.base import Dialect, Framing
from cliproxy.errors import Kind, ProxyError
from cliproxy.exchange.plan import Plan
from cliproxy.ir.collect import to_events
from cliproxy.ir.events import (
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    End,
    Event,
    Finish,
    ImageDone,
    OpaqueBlock,
    Start,
    StreamError,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.response import FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonError, loads
from cliproxy.wire.sse import Frame, FrameParser

CUT_OFF: Final = "the upstream closed the stream before the end of the answer"
_ENDED: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}\Z")
_CALLS: Final = (BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL)


@define
class Step:
    """What one read amounts to."""

    output: bytes = b""
    has_content: bool = False
    """The client learns something: the response head may be committed."""
    is_terminal: bool = False
    """The answer is complete; what follows in the transport is of no interest."""
    error: StreamError | None = None
    """The upstream reported an error, or ended too early; ``output`` precedes it."""
    answer_id: str = ""
    """What the answer is called, as soon as that is certain."""

    def taken(self) -> bytes:
        """Return the output and keep nothing of it: it may be large, and wait for long."""
        output, self.output = self.output, b""
        return output


class FrameWriter(Protocol):
    """Renders frames for one framing."""

    def write(self, frames: list[Frame]) -> bytes: ...

    def close(self) -> bytes:
        """Return what the framing needs after its last frame, an error included."""
        ...


class SseWriter:
    """Frames as server-sent events: each already has its bytes."""

    def write(self, frames: list[Frame]) -> bytes:
        """Join the frames."""
        return b"".join([frame.raw for frame in frames])

    def close(self) -> bytes:
        """Return nothing: the stream just ends."""
        return b""


class JsonArrayWriter:
    """Frames as the elements of one JSON array, written as they come."""

    def __init__(self) -> None:
        self._is_open = False

    def write(self, frames: list[Frame]) -> bytes:
        """Write the data of the frames as elements."""
        pieces: list[bytes] = []
        for frame in frames:
            if frame.data:
                pieces.append(b",\r\n" if self._is_open else b"[")
                pieces.append(frame.data)
                self._is_open = True
        return b"".join(pieces)

    def close(self) -> bytes:
        """Close the array."""
        return b"]" if self._is_open else b"[]"


def writer_for(framing: Framing) -> FrameWriter:
    """Return the writer of a framing."""
    return JsonArrayWriter() if framing is Framing.JSON_ARRAY else SseWriter()


class Carrier(Protocol):
    """See the module's docstring. ``usage`` is what has been reported so far."""

    usage: Usage

    def feed(self, data: bytes) -> Step: ...

    def finish(self) -> Step: ...

    def error(self, error: ProxyError) -> bytes:
        """Return the dialect's error message for the middle of a stream; nothing may follow it."""
        ...


class PassThrough:
    """Same dialect on both sides: frames keep their bytes, unless the dialect finds something missing."""

    def __init__(self, plan: Plan, framing: Framing, max_frame_bytes: int) -> None:
        self.usage = Usage()
        self._dialect: Dialect = plan.client
        self._encoder = plan.client.stream_encoder(plan.context)
        self._hides_usage = plan.hides_usage
        self._mender = plan.client.stream_mender() if plan.client.stream_mender is not None else None
        self._parser = FrameParser(max_frame_bytes)
        self._max_frame_bytes = max_frame_bytes
        self._writer = writer_for(framing)
        # Only in the framing that it came in can a frame be forwarded without being taken apart.
        self._skim = plan.client.skim if framing is Framing.SSE else None
        self._is_terminal = False
        self._is_finished = False
        self._error: Frame | None = None

    def feed(self, data: bytes) -> Step:
        """Forward the frames a read completed."""
        if self._skim is None or len(data) > self._max_frame_bytes:
            return self._take(self._parser.feed(data))
        return self._skimmed(data, self._skim)

    def _skimmed(self, data: bytes, skim: Callable[[bytes, int], int]) -> Step:
        """Forward what needs no look as it is, and take only the frames between apart."""
        step = Step()
        outputs: list[bytes] = []
        at = 0
        while at < len(data) and step.error is None and not self._is_terminal:
            end = skim(data, at) if self._parser.is_between_frames else at
            if end > at:
                outputs.append(data[at:end])
                step.has_content = True
            else:
                blank = data.find(b"\n\n", at)
                end = len(data) if blank < 0 else blank + 2
                part = self._take(self._parser.feed(data[at:end]))
                outputs.append(part.output)
                part.has_content = part.has_content or step.has_content
                step = part
            at = end
        step.output = b"".join(outputs)
        return step

    def _take(self, frames: list[Frame]) -> Step:
        step = Step()
        forwarded: list[Frame] = []
        inspect = self._dialect.inspect
        for frame in frames:
            if self._is_terminal:
                break
            if frame.is_comment:
                forwarded.append(frame)
                continue
            glimpse = inspect(frame)
            if glimpse.usage is not None:
                self.usage = self.usage.merged(glimpse.usage)
            if glimpse.error is not None:
                self._error = frame
                step.error = glimpse.error
                break
            step.has_content = step.has_content or glimpse.has_content
            self._is_finished = self._is_finished or glimpse.is_finished
            self._is_terminal = glimpse.is_terminal
            step.answer_id = glimpse.answer_id or step.answer_id
            if not (glimpse.is_usage_only and self._hides_usage):
                forwarded += self._mended(frame)
        step.is_terminal = self._is_terminal
        step.output = self._writer.write(forwarded)
        return step

    def _mended(self, frame: Frame) -> list[Frame]:
        return [frame] if self._mender is None else self._mender.mend(frame)

    def finish(self) -> Step:
        """Take the end of the transport."""
        step = self._take(self._whole(self._parser.finish()))
        if step.error is not None:
            return step
        if not self._is_terminal:
            if not self._is_finished:
                step.error = StreamError(Kind.UPSTREAM, CUT_OFF, 502)
                return step
            step.output += self._dialect.terminator
        step.is_terminal = True
        step.output += self._writer.close()
        return step

    def _whole(self, frames: list[Frame]) -> list[Frame]:
        """Close the last frame, which may lack the blank line at its end, or drop what is only half of one:
        whatever we write next would become a part of it."""
        if not frames or _ENDED.search(frames[-1].raw):
            return frames
        *others, last = frames
        if not self._is_whole(last):
            return others
        end = b"\n" if last.raw.endswith((b"\n", b"\r")) else b"\n\n"
        return [*others, Frame(last.event, last.data, last.raw + end)]

    def _is_whole(self, frame: Frame) -> bool:
        if frame.is_comment:
            return False
        try:
            loads(frame.data)
        except JsonError:
            # A terminator need not be JSON.
            return not frame.data.lstrip().startswith(b"{") and self._dialect.inspect(frame).is_terminal
        return True

    def error(self, error: ProxyError) -> bytes:
        """Forward the upstream's own error frame if there is one."""
        frames = self._mended(self._error) if self._error is not None else self._encoder.error(error)
        return self._writer.write(frames) + self._writer.close()


class Translate:
    """Different dialects: frames become events, events become frames."""

    def __init__(self, plan: Plan, framing: Framing, max_frame_bytes: int) -> None:
        self.usage = Usage()
        self._parser = FrameParser(max_frame_bytes)
        self._decoder = plan.upstream.stream_decoder(plan.context)
        self._encoder = plan.client.stream_encoder(plan.context)
        self._writer = writer_for(framing)
        self._is_terminal = False
        self._is_finished = False

    def feed(self, data: bytes) -> Step:
        """Translate the frames a read completed."""
        step = Step()
        frames: list[Frame] = []
        for frame in self._parser.feed(data):
            if not self._carry(self._decoder.feed(frame), frames, step):
                break
        step.output = self._writer.write(frames)
        return step

    def _carry(self, events: list[Event], frames: list[Frame], step: Step) -> bool:
        """Encode events; return false when an error ends the answer."""
        encode = self._encoder.encode
        for event in events:
            match event:
                case TextDelta(text=said) | ThinkingDelta(text=said) | ArgsDelta(fragment=said):
                    step.has_content = step.has_content or bool(said)
                case StreamError():
                    step.error = event
                    return False
                case End():
                    return self._end(event, frames, step)
                case _:
                    self._look_at(event, step)
            frames += encode(event)
        return True

    def _look_at(self, event: Event, step: Step) -> None:
        if isinstance(event, Start):
            step.answer_id = event.id
        match event:
            case Start(usage=Usage() as usage) | UsageUpdate(usage=usage):
                self.usage = self.usage.merged(usage)
            case Finish():
                self._is_finished = True
                # An answer may be empty for a reason; only an empty plain stop is suspicious.
                step.has_content = step.has_content or event.ending.reason is not FinishReason.STOP
            case BlockStart(kind=kind) if kind in _CALLS:
                step.has_content = True
            case ImageDone() | OpaqueBlock() | ArgsDone():
                step.has_content = True
            case _:
                pass

    def _end(self, event: End, frames: list[Frame], step: Step) -> bool:
        if not event.clean and not self._is_finished:
            step.error = StreamError(Kind.UPSTREAM, CUT_OFF, 502)
            return False
        self._is_terminal = step.is_terminal = True
        frames += self._encoder.encode(event)
        return True

    def finish(self) -> Step:
        """Take the end of the transport and close the client's stream."""
        step = Step(is_terminal=self._is_terminal)
        frames: list[Frame] = []
        for frame in self._parser.finish():
            if not self._carry(self._decoder.feed(frame), frames, step):
                break
        if step.error is None and self._carry(self._decoder.finish(), frames, step):
            frames += self._encoder.finish()
            step.is_terminal = True
            step.output = self._writer.write(frames) + self._writer.close()
        else:
            step.output = self._writer.write(frames)
        return step

    def error(self, error: ProxyError) -> bytes:
        """Write the client dialect's error frame."""
        return self._writer.write(self._encoder.error(error)) + self._writer.close()


def carrier_for(plan: Plan, framing: Framing, max_frame_bytes: int) -> Carrier:
    """Return the carrier of a plan."""
    kind = PassThrough if plan.passes_through or plan.streams_through else Translate
    return kind(plan, framing, max_frame_bytes)


class WholeAnswer:
    """An answer that came in one piece, for a client that wants a stream: fed with anything once, it gives
    all.
    """

    def __init__(self, plan: Plan, framing: Framing, response: IRResponse) -> None:
        self.usage = response.usage
        self._response = response
        self._encoder = plan.client.stream_encoder(plan.context)
        self._writer = writer_for(framing)

    def feed(self, _data: bytes) -> Step:
        """Give the whole stream."""
        frames: list[Frame] = []
        for event in to_events(self._response):
            frames += self._encoder.encode(event)
        frames += self._encoder.finish()
        output = self._writer.write(frames) + self._writer.close()
        return Step(output, has_content=True, is_terminal=True, answer_id=self._response.id)

    def finish(self) -> Step:
        """Add nothing."""
        return Step(is_terminal=True)

    def error(self, error: ProxyError) -> bytes:
        """Write the client dialect's error frame."""
        return self._writer.write(self._encoder.error(error)) + self._writer.close()
