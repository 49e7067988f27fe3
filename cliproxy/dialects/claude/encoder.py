"""Streams of the Claude dialect, written from events.

**Theory of operation.** The grammar allows one open block at a time, numbered from 0 without gaps. Events
know overlapping blocks (parallel calls), so the encoder keeps one *current* block, which it writes as its
events arrive, and a queue of *waiting* ones, whose events it stores. When the current block stops, the first
waiting one becomes current and catches up.

A block is announced to the client when it has something to say, not before: clients send text back as they
got it and the API refuses empty text. Calls are announced at once, with one exception. A Gemini model signs
its calls, and a client best returns the signature in a block before the call, so behind such a model the
announcement waits for the first word about the call. A signature that comes later goes into a block behind
its part.

Finish reason and usage are kept until the end, because an upstream may correct them, and are written once::

    nothing ──Start──▶ open ──End, finish()──▶ done      message_start … message_delta, message_stop
       └───────────────┴───error()───────────▶ done      error
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from attrs import define

from cliproxy.dialects.claude.errors import encode_error
from cliproxy.dialects.claude.outcome import write_ending, write_usage
from cliproxy.dialects.claude.reading import ID
from cliproxy.dialects.claude.response import (
    FOREIGN_CITATIONS,
    call_id,
    carrier,
    carries_signatures,
    hides_thoughts,
    message_id,
    opaque_blocks,
)
from cliproxy.dialects.claude.writing import own_extras
from cliproxy.errors import ProxyError
from cliproxy.ir.arguments import to_object
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
    ImageDone,
    OpaqueBlock,
    Ping,
    SignatureDelta,
    Start,
    StreamError,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, Signature
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.ir.signatures import Anchor, carry
from cliproxy.wire.jsontext import JsonObject, child, dumps, dumps_text, literal, text
from cliproxy.wire.sse import Frame, make_frame, render

PING: Final = b'{"type": "ping"}'
KEEPALIVE: Final = render(PING, b"ping")

_TEXT: Final = b'{"type":"text_delta","text":'
_THINKING: Final = b'{"type":"thinking_delta","thinking":'
_ARGUMENTS: Final = b'{"type":"input_json_delta","partial_json":'
_SIGNATURE: Final = b'{"type":"signature_delta","signature":'
_SPOKEN: Final = frozenset({BlockKind.TEXT, BlockKind.REFUSAL})
_THOUGHT: Final = frozenset({BlockKind.THINKING, BlockKind.REDACTED})
_CALLED: Final = frozenset({BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL})
_BESIDE_DELTA: Final = frozenset({"context_management"})
"""What stands in the event that ends a message beside its ``delta`` rather than in it."""
_TOLD_LATE: Final = ("stop_details", "context_management")
"""Members of a whole answer that a stream tells at its end."""

_Inner = (
    TextDelta
    | ThinkingDelta
    | ThinkingBreak
    | ArgsDelta
    | ArgsDone
    | SignatureDelta
    | Annotation
    | ImageDone
    | OpaqueBlock
    | BlockStop
)


class _State(Enum):
    NOTHING = auto()
    OPEN = auto()
    DONE = auto()


@define(eq=False)
class _Current:
    """The block being written."""

    start: BlockStart
    head: bytes = b""
    """What every delta of the block begins with; empty until the client knows of the block."""
    signature: Signature | None = None
    has_words: bool = False
    """A delta with text or arguments was written."""
    owes_break: bool = False
    """A paragraph ended; the next one must be set apart."""


class ClaudeStreamEncoder:
    """See the module's docstring; the contract is :class:`~cliproxy.dialects.base.StreamEncoder`."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._carries = carries_signatures(ctx)
        self._holds_calls = self._carries and ctx.upstream_family is Family.GEMINI
        self._state = _State.NOTHING
        self._current: _Current | None = None
        self._waiting: dict[int, list[BlockStart | _Inner]] = {}
        self._count = 0
        """Blocks the client knows of."""
        self._has_calls = False
        self._has_refusal = False
        self._usage = Usage()
        self._late: JsonObject = {}
        """Members for the end of the message that nobody models."""
        self._ending = Ending(FinishReason.STOP)

    def __repr__(self) -> str:
        return f"<ClaudeStreamEncoder {self._state.name.lower()}, {len(self._waiting)} blocks waiting>"

    def encode(self, event: Event) -> list[Frame]:  # noqa: C901, PLR0911 - one flat match
        """Write an event."""
        if self._state is _State.DONE:
            return []
        match event:
            case TextDelta() | ThinkingDelta() | ArgsDelta():
                return self._take_inner(event)
            case BlockStart():
                return self._take_start(event)
            case Start():
                return self._begin(event)
            case UsageUpdate():
                self._usage = self._usage.merged(event.usage)
            case Finish():
                if event.choice == 0:
                    self._ending = event.ending
            case Ping():
                alive = self._state is _State.OPEN and self._ctx.upstream_dialect == ID
                return [make_frame(PING, b"ping")] if alive else []
            case StreamError():
                return self.error(ProxyError(event.message, kind=event.kind))
            case End():
                return self.finish()
            case ExtrasUpdate():
                self._late |= own_extras(event.extras) if event.choice is None else {}
            case _:
                return self._take_inner(event)
        return []

    def finish(self) -> list[Frame]:
        """Close what is open and end the message."""
        if self._state is _State.DONE:
            return []
        frames = self._begin(Start("", ""))
        while self._current is not None:
            frames += [*self._close(self._current), *self._catch_up()]
        frames.append(_frame(self._message_delta()))
        frames.append(make_frame(b'{"type":"message_stop"}', b"message_stop"))
        self._state = _State.DONE
        return frames

    def _message_delta(self) -> JsonObject:
        ending = write_ending(self._ending, has_calls=self._has_calls, has_refusal=self._has_refusal)
        delta = {**ending, **{key: value for key, value in self._late.items() if key not in _BESIDE_DELTA}}
        beside = {key: value for key, value in self._late.items() if key in _BESIDE_DELTA}
        return {"type": "message_delta", "delta": delta, "usage": write_usage(self._usage), **beside}

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error; nothing may follow it."""
        if self._state is _State.DONE:
            return []
        self._state = _State.DONE
        return [_frame(encode_error(error))]

    # --- the message ---

    def _begin(self, start: Start) -> list[Frame]:
        if start.usage is not None:
            self._usage = self._usage.merged(start.usage)
        if self._state is not _State.NOTHING:
            return []
        self._state = _State.OPEN
        extras = own_extras(start.extras)
        self._late |= {key: extras.pop(key) for key in _TOLD_LATE if key in extras}
        message: JsonObject = {
            **extras,
            "id": message_id(start.id, self._ctx),
            "type": "message",
            "role": "assistant",
            "model": self._ctx.shown_model or start.model or self._ctx.requested_model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(self._usage),
        }
        return [_frame({"type": "message_start", "message": message})]

    # --- which block ---

    def _take_start(self, event: BlockStart) -> list[Frame]:
        if event.choice != 0:
            self._ctx.note("all answers but the first were dropped")
            return []
        frames = self._begin(Start("", ""))
        if self._current is None:
            return frames + self._open(event)
        self._waiting.setdefault(event.index, [event])
        return frames

    def _take_inner(self, event: _Inner) -> list[Frame]:
        current = self._current
        if current is None or current.start.index != event.index:
            if event.index in self._waiting:
                self._waiting[event.index].append(event)
            return []
        if not isinstance(event, BlockStop):
            return self._write(current, event)
        return [*self._close(current), *self._catch_up()]

    def _catch_up(self) -> Iterator[Frame]:
        """Write waiting blocks until one is still growing."""
        while self._current is None and self._waiting:
            for event in self._waiting.pop(next(iter(self._waiting))):
                yield from self._replay(event)

    def _replay(self, event: BlockStart | _Inner) -> list[Frame]:
        if isinstance(event, BlockStart):
            return self._open(event)
        current = self._current
        if current is None:
            return []
        return [*self._close(current)] if isinstance(event, BlockStop) else self._write(current, event)

    # --- one block ---

    def _open(self, start: BlockStart) -> list[Frame]:
        current = self._current = _Current(start)
        if start.kind in _CALLED and not self._holds_calls:
            return [*self._announce(current)]
        if start.kind is BlockKind.IMAGE:
            self._ctx.note("a generated image was dropped from the answer")
        return []

    def _announce(self, current: _Current) -> Iterator[Frame]:
        """Tell the client of the block, unless it knows."""
        if current.head:
            return
        start = current.start
        block: JsonObject
        if start.kind in _CALLED:
            if current.signature is not None and self._carries:
                yield from self._whole(carrier(current.signature, Anchor.NEXT_CALL))
                current.signature = None
            self._has_calls = True
            name = self._ctx.client_tool_name(start.name)
            call = call_id(start.call_id, self._ctx)
            block = {"type": "tool_use", "id": call, "name": name, "input": {}, **own_extras(start.extras)}
        elif start.kind in _THOUGHT:
            block = {"type": "thinking", "thinking": "", "signature": ""}
        else:
            self._has_refusal = self._has_refusal or start.kind is BlockKind.REFUSAL
            block = {"type": "text", "text": "", **own_extras(start.extras)}
        current.head = b'{"type":"content_block_delta","index":%d,"delta":' % self._count
        yield self._start_frame(block)

    def _write(self, current: _Current, event: _Inner) -> list[Frame]:
        match event:
            case TextDelta() if current.start.kind in _SPOKEN and event.text:
                return self._say(current, _TEXT, event.text)
            case ArgsDelta() if current.start.kind in _CALLED and event.fragment:
                return self._say_arguments(current, event.fragment)
            case ThinkingDelta() if event.text and current.start.kind in _THOUGHT and self._ctx.want_thoughts:
                words = f"\n\n{event.text}" if current.owes_break else event.text
                current.owes_break = False
                return self._say(current, _THINKING, words)
            case ThinkingBreak():
                current.owes_break = current.has_words
            case SignatureDelta() if event.value:
                current.signature = Signature(event.value, event.family)
            case ArgsDone() if current.start.kind in _CALLED and not current.has_words:
                return self._say_whole_arguments(current, event.arguments)
            case Annotation(dialect="claude") if event.citation and current.start.kind in _SPOKEN:
                delta: JsonObject = {"type": "citations_delta", "citation": event.citation}
                return [*self._announce(current), _delta_frame(current.head, dumps(delta))]
            case Annotation():
                self._ctx.note(FOREIGN_CITATIONS)
            case OpaqueBlock():
                blocks = opaque_blocks(event.part, self._ctx)
                return [frame for block in blocks for frame in self._whole(block)]
        return []

    def _say(self, current: _Current, kind: bytes, words: str) -> list[Frame]:
        frames = [] if current.head else [*self._announce(current)]
        current.has_words = True
        frames.append(_delta_frame(current.head, kind + literal(words) + b"}"))
        return frames

    def _say_arguments(self, current: _Current, fragment: str) -> list[Frame]:
        """Write a piece of a call's input; free text becomes the one argument its tool was declared with."""
        if current.start.kind is BlockKind.CUSTOM_TOOL_CALL:
            escaped = literal(fragment)[1:-1].decode("utf-8")
            fragment = escaped if current.has_words else f'{{"input":"{escaped}'
        return self._say(current, _ARGUMENTS, fragment)

    def _say_whole_arguments(self, current: _Current, arguments: str) -> list[Frame]:
        if current.start.kind is BlockKind.CUSTOM_TOOL_CALL:
            return self._say_arguments(current, arguments) if arguments else []
        value = to_object(arguments)
        # A call without deltas has no arguments, which needs no frame to say.
        return self._say(current, _ARGUMENTS, dumps_text(value)) if value else []

    def _close(self, current: _Current) -> Iterator[Frame]:
        """End a block, with what is only known or only allowed at its end."""
        self._current = None
        kind, signature = current.start.kind, current.signature
        if kind in _THOUGHT:
            yield from self._close_thought(current)
            return
        if kind in _CALLED:
            yield from self._announce(current)
            signature = current.signature
        if kind is BlockKind.CUSTOM_TOOL_CALL:
            yield from self._say(current, _ARGUMENTS, '"}' if current.has_words else '{"input":""}')
        if current.head:
            yield self._stop_frame()
            if signature is not None and self._carries:
                anchor = Anchor.PREVIOUS_CALL if kind in _CALLED else Anchor.PREVIOUS_TEXT
                yield from self._whole(carrier(signature, anchor))

    def _close_thought(self, current: _Current) -> Iterator[Frame]:
        signature = current.signature if not hides_thoughts(self._ctx) else None
        is_redacted = current.start.kind is BlockKind.REDACTED
        if is_redacted and signature is not None and signature.family is Family.CLAUDE:
            yield from self._whole({"type": "redacted_thinking", "data": signature.value})
            return
        if signature is not None:
            yield from self._announce(current)
            value = literal(carry(signature, Family.CLAUDE))
            yield _delta_frame(current.head, _SIGNATURE + value + b"}")
        if current.head:
            yield self._stop_frame()

    # --- frames ---

    def _whole(self, block: JsonObject) -> Iterator[Frame]:
        """Write a block that is complete from the start."""
        head = b'{"type":"content_block_delta","index":%d,"delta":' % self._count
        if text(block, "type") == "thinking":
            yield self._start_frame({**block, "signature": ""})
            yield _delta_frame(head, _SIGNATURE + literal(text(block, "signature")) + b"}")
        elif child(block, "input"):
            yield self._start_frame({**block, "input": {}})
            yield _delta_frame(head, _ARGUMENTS + literal(dumps_text(child(block, "input"))) + b"}")
        else:
            yield self._start_frame(block)
        yield self._stop_frame()

    def _start_frame(self, block: JsonObject) -> Frame:
        index = self._count
        self._count += 1
        return _frame({"type": "content_block_start", "index": index, "content_block": block})

    def _stop_frame(self) -> Frame:
        data = b'{"type":"content_block_stop","index":%d}' % (self._count - 1)
        return make_frame(data, b"content_block_stop")


def _delta_frame(head: bytes, delta: bytes) -> Frame:
    return make_frame(head + delta + b"}", b"content_block_delta")


def _frame(data: JsonObject) -> Frame:
    kind = data["type"]
    assert isinstance(kind, str)
    return make_frame(dumps(data), kind.encode())
