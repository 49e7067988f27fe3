"""Answers → what a Gemini client reads, streamed or whole.

A streamed answer is a sequence of small answers. Theory of operation:

* text and thoughts are written as they come, as a fixed frame around the text;
* a call is written whole when its block stops: its arguments must be an object. One with arguments that
  cannot be read waits for the end. If the answer was cut off, so was the call, and it is left out: written
  without arguments, it would look whole, and be run;
* a signature follows its text or thought in a part of its own, with empty text, as the API itself does it; a
  call or image carries its own;
* the finish reasons and the counts are kept for one last chunk. Its content is an empty text rather than no
  part at all, which the vendor's clients take for a damaged answer.

Errors are a chunk with nothing but ``error``. They have no event name: the vendor's Python client takes any
line that does not begin with ``data:`` for a piece of JSON.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, assert_never

from attrs import define, field

from cliproxy.dialects.gemini.errors import encode_error
from cliproxy.dialects.gemini.outcome import CUT_OFF, encode_ending, encode_usage
from cliproxy.dialects.gemini.parts import DIALECT_ID, encode_call
from cliproxy.errors import ProxyError
from cliproxy.ir.arguments import is_readable
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
from cliproxy.ir.request import CallKind, Family, Opaque, Signature, ToolCall
from cliproxy.ir.response import Usage
from cliproxy.ir.signatures import carry
from cliproxy.wire.jsontext import JsonObject, JsonValue, dumps, literal
from cliproxy.wire.sse import Frame, make_frame

HALF_A_CALL: Final = "a call that was cut off with the answer was dropped"

_CALLS: Final = frozenset({BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL})
_PARAGRAPH: Final = "\n\n"
_OPENING: Final = b'{"candidates":[{"content":{"parts":[{"text":'
_TEXT: Final = b'}],"role":"model"},"index":'
_THOUGHT: Final = b',"thought":true}],"role":"model"},"index":'

_Course = BlockStart | Start | UsageUpdate | Finish | ExtrasUpdate | Ping | StreamError
_Kept = ThinkingBreak | SignatureDelta | ArgsDelta | ArgsDone | Annotation | ImageDone | OpaqueBlock


def head_of(answer_id: str, model: str, created: int, ctx: ExchangeContext) -> JsonObject:
    """Return the members every chunk of an answer has."""
    return {
        "modelVersion": ctx.shown_model or model or ctx.upstream_model,
        "createTime": _timestamp(created or int(ctx.now)),
        "responseId": answer_id or ctx.new_id(""),
    }


def _timestamp(seconds: int) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def call_part(call: ToolCall, ctx: ExchangeContext) -> JsonObject:
    """Write a call for the client: its own name of the tool, its own id."""
    node = encode_call(call)
    function = node["functionCall"]
    assert isinstance(function, dict)
    function["name"] = ctx.client_tool_name(call.name)
    if call.id:
        node["functionCall"] = {"id": ctx.client_call_id(call.id), **function}
    return signed(node, call.signature)


def signed(node: JsonObject, signature: Signature | None) -> JsonObject:
    """Add a signature, marked with its origin if it is not Gemini's."""
    if signature is None or not signature.value:
        return node
    return {**node, "thoughtSignature": carry(signature, Family.GEMINI)}


def is_half_a_call(call: ToolCall, reason: str) -> bool:
    """Tell whether a call was cut off with the answer; ``reason`` is why that ended, in words of the wire."""
    is_whole = reason == "STOP" or call.kind is CallKind.CUSTOM
    return not is_whole and not is_readable(call.arguments)


def opaque_part(part: Opaque, ctx: ExchangeContext) -> JsonObject | None:
    """Return a part that only this dialect knows as it came; ``None`` for those of others."""
    if part.dialect == DIALECT_ID and part.raw:
        return part.raw
    ctx.note(f"a part of kind {part.kind} ({part.dialect}) is not carried")
    return None


@define(eq=False)
class _Block:
    """One block that is open."""

    start: BlockStart
    pieces: list[str] = field(factory=list)
    """Arguments as they come."""
    arguments: str = ""
    signature: Signature | None = None
    part: JsonObject | None = None
    """An image, or what only this dialect knows."""
    has_text: bool = False
    has_break: bool = False
    """A paragraph ended; the next text begins a new one."""


class GeminiStreamEncoder:
    """Encodes one answer. See the module's theory of operation."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._head: JsonObject = {}
        self._tail = b""
        self._blocks: dict[int, _Block] = {}
        self._endings: dict[int, str] = {}
        self._beside: dict[int, JsonObject] = {}
        """What stands beside the content of a candidate: citations, and what nobody models."""
        self._more: JsonObject = {}
        self._has_said = False
        self._choices: set[int] = {0}
        self._usage = Usage()
        self._unreadable: list[tuple[ToolCall, int]] = []
        """Calls, and their choices, of which it is not known whether they are whole."""
        self._is_cut_off = False
        self._is_over = False

    def __repr__(self) -> str:
        state = "over" if self._is_over else "open" if self._head else "new"
        return f"<GeminiStreamEncoder {state}, {len(self._blocks)} blocks>"

    def encode(self, event: Event) -> list[Frame]:
        """Encode an event."""
        if self._is_over:
            return []
        match event:
            case TextDelta(index=index, text=said):
                return self._text(index, BlockKind.TEXT, said)
            case ThinkingDelta(index=index, text=said):
                return self._text(index, BlockKind.THINKING, said)
            case BlockStop(index=index):
                return self._stop(index)
            case End(clean=is_clean):
                self._is_cut_off = not is_clean
                return self.finish()
            case BlockStart() | Start() | UsageUpdate() | Finish() | ExtrasUpdate() | Ping() | StreamError():
                self._follow(event)
            case _:
                self._keep(event)
        return []

    def finish(self) -> list[Frame]:
        """Close what is open and write the last chunk."""
        if self._is_over:
            return []
        frames = [frame for index in list(self._blocks) for frame in self._stop(index)]
        frames += self._doubtful_calls()
        self._is_over = True
        candidates: list[JsonValue] = [
            {
                "content": {"parts": [{"text": ""}], "role": "model"},
                "finishReason": self._reason(choice),
                "index": choice,
                **self._beside.get(choice, {}),
            }
            for choice in sorted(self._choices)
        ]
        # A prompt that was refused has no candidates, but a reason.
        is_refused = "promptFeedback" in self._more and not self._has_said
        last: JsonObject = {} if is_refused else {"candidates": candidates}
        if counts := encode_usage(self._usage):
            last["usageMetadata"] = counts
        return [*frames, make_frame(dumps({**last, **self._identity(), **self._more}))]

    def _reason(self, choice: int) -> str:
        return self._endings.get(choice, CUT_OFF if self._is_cut_off else "STOP")

    def _doubtful_calls(self) -> Iterator[Frame]:
        for call, choice in self._unreadable:
            if is_half_a_call(call, self._reason(choice)):
                self._ctx.note(HALF_A_CALL)
            else:
                yield self._chunk(call_part(call, self._ctx), choice)

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error; nothing may follow."""
        self._is_over = True
        return [make_frame(dumps(encode_error(error)))]

    def _follow(self, event: _Course) -> None:
        match event:
            case BlockStart():
                self._blocks[event.index] = _Block(event)
                self._choices.add(event.choice)
                self._has_said = True
            case Start(usage=usage):
                self._usage = self._usage.merged(usage or Usage())
                if not self._head:
                    self._head = head_of(event.id, event.model, event.created, self._ctx)
            case UsageUpdate(usage=usage):
                self._usage = self._usage.merged(usage)
            case Finish(ending=ending, choice=choice):
                self._endings[choice] = encode_ending(ending)
                self._choices.add(choice)
            case ExtrasUpdate(choice=choice, extras=extras):
                own = extras.get(DIALECT_ID, {})
                if choice is None:
                    self._more |= own
                else:
                    self._beside[choice] = {**self._beside.get(choice, {}), **own}
            case Ping() | StreamError():
                pass  # an error is written by `error`, with what the exchange knows about it
            case _:
                assert_never(event)

    def _identity(self) -> JsonObject:
        if not self._head:
            self._head = head_of("", "", 0, self._ctx)
        return self._head

    def _block(self, index: int, kind: BlockKind) -> _Block:
        """Return a block; one that nobody opened is opened here."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(BlockStart(index, kind))
        return block

    def _text(self, index: int, kind: BlockKind, said: str) -> list[Frame]:
        block = self._block(index, kind)
        is_thought = block.start.kind is BlockKind.THINKING
        if not said or (is_thought and not self._ctx.want_thoughts):
            return []
        if block.has_break and block.has_text:
            said = _PARAGRAPH + said
        block.has_break = False
        block.has_text = True
        middle = _THOUGHT if is_thought else _TEXT
        if not self._tail:
            # Everything behind the content is the same in every chunk.
            self._tail = b"}]," + dumps(self._identity())[1:]
        data = b"%b%b%b%d%b" % (_OPENING, literal(said), middle, block.start.choice, self._tail)
        return [make_frame(data)]

    def _keep(self, event: _Kept) -> None:
        match event:
            case ThinkingBreak(index=index):
                self._block(index, BlockKind.THINKING).has_break = True
            case ArgsDelta(index=index, fragment=fragment):
                self._block(index, BlockKind.TOOL_CALL).pieces.append(fragment)
            case ArgsDone(index=index, arguments=arguments):
                self._block(index, BlockKind.TOOL_CALL).arguments = arguments
            case SignatureDelta(index=index, value=value, family=family):
                self._block(index, BlockKind.REDACTED).signature = Signature(value, family)
            case ImageDone(index=index, mime=mime, data=data):
                block = self._block(index, BlockKind.IMAGE)
                block.part = None if event.partial else {"inlineData": {"mimeType": mime, "data": data}}
            case OpaqueBlock(index=index, part=part):
                self._block(index, BlockKind.OPAQUE).part = opaque_part(part, self._ctx)
            case Annotation():
                self._cite(event)
            case _:
                assert_never(event)

    def _cite(self, event: Annotation) -> None:
        if event.dialect != DIALECT_ID:
            self._ctx.note("citations are not carried")
            return
        choice = self._block(event.index, BlockKind.TEXT).start.choice
        self._beside[choice] = {**self._beside.get(choice, {}), **event.citation}

    def _stop(self, index: int) -> list[Frame]:
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        part = self._last_part(block)
        return [] if part is None else [self._chunk(part, block.start.choice)]

    def _last_part(self, block: _Block) -> JsonObject | None:
        """Return what a block still has to say when it stops."""
        start = block.start
        if start.kind in _CALLS:
            arguments = "".join(block.pieces) or block.arguments
            kind = CallKind.CUSTOM if start.kind is BlockKind.CUSTOM_TOOL_CALL else CallKind.FUNCTION
            call = ToolCall(start.call_id, start.name, arguments, kind, block.signature)
            if kind is CallKind.FUNCTION and not is_readable(arguments):
                self._unreadable.append((call, start.choice))
                return None
            return call_part(call, self._ctx)
        if block.part is not None:
            return signed(block.part, block.signature)
        if block.signature is None:
            return None
        is_thought = start.kind in {BlockKind.THINKING, BlockKind.REDACTED}
        if is_thought and not self._ctx.want_thoughts:
            return None
        return signed({"text": "", "thought": True} if is_thought else {"text": ""}, block.signature)

    def _chunk(self, part: JsonObject, choice: int) -> Frame:
        content: JsonObject = {"parts": [part], "role": "model"}
        candidate: JsonObject = {"content": content, "index": choice}
        return make_frame(dumps({"candidates": [candidate], **self._identity()}))
