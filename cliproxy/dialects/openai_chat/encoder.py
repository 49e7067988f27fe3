"""Streams for a client: events → ``chat.completion.chunk`` objects.

Contract: OpenAI API reference, "The chat completion chunk object". What clients rely on, and this encoder
therefore keeps whatever order events come in::

    role chunk      once for each choice, before anything else of it
    deltas          content, reasoning_content, refusal, images, annotations, audio, tool_calls
    finish chunk    once for each choice, after all deltas of the answer
    usage chunk     without choices, if the client asked for it; else the last finish chunk has the usage
    [DONE]          once

Calls are numbered within their choice in the order in which they begin, whatever blocks stand between them.
The finish chunks wait for the end of the answer, because counts may follow the finish reason. An error takes
the place of everything that would have followed, ``[DONE]`` included.

The two deltas that make up most of a stream, text and arguments, are written by putting a string literal
between two prepared byte strings.

What an upstream of this dialect said beyond the vendor's grammar is said again: members of the answer in
every chunk from then on, those of a choice (log probabilities above all) in the next chunk of that choice.
"""

from typing import Final

from attrs import define, field

from cliproxy.dialects.openai_chat.answers import (
    OTHER_CALLS,
    ClientCall,
    annotation,
    answer_head,
    client_call,
    image_entry,
    knows_one_call,
    older_reason,
    unwrapped,
    wants_usage,
)
from cliproxy.dialects.openai_chat.errors import encode_error, error_in_stream
from cliproxy.dialects.openai_chat.messages import signed
from cliproxy.dialects.openai_chat.names import (
    AUDIO,
    DIALECT_ID,
    DONE,
    FUNCTION,
    IMAGE_URL,
    MESSAGE,
    OLDER_CALL,
    own,
)
from cliproxy.dialects.openai_chat.outcome import encode_reason, encode_usage, is_known
from cliproxy.errors import ProxyError
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
from cliproxy.ir.media import write_data_url
from cliproxy.ir.request import Family, Inline, Opaque, Signature
from cliproxy.ir.response import Ending, FinishReason, Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, dumps, literal, rest, text
from cliproxy.wire.sse import Frame, make_frame

OBJECT: Final = "chat.completion.chunk"
_PARAGRAPH: Final = "\n\n"
_MARK: Final = "\x00"
"""Stands for the variable text while a template is made."""
_MARK_LITERAL: Final = literal(_MARK)

_MEMBERS: Final = {
    BlockKind.TEXT: "content",
    BlockKind.REFUSAL: "refusal",
    BlockKind.THINKING: "reasoning_content",
}
_CALLS: Final = (BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL)


@define(eq=False)
class _Choice:
    """What the client has seen of one choice."""

    index: int
    calls: int = 0
    images: list[str] = field(factory=list)
    has_refusal: bool = False
    ending: Ending | None = None
    said: int = 0
    """Characters of text so far: citations count from the beginning of the message."""
    pending: JsonObject = field(factory=dict)
    """Members that nobody models, to be told with what comes next."""

    def entry(self, delta: JsonObject, reason: JsonValue = None) -> JsonObject:
        """Return the entry of a chunk that says this, and what was pending."""
        entry: JsonObject = {"index": self.index, "delta": delta, "finish_reason": reason}
        if self.pending:
            grow(delta, child(self.pending, MESSAGE))
            entry |= rest(self.pending, MESSAGE)
            self.pending = {}
        return entry


@define(eq=False)
class _Call:
    """A call that is being told."""

    client: ClientCall
    number: int
    """Its number in its choice."""
    is_older: bool = False
    """The client knows one call, without number or id."""
    has_arguments: bool = False
    withheld: list[str] = field(factory=list)
    """Arguments kept back until what they are wrapped in can be taken off."""
    whole: str = ""
    """All arguments, in case no piece of them comes."""
    signature: Signature | None = None

    def delta(self, members: JsonObject) -> JsonObject:
        """Return the delta that says something of the call."""
        if self.is_older:
            return {OLDER_CALL: child(members, FUNCTION)}
        return {"tool_calls": [{"index": self.number, **members}]}


@define(eq=False)
class _Block:
    """An open block."""

    kind: BlockKind
    choice: _Choice
    call: _Call | None = None
    template: tuple[bytes, bytes] | None = None
    """What stands before and after the text of a delta."""
    has_break: bool = False
    """A paragraph of reasoning is over, which is told when the next one begins."""
    offset: int = 0
    """Where in the text of the message it begins."""

    def delta(self, said: str) -> JsonObject:
        """Return the delta that says a piece of text or arguments."""
        if self.call is None:
            return {_MEMBERS[self.kind]: said}
        return self.call.delta({self.call.client.kind: {self.call.client.member: said}})


@define(eq=False)
class ChatStreamEncoder:
    """Writes one stream. See the module's docstring."""

    _ctx: ExchangeContext
    _head: JsonObject = field(factory=dict, init=False)
    _choices: dict[int, _Choice] = field(factory=dict, init=False)
    _blocks: dict[int, _Block] = field(factory=dict, init=False)
    _usage: Usage = field(factory=Usage, init=False)
    _is_over: bool = field(default=False, init=False)
    _out: list[Frame] = field(factory=list, init=False)

    def encode(self, event: Event) -> list[Frame]:
        """Take one event."""
        if not self._is_over:
            self._take(event)
        return self._taken()

    def finish(self) -> list[Frame]:
        """Close what is open and end the stream."""
        if not self._is_over:
            self._end()
        return self._taken()

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error; nothing follows it."""
        if not self._is_over:
            self._is_over = True
            self._out.append(make_frame(dumps(encode_error(error))))
        return self._taken()

    def _taken(self) -> list[Frame]:
        frames, self._out = self._out, []
        return frames

    def _take(self, event: Event) -> None:  # noqa: C901, PLR0912 - one flat match
        match event:
            case TextDelta():
                self._say(event.index, event.text, BlockKind.TEXT)
            case ThinkingDelta():
                self._say(event.index, event.text, BlockKind.THINKING)
            case ArgsDelta():
                self._argue(event)
            case BlockStart():
                self._open(event)
            case BlockStop():
                self._close(event.index)
            case Start():
                self._start(event)
            case UsageUpdate():
                self._usage = self._usage.merged(event.usage)
            case Finish():
                self._choice(event.choice).ending = event.ending
            case ExtrasUpdate():
                self._note(own(event.extras), event.choice)
            case End():
                self._end()
            case StreamError():
                self._is_over = True
                self._out.append(make_frame(dumps(encode_error(error_in_stream(event)))))
            case Ping():
                pass
            case _:
                self._add(event)

    # --- frames ---

    def _start(self, event: Start) -> None:
        if event.usage is not None:
            self._usage = self._usage.merged(event.usage)
        if not self._head:
            self._head = answer_head(event.id, event.model, event.created, self._ctx) | {"object": OBJECT}
            self._head |= own(event.extras)
            self._choice(0)

    def _note(self, members: JsonObject, index: int | None) -> None:
        """Keep members that nobody models until there is a chunk to put them into."""
        if not members:
            return
        if index is not None:
            grow(self._choice(index).pending, members)
            return
        self._choice(0)
        self._head |= members
        for block in self._blocks.values():
            if block.template is not None:
                block.template = self._template(block)

    def _emit(self, members: JsonObject) -> None:
        self._out.append(make_frame(dumps({**self._head, **members})))

    def _emit_delta(self, choice: _Choice, delta: JsonObject) -> None:
        self._emit({"choices": [choice.entry(delta)]})

    def _write(self, block: _Block, said: str) -> None:
        """Tell a piece of text or arguments."""
        assert block.template is not None
        if block.choice.pending:
            self._emit_delta(block.choice, block.delta(said))
            return
        before, after = block.template
        self._out.append(make_frame(before + literal(said) + after))

    def _choice(self, index: int) -> _Choice:
        """Return a choice, introduced to the client."""
        if not self._head:
            self._head = answer_head("", "", 0, self._ctx) | {"object": OBJECT}
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
            self._emit_delta(choice, {"role": "assistant", "content": ""})
        return choice

    def _template(self, block: _Block) -> tuple[bytes, bytes]:
        """Return the frame data around the variable text of a delta, which is :data:`_MARK` here."""
        delta = block.delta(_MARK)
        entry: JsonObject = {"index": block.choice.index, "delta": delta, "finish_reason": None}
        before, _, after = dumps({**self._head, "choices": [entry]}).rpartition(_MARK_LITERAL)
        return before, after

    # --- blocks ---

    def _open(self, event: BlockStart) -> _Block:
        choice = self._choice(event.choice)
        block = self._blocks[event.index] = _Block(event.kind, choice, offset=choice.said)
        if event.kind is BlockKind.REFUSAL:
            choice.has_refusal = True
        if event.kind in _MEMBERS:
            block.template = self._template(block)
        elif event.kind in _CALLS:
            self._call(event, block)
        return block

    def _call(self, event: BlockStart, block: _Block) -> None:
        is_older = knows_one_call(self._ctx)
        choice = block.choice
        if is_older and choice.calls:
            self._ctx.note(OTHER_CALLS)
            return
        is_custom = event.kind is BlockKind.CUSTOM_TOOL_CALL
        client = client_call(event.call_id, event.name, self._ctx, is_custom=is_custom)
        block.call = _Call(client, choice.calls, is_older)
        choice.calls += 1
        block.template = self._template(block)
        self._emit_delta(choice, block.call.delta({**client.opening(""), **own(event.extras)}))

    def _say(self, index: int, said: str, kind: BlockKind) -> None:
        block = self._blocks.get(index) or self._open(BlockStart(index, kind))
        if not said or block.template is None or block.call is not None:
            return
        if block.kind is BlockKind.THINKING and not self._ctx.want_thoughts:
            return
        if block.has_break:
            block.has_break = False
            said = _PARAGRAPH + said
        if block.kind is BlockKind.TEXT:
            block.choice.said += len(said)
        self._write(block, said)

    def _argue(self, event: ArgsDelta) -> None:
        block = self._blocks.get(event.index)
        if block is None or block.call is None or block.template is None or not event.fragment:
            return
        block.call.has_arguments = True
        if block.call.client.is_wrapped:
            block.call.withheld.append(event.fragment)
        else:
            self._write(block, event.fragment)

    def _add(
        self, event: ArgsDone | Annotation | ImageDone | OpaqueBlock | SignatureDelta | ThinkingBreak
    ) -> None:
        """Take one of the rarer things that a block may hold."""
        block = self._blocks.get(event.index)
        if block is None:
            return
        match event:
            case ThinkingBreak():
                block.has_break = True
            case ArgsDone() if block.call is not None:
                block.call.whole = event.arguments
            case SignatureDelta() if block.call is not None:
                block.call.signature = Signature(event.value, event.family)
            case Annotation():
                written = annotation(event.citation, event.dialect, self._ctx, offset=block.offset)
                if written is not None:
                    self._emit_delta(block.choice, {"annotations": [written]})
            case ImageDone(partial=False):
                self._image(block.choice, write_data_url(Inline(event.mime or "image/png", event.data)))
            case OpaqueBlock():
                self._opaque(block.choice, event.part)
            case _:
                pass

    def _opaque(self, choice: _Choice, part: Opaque) -> None:
        if part.dialect == DIALECT_ID and part.kind == AUDIO:
            self._emit_delta(choice, {AUDIO: part.raw})
        elif part.dialect == DIALECT_ID and part.kind == IMAGE_URL:
            self._image(choice, text(child(part.raw, IMAGE_URL), "url"))
        else:
            self._ctx.note("a part of the answer that only another dialect knows was dropped")

    def _image(self, choice: _Choice, url: str) -> None:
        if url and url not in choice.images:
            choice.images.append(url)
            self._emit_delta(choice, {"images": [image_entry(url, len(choice.images) - 1)]})

    def _close(self, index: int) -> None:
        block = self._blocks.pop(index, None)
        if block is None or block.call is None or block.template is None:
            return
        call, client = block.call, block.call.client
        left = ""
        if client.is_wrapped:
            left = unwrapped("".join(call.withheld) or call.whole)
        elif not call.has_arguments:
            left = call.whole or ("" if client.is_custom else "{}")
        if left:
            self._write(block, left)
        if call.signature is not None and call.signature.family is Family.GEMINI and not call.is_older:
            # The vendor's own package fails on a chunk of a call without this member.
            more: JsonObject = {client.kind: {client.member: ""}, **signed(call.signature)}
            self._emit_delta(block.choice, call.delta(more))

    # --- the end ---

    def _end(self) -> None:
        self._is_over = True
        for index in list(self._blocks):
            self._close(index)
        if not self._choices:
            self._choice(0)
        *others, last = self._choices.values()
        for choice in others:
            self._finish(choice, {})
        wants_chunk = wants_usage(self._ctx)
        is_told = is_known(self._usage) and not wants_chunk
        self._finish(last, {"usage": encode_usage(self._usage)} if is_told else {})
        if wants_chunk:
            self._emit({"choices": [], "usage": encode_usage(self._usage)})
        self._out.append(make_frame(DONE))

    def _finish(self, choice: _Choice, more: JsonObject) -> None:
        ending = choice.ending or Ending(FinishReason.STOP)
        reason = encode_reason(ending, has_calls=choice.calls > 0, has_refusal=choice.has_refusal)
        entry = choice.entry({}, older_reason(reason, self._ctx))
        if ending.native:
            entry["native_finish_reason"] = ending.native.lower()
        self._emit({"choices": [entry], **more})
