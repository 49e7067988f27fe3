"""Streams of an upstream: ``chat.completion.chunk`` objects → events.

Contract: OpenAI API reference, "The chat completion chunk object". The vendor's grammar is simple: every
chunk has a delta for one choice; a call is introduced with index, id and name, and continued with its index
alone; a finish reason ends each choice; a chunk without choices carries the usage if it was asked for; and
``[DONE]`` ends the stream. Compatible servers depart from it in ways that are all taken care of here:

* reasoning comes in one of several members, as a string, a list, or parts with a type;
* a call's id or name comes late, its arguments before them; both come again in every chunk; every call has
  index 0, and only a new id tells them apart, or a name after complete arguments; arguments are an object. A
  call is therefore *opened* only when both are known, or at the end, when what is missing is made up;
* usage comes in every chunk (the last one counts), inside a choice, or together with the finish reason;
* a choice finishes twice, the second time with a plain stop;
* text or reasoning come as blocks of mixed parts; the last chunk has a whole message instead of a delta.

Members that nobody models (log probabilities, fingerprints, what compatible servers add) are read only for
clients of this dialect, which are told them again.

Each choice has at most one open block of text, refusal or reasoning, and any number of open calls. A finish
reason is kept until the end, so that an encoder has all counts when it hears of it. Without ``[DONE]`` the
end is not clean; a finish reason is never made up then, since it alone tells a complete answer from one that
was cut off.
"""

from collections.abc import Generator, Iterator
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import broken_event
from cliproxy.dialects.openai_chat.errors import decode_error
from cliproxy.dialects.openai_chat.messages import (
    ANNOTATIONS,
    ANSWER_MEMBERS,
    arguments_of,
    call_extras,
    reasoning_of,
    signature_of,
)
from cliproxy.dialects.openai_chat.names import (
    AUDIO,
    CUSTOM,
    DIALECT_ID,
    DONE,
    FUNCTION,
    IMAGE_URL,
    MESSAGE,
    as_extras,
    is_from_chat,
)
from cliproxy.dialects.openai_chat.outcome import decode_ending, decode_usage, usage_of, weight
from cliproxy.dialects.openai_chat.parts import decode_content
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    ImageDone,
    OpaqueBlock,
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.media import read_data_url
from cliproxy.ir.request import Image, Inline, Opaque, Refusal, Signature, Text, Thinking
from cliproxy.ir.response import Ending, Usage
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    integer,
    loads_object,
    objects,
    rest,
    text,
)
from cliproxy.wire.sse import Frame

_LEGACY: Final = -1
"""Key of the one call of the older ``function_call`` member."""
_OF_CHUNK: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation"})
_OF_CHOICE: Final = frozenset({"index", "delta", "message", "finish_reason", "native_finish_reason", "usage"})


def _more_of(entry: JsonObject, delta: JsonObject) -> JsonObject:
    """Return the members of a choice and of its delta that nobody models."""
    more: JsonObject = {
        key: value for key, value in entry.items() if key not in _OF_CHOICE and value is not None
    }
    said: JsonObject = {
        key: value for key, value in delta.items() if key not in ANSWER_MEMBERS and value is not None
    }
    if said:
        more[MESSAGE] = said
    return more


@define(eq=False)
class _Call:
    """A call of the answer, perhaps not yet introduced."""

    index: int
    id: str = ""
    name: str = ""
    kind: BlockKind = BlockKind.TOOL_CALL
    block: int | None = None
    """Index of its block once that is open."""
    waiting: list[str] = field(factory=list)
    """Arguments that came before the block was open."""
    said: list[str] = field(factory=list)
    """All arguments so far. Servers that name the call in every chunk have them looked at in every chunk:
    they are put together only where that can tell something."""
    length: int = 0
    """Characters in ``said``."""
    last: str = ""
    """The last of them that is no space."""
    signature: Signature | None = None
    extras: JsonObject = field(factory=dict)

    def is_over(self, call_id: str, name: str, fragment: str) -> bool:
        """Whether what comes under the same index is another call: by its id, or since this one is complete
        and a name is given again."""
        if call_id and self.id:
            return call_id != self.id
        return bool(name and fragment and self.name) and self._is_complete()

    def is_repeated(self, name: str, fragment: str) -> bool:
        """Whether the arguments are told a second time, as some servers do at the end."""
        may_be = bool(name and fragment) and len(fragment) == self.length
        return may_be and fragment == "".join(self.said) and self._is_complete()

    def add(self, fragment: str) -> None:
        """Take further arguments."""
        self.waiting.append(fragment)
        self.said.append(fragment)
        self.length += len(fragment)
        self.last = fragment.rstrip()[-1:] or self.last

    def _is_complete(self) -> bool:
        if self.kind is BlockKind.CUSTOM_TOOL_CALL or self.last != "}":
            return False
        try:
            loads_object("".join(self.said))
        except JsonError:
            return False
        return True


@define(eq=False)
class _Choice:
    """What is going on in one choice."""

    index: int
    block: int | None = None
    """The open block of text, refusal or reasoning."""
    kind: BlockKind = BlockKind.TEXT
    calls: dict[int, _Call] = field(factory=dict)
    """The latest call for each index of the wire."""
    all_calls: list[_Call] = field(factory=list)
    audio: int | None = None
    """The block of generated sound."""
    audio_id: str = ""
    reason: str | None = None
    native: str = ""
    has_refusal: bool = False
    has_spoken: bool = False

    def end(self, word: str, native: str) -> None:
        """Take a finish reason, unless it says less than one that came before."""
        if self.reason is None or weight(word) > weight(self.reason):
            self.reason, self.native = word, native


@define(eq=False)
class ChatStreamDecoder:
    """Reads one stream. See the module's docstring."""

    _ctx: ExchangeContext
    _choices: dict[int, _Choice] = field(factory=dict, init=False)
    _blocks: int = field(default=0, init=False)
    _usage: Usage | None = field(default=None, init=False)
    _told: JsonObject = field(factory=dict, init=False)
    """Members of the answer that nobody models, as they were told last."""
    _has_started: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    def feed(self, frame: Frame) -> list[Event]:
        """Take one frame."""
        if self._has_ended or not frame.data:
            return []
        if frame.data.strip() == DONE:
            return self._end(is_clean=True)
        try:
            chunk = loads_object(frame.data)
        except JsonError:
            broken = broken_event(frame)
            self._has_ended = broken is not None
            return [broken] if broken is not None else []
        if chunk.get("error") or (frame.event == b"error" and "choices" not in chunk):
            self._has_ended = True
            return [decode_error(0, chunk)]
        return list(self._chunk(chunk))

    def finish(self) -> list[Event]:
        """Take the end of the transport."""
        return [] if self._has_ended else self._end(is_clean=False)

    def _chunk(self, chunk: JsonObject) -> Iterator[Event]:
        entries = [*objects(chunk, "choices")]
        usage = decode_usage(usage_of(chunk))
        news = self._news(chunk)
        if self._has_started:
            if news:
                yield ExtrasUpdate(as_extras(news))
        elif entries or usage is not None:
            self._has_started = True
            told = as_extras({**self._told})
            yield Start(text(chunk, "id"), text(chunk, "model"), integer(chunk, "created") or 0, extras=told)
        for number, entry in enumerate(entries):
            index = integer(entry, "index")
            yield from self._choice(number if index is None else index, entry)
        if usage is not None and usage != self._usage:
            self._usage = usage
            yield UsageUpdate(usage)

    def _news(self, chunk: JsonObject) -> JsonObject:
        """Return the members that nobody models and that say something new."""
        if not is_from_chat(self._ctx):
            return {}
        told = self._told
        news = {
            key: value
            for key, value in chunk.items()
            if key not in _OF_CHUNK and (key not in told or told[key] != value)
        }
        told.update(news)
        return news

    def _choice(self, index: int, entry: JsonObject) -> Iterator[Event]:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
        delta = child(entry, "delta")
        if not delta and not choice.has_spoken:
            delta = child(entry, "message")
        if is_from_chat(self._ctx) and (more := _more_of(entry, delta)):
            yield ExtrasUpdate(as_extras(more), index)
        if delta:
            yield from self._delta(choice, delta)
        if reason := text(entry, "finish_reason"):
            choice.end(reason, text(entry, "native_finish_reason") or reason)

    def _delta(self, choice: _Choice, delta: JsonObject) -> Iterator[Event]:
        if thought := reasoning_of(delta):
            yield from self._say(choice, BlockKind.THINKING, thought)
        content = delta.get("content")
        if isinstance(content, str):
            if content:
                yield from self._say(choice, BlockKind.TEXT, content)
        elif content is not None:
            yield from self._parts(choice, delta)
        if refusal := text(delta, "refusal"):
            choice.has_refusal = True
            yield from self._say(choice, BlockKind.REFUSAL, refusal)
        for entry in objects(delta, "images"):
            yield from self._image(choice, entry)
        if sound := child(delta, AUDIO):
            yield from self._audio(choice, sound)
        yield from self._annotations(choice, delta)
        yield from self._calls(choice, delta)

    def _say(self, choice: _Choice, kind: BlockKind, said: str) -> Iterator[Event]:
        if choice.block is None or choice.kind is not kind:
            yield from self._close(choice)
            choice.block, choice.kind, choice.has_spoken = self._next_block(), kind, True
            yield BlockStart(choice.block, kind, choice.index)
        if kind is BlockKind.THINKING:
            yield ThinkingDelta(choice.block, said)
        else:
            yield TextDelta(choice.block, said)

    def _parts(self, choice: _Choice, delta: JsonObject) -> Iterator[Event]:
        """Read content that is a list of parts."""
        try:
            parts = decode_content(delta.get("content"), self._ctx, "delta.content")
        except DialectError:
            self._ctx.note("the content of a delta could not be read")
            return
        for part in parts:
            match part:
                case Text(text=said) if said:
                    yield from self._say(choice, BlockKind.TEXT, said)
                case Thinking(text=said) if said:
                    yield from self._say(choice, BlockKind.THINKING, said)
                case Refusal(text=said) if said:
                    yield from self._say(choice, BlockKind.REFUSAL, said)
                case Image(source=Inline() as source):
                    yield from self._shown(choice, source)
                case _:
                    self._ctx.note("a part of a delta's content was dropped")

    def _image(self, choice: _Choice, entry: JsonObject) -> Iterator[Event]:
        source = read_data_url(text(child(entry, IMAGE_URL), "url"))
        if source is not None:
            yield from self._shown(choice, source)
        elif text(child(entry, IMAGE_URL), "url"):
            block = yield from self._aside(choice, BlockKind.OPAQUE)
            yield OpaqueBlock(block, Opaque(DIALECT_ID, IMAGE_URL, entry))
            yield BlockStop(block)

    def _shown(self, choice: _Choice, source: Inline) -> Iterator[Event]:
        block = yield from self._aside(choice, BlockKind.IMAGE)
        yield ImageDone(block, source.mime, source.data)
        yield BlockStop(block)

    def _audio(self, choice: _Choice, sound: JsonObject) -> Iterator[Event]:
        """Tell a piece of generated sound; its id is told once, since texts in pieces are joined."""
        if choice.audio is None:
            choice.audio = yield from self._aside(choice, BlockKind.OPAQUE)
        if text(sound, "id") and text(sound, "id") == choice.audio_id:
            sound = rest(sound, "id")
        choice.audio_id = text(sound, "id") or choice.audio_id
        yield OpaqueBlock(choice.audio, Opaque(DIALECT_ID, AUDIO, sound))

    def _aside(self, choice: _Choice, kind: BlockKind) -> Generator[Event, None, int]:
        """Open a block of something that is not said; return its index."""
        yield from self._close(choice)
        choice.has_spoken = True
        block = self._next_block()
        yield BlockStart(block, kind, choice.index)
        return block

    def _annotations(self, choice: _Choice, delta: JsonObject) -> Iterator[Event]:
        citations: list[JsonValue] = [*objects(delta, ANNOTATIONS)]
        if choice.block is not None and choice.kind is BlockKind.TEXT:
            for citation in objects(delta, ANNOTATIONS):
                yield Annotation(choice.block, citation, DIALECT_ID)
        elif citations:
            # They cannot be told of a text that is closed.
            yield ExtrasUpdate(as_extras({MESSAGE: {ANNOTATIONS: citations}}), choice.index)

    def _calls(self, choice: _Choice, delta: JsonObject) -> Iterator[Event]:
        for position, entry in enumerate(objects(delta, "tool_calls")):
            wire_index = integer(entry, "index")
            yield from self._call(choice, position if wire_index is None else wire_index, entry)
        if legacy := child(delta, "function_call"):
            yield from self._call(choice, _LEGACY, {FUNCTION: legacy})

    def _call(self, choice: _Choice, wire_index: int, entry: JsonObject) -> Iterator[Event]:
        call_id = text(entry, "id")
        is_custom = text(entry, "type") == CUSTOM or CUSTOM in entry
        described = child(entry, CUSTOM if is_custom else FUNCTION)
        name = text(described, "name")
        fragment = text(described, "input") if is_custom else arguments_of(described)
        call = choice.calls.get(wire_index)
        if call is None or call.is_over(call_id, name, fragment):
            call = choice.calls[wire_index] = _Call(max(wire_index, 0))
            choice.all_calls.append(call)
            choice.has_spoken = True
        if is_custom and call.block is None:
            call.kind = BlockKind.CUSTOM_TOOL_CALL
        call.id = call.id or call_id
        call.name = call.name or name
        call.signature = signature_of(entry) or call.signature
        if is_from_chat(self._ctx) and call.block is None:
            call.extras |= call_extras(entry)
        if fragment and not call.is_repeated(name, fragment):
            call.add(fragment)
        if call.block is None and call.id and call.name:
            yield from self._open(choice, call)
        if call.block is not None:
            yield from self._pour(call)

    def _open(self, choice: _Choice, call: _Call) -> Iterator[Event]:
        yield from self._close(choice)
        call.block = self._next_block()
        extras = as_extras(call.extras)
        yield BlockStart(call.block, call.kind, choice.index, call.id, call.name, extras=extras)

    def _pour(self, call: _Call) -> Iterator[Event]:
        """Tell the arguments that have come."""
        assert call.block is not None
        for fragment in call.waiting:
            yield ArgsDelta(call.block, fragment)
        call.waiting.clear()

    def _close(self, choice: _Choice) -> Iterator[Event]:
        """Close the open block of text, refusal or reasoning."""
        if choice.block is not None:
            yield BlockStop(choice.block)
            choice.block = None

    def _next_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _end(self, *, is_clean: bool) -> list[Event]:
        self._has_ended = True
        events: list[Event] = []
        if not self._has_started:
            events.append(Start("", "", extras=as_extras(self._told)))
        for choice in self._choices.values():
            events += self._close(choice)
            if choice.audio is not None:
                events.append(BlockStop(choice.audio))
            for call in choice.all_calls:
                events += self._complete(choice, call)
        for choice in self._choices.values():
            if choice.reason is not None or is_clean:
                events.append(Finish(self._ending(choice), choice.index))
        events.append(End(clean=is_clean))
        return events

    def _complete(self, choice: _Choice, call: _Call) -> Iterator[Event]:
        """Close a call; one that never said who it is gets a name and an id first."""
        if call.block is None:
            if not (call.id or call.name or call.waiting):
                return
            call.id = call.id or self._ctx.new_id("call_")
            call.name = call.name or f"tool_{call.index}"
            yield from self._open(choice, call)
        assert call.block is not None
        yield from self._pour(call)
        if call.signature is not None:
            yield SignatureDelta(call.block, call.signature.value, call.signature.family)
        yield BlockStop(call.block)

    def _ending(self, choice: _Choice) -> Ending:
        ending = decode_ending(
            choice.reason or "", has_calls=bool(choice.all_calls), has_refusal=choice.has_refusal
        )
        ending.native = choice.native
        return ending
