"""Streams of the Claude dialect, read into events.

Contract: Anthropic API reference, "Streaming messages": ``message_start``; for each block
``content_block_start``, ``content_block_delta`` …, ``content_block_stop``; ``message_delta``;
``message_stop``; ``ping`` and ``error`` anywhere. The event's name is repeated as ``type`` in its data, and
the data is what counts here, since not every server that speaks this dialect sends the name.

A block of a type only this dialect knows (a server-side tool's call or result) is put together and given out
whole when it stops. A delta for a block that never started opens it; everything else that is odd is passed
over.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import broken_event
from cliproxy.dialects.claude.errors import decode_error
from cliproxy.dialects.claude.outcome import read_ending, read_later_usage, read_usage
from cliproxy.dialects.claude.reading import ID, arguments_of, extras_of, own_family
from cliproxy.dialects.claude.response import MODELLED
from cliproxy.ir.collect import grow
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Opaque
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    integer,
    loads_object,
    objects,
    text,
)
from cliproxy.wire.sse import Frame

_KINDS: Final[Mapping[str, BlockKind]] = {
    "text": BlockKind.TEXT,
    "thinking": BlockKind.THINKING,
    "redacted_thinking": BlockKind.REDACTED,
    "tool_use": BlockKind.TOOL_CALL,
}
_KIND_OF_DELTA: Final[Mapping[str, str]] = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
"""What a block must be that gets such a delta."""


@define(eq=False)
class _Block:
    """An open block."""

    index: int
    """Its number in the hub."""
    raw: JsonObject
    """The wire object it started with."""
    kind: BlockKind
    pieces: list[str] = field(factory=list)
    """Input of a block that is given out whole."""
    has_arguments: bool = False


class ClaudeStreamDecoder:
    """See the module's docstring; the contract is :class:`~cliproxy.dialects.base.StreamDecoder`."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._family = own_family(ctx)
        self._blocks: dict[int, _Block] = {}
        """Upstream index → open block."""
        self._count = 0
        self._usage = Usage()
        self._has_started = False
        self._has_ended = False
        """A finish reason was given out."""
        self._is_over = False
        self._readers: Mapping[str, Callable[[JsonObject], list[Event]]] = {
            "content_block_delta": self._delta,
            "content_block_start": self._block_start,
            "content_block_stop": self._block_stop,
            "message_start": self._start,
            "message_delta": self._message_delta,
            "message_stop": self._stop,
            "ping": lambda _: [Ping()],
            "error": self._error,
        }

    def __repr__(self) -> str:
        state = "over" if self._is_over else f"{len(self._blocks)} blocks open"
        return f"<ClaudeStreamDecoder {state}>"

    def feed(self, frame: Frame) -> list[Event]:
        """Read one frame."""
        if self._is_over or not frame.data:
            return []
        try:
            data = loads_object(frame.data)
        except JsonError:
            broken = broken_event(frame)
            self._is_over = broken is not None
            return [broken] if broken is not None else []
        kind = text(data, "type")
        if not kind and "error" in data:
            kind = "error"
        reader = self._readers.get(kind)
        if reader is None:
            self._ctx.note(f"a stream event of type {kind[:40]!r} was ignored")
            return []
        return reader(data)

    def finish(self) -> list[Event]:
        """Take the end of the transport."""
        if self._is_over:
            return []
        self._is_over = True
        return [*self._close_all(), End(clean=False)]

    # --- frames ---

    def _start(self, data: JsonObject) -> list[Event]:
        if self._has_started:
            return []
        self._has_started = True
        message = child(data, "message")
        usage = read_usage(child(message, "usage"))
        self._usage = self._usage.merged(usage)
        extras = extras_of(message, *MODELLED)
        return [Start(text(message, "id"), text(message, "model"), int(self._ctx.now), usage, extras)]

    def _begun(self) -> list[Event]:
        """Open the answer if the upstream forgot to."""
        return [] if self._has_started else self._start({})

    def _block_start(self, data: JsonObject) -> list[Event]:
        events = self._begun()
        place = integer(data, "index")
        if place is None:
            return events
        if place in self._blocks:
            events += self._close(place)
        return events + self._open(place, child(data, "content_block"))

    def _open(self, place: int, raw: JsonObject) -> list[Event]:
        kind = _KINDS.get(text(raw, "type"), BlockKind.OPAQUE)
        block = self._blocks[place] = _Block(self._count, raw, kind)
        self._count += 1
        index = block.index
        if kind is BlockKind.TOOL_CALL:
            extras = extras_of(raw, "type", "id", "name", "input", "cache_control")
            return [BlockStart(index, kind, call_id=text(raw, "id"), name=text(raw, "name"), extras=extras)]
        if kind is BlockKind.TEXT:
            return [*self._open_text(index, raw)]
        events: list[Event] = [BlockStart(index, kind)]
        if kind is BlockKind.REDACTED:
            events.append(SignatureDelta(index, text(raw, "data"), self._family))
        if kind is BlockKind.THINKING and text(raw, "thinking"):
            events.append(ThinkingDelta(index, text(raw, "thinking")))
        if kind is BlockKind.THINKING and text(raw, "signature"):
            events.append(SignatureDelta(index, text(raw, "signature"), self._family))
        return events

    @staticmethod
    def _open_text(index: int, raw: JsonObject) -> Iterator[Event]:
        extras = extras_of(raw, "type", "text", "citations", "cache_control")
        yield BlockStart(index, BlockKind.TEXT, extras=extras)
        if text(raw, "text"):
            yield TextDelta(index, text(raw, "text"))
        for citation in objects(raw, "citations"):
            yield Annotation(index, citation, ID)

    def _delta(self, data: JsonObject) -> list[Event]:
        place = integer(data, "index")
        delta = child(data, "delta")
        kind = text(delta, "type")
        if place is None:
            return []
        block = self._blocks.get(place)
        if block is not None:
            return self._inner(block, kind, delta)
        if kind not in _KIND_OF_DELTA:
            return []
        self._ctx.note("a delta for a block that never started")
        events = self._begun() + self._open(place, {"type": _KIND_OF_DELTA[kind]})
        return events + self._inner(self._blocks[place], kind, delta)

    def _inner(self, block: _Block, kind: str, delta: JsonObject) -> list[Event]:
        if block.kind is BlockKind.OPAQUE:
            self._grow(block, kind, delta)
            return []
        match kind:
            case "text_delta" if piece := text(delta, "text"):
                return [TextDelta(block.index, piece)]
            case "input_json_delta" if piece := text(delta, "partial_json"):
                block.has_arguments = True
                return [ArgsDelta(block.index, piece)]
            case "thinking_delta" if piece := text(delta, "thinking"):
                return [ThinkingDelta(block.index, piece)]
            case "signature_delta" if value := text(delta, "signature"):
                return [SignatureDelta(block.index, value, self._family)]
            case "citations_delta" if citation := child(delta, "citation"):
                return [Annotation(block.index, citation, ID)]
        return []

    @staticmethod
    def _grow(block: _Block, kind: str, delta: JsonObject) -> None:
        """Keep a piece of a block that is given out whole; new types of blocks bring deltas of their own."""
        if kind == "input_json_delta":
            block.pieces.append(text(delta, "partial_json"))
        else:
            piece = {member: value for member, value in delta.items() if member != "type"}
            grow(block.raw, piece, joins_text=True)

    def _block_stop(self, data: JsonObject) -> list[Event]:
        place = integer(data, "index")
        return self._close(place) if place is not None else []

    def _close(self, place: int) -> list[Event]:
        block = self._blocks.pop(place, None)
        if block is None:
            return []
        events: list[Event] = []
        if block.kind is BlockKind.TOOL_CALL and not block.has_arguments:
            events.append(ArgsDone(block.index, arguments_of(block.raw.get("input"))))
        elif block.kind is BlockKind.OPAQUE:
            raw = self._completed(block)
            events.append(OpaqueBlock(block.index, Opaque(ID, text(raw, "type"), raw)))
        return [*events, BlockStop(block.index)]

    def _completed(self, block: _Block) -> JsonObject:
        """Return the wire object of a block with the input that came in pieces."""
        if not block.pieces:
            return block.raw
        joined = "".join(block.pieces)
        value: JsonValue = joined
        try:
            value = loads_object(joined)
        except JsonError:
            self._ctx.note("the input of a server-side tool is no JSON object")
        return {**block.raw, "input": value}

    def _close_all(self) -> list[Event]:
        return [event for place in [*self._blocks] for event in self._close(place)]

    def _message_delta(self, data: JsonObject) -> list[Event]:
        events = self._begun()
        usage = read_later_usage(child(data, "usage"), self._usage)
        if usage != Usage():
            self._usage = self._usage.merged(usage)
            events.append(UsageUpdate(usage))
        delta = child(data, "delta")
        if text(delta, "stop_reason") and not self._has_ended:
            self._has_ended = True
            events.append(Finish(read_ending(delta)))
        late = extras_of({**data, **delta}, "type", "delta", "usage", "stop_reason", "stop_sequence")
        return [*events, ExtrasUpdate(late)] if late else events

    def _stop(self, _data: JsonObject) -> list[Event]:
        self._is_over = True
        return [*self._begun(), *self._close_all(), End()]

    def _error(self, data: JsonObject) -> list[Event]:
        self._is_over = True
        return [decode_error(0, data)]
