"""Answers of an upstream, streamed or whole → events.

Every chunk of a stream is a small answer of its own: a list of candidates with new parts. Theory of
operation:

* each candidate (choice) has at most one open block. Text continues an open text block, a thought an open
  thinking block; anything else closes it first. A part without text that is signed signs the open block;
* a signed text is complete: the next text opens a block of its own, since the vendor asks that signed and
  unsigned text be kept apart;
* a call arrives whole, but a following call *without a name* continues it. So a call's arguments are told
  when something else follows, or at the end;
* the finish reason may come early, may be repeated, and may be followed by more: there is no terminal event.
  Reasons are therefore remembered and told at the end of the transport, together with the end;
* counts are cumulative in every chunk; they are passed on as they come, the last ones count;
* members that nobody models (safety ratings, log probabilities, the reason why a prompt was refused) are read
  only for clients of this shape. Those of a candidate are told at its end: most are repeated in every chunk;
* what the answer rests on (``groundingMetadata`` and its kin) is told to clients of this shape as it is. To
  others the pages are told, once each; which words rest on which page is not.

The end is clean when a reason was given, or the prompt was refused.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import broken_event
from cliproxy.dialects.gemini.errors import decode_error
from cliproxy.dialects.gemini.outcome import blocked, decode_ending, decode_usage
from cliproxy.dialects.gemini.parts import CLIENTS, DIALECT_ID, decode_part
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.ir.arguments import to_object
from cliproxy.ir.collect import grow
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
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
    SignatureDelta,
    Start,
    TextDelta,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.request import Family, Image, Inline, Opaque, Signature, Text, Thinking, ToolCall
from cliproxy.ir.response import Ending
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps_text,
    integer,
    loads,
    objects,
    text,
)
from cliproxy.wire.sse import Frame

CITATIONS: Final = ("citationMetadata", "groundingMetadata", "urlContextMetadata")
_USAGE: Final = ("usageMetadata", "cpaUsageMetadata")
"""The second name is that of counts before the last ones, as a well-known proxy forwards them."""
_OF_ANSWER: Final = frozenset(
    {"candidates", "modelVersion", "responseId", "createTime", "response", "error", *_USAGE}
)
_OF_CANDIDATE: Final = frozenset({"content", "finishReason", "index", *CITATIONS})
_PROBABILITIES: Final = "logprobsResult"
"""The one member of a candidate that says something else in every chunk."""
_NAME_FORBIDDEN: Final = frozenset(".:")


@define(eq=False)
class _Open:
    """The open block of a candidate."""

    index: int
    kind: BlockKind
    name: str = ""
    """Of the function, for calls."""
    is_signed: bool = False
    arguments: JsonObject | None = None
    """Set for calls, told when the call is complete."""


@define(eq=False)
class _Choice:
    """What is known about one candidate."""

    index: int
    open: _Open | None = None
    reason: str = ""
    has_call: bool = False
    cited: set[str] = field(factory=set)
    """Addresses of pages that were told; the metadata is repeated while it grows."""
    more: JsonObject = field(factory=dict)
    """Members that nobody models."""

    def add(self, name: str, value: JsonValue) -> None:
        """Take a member that nobody models."""
        if name == _PROBABILITIES and isinstance(value, dict):
            grow(self.more, {name: value})
        else:
            self.more[name] = value


Clean = Callable[[str, JsonObject], JsonObject]
"""(name of the function, arguments) → the arguments the client gets."""


def _as_they_are(_name: str, arguments: JsonObject) -> JsonObject:
    return arguments


class GeminiStreamDecoder:
    """Decodes one answer. See the module's theory of operation."""

    def __init__(
        self, ctx: ExchangeContext, clean: Clean = _as_they_are, *, keeps_metadata: bool = False
    ) -> None:
        self._ctx = ctx
        self._clean = clean
        self._is_ours = ctx.client_dialect in CLIENTS
        self._keeps_metadata = keeps_metadata or self._is_ours
        self._told: JsonObject = {}
        self._choices: dict[int, _Choice] = {}
        self._next_block = 0
        self._block_reason = ""
        self._is_started = False
        self._is_over = False

    def __repr__(self) -> str:
        state = "over" if self._is_over else "open" if self._is_started else "new"
        return f"<GeminiStreamDecoder {state}, {self._next_block} blocks>"

    def feed(self, frame: Frame) -> list[Event]:
        """Decode a frame."""
        if self._is_over or frame.is_comment:
            return []
        try:
            return self.read(loads(frame.data))
        except JsonError:
            broken = broken_event(frame)
            self._is_over = broken is not None
            return [broken] if broken is not None else []

    def read(self, value: JsonValue) -> list[Event]:
        """Decode a chunk, or a list of chunks."""
        chunks = value if isinstance(value, list) else [value]
        events: list[Event] = []
        for chunk in chunks:
            if isinstance(chunk, dict) and not self._is_over:
                events += self._chunk(camel(chunk))
        return events

    def finish(self) -> list[Event]:
        """Take the end of the transport."""
        if self._is_over:
            return []
        self._is_over = True
        events: list[Event] = [] if self._is_started else [Start("", "")]
        for choice in self._choices.values():
            events += self._close(choice)
            if choice.more:
                events.append(ExtrasUpdate({DIALECT_ID: choice.more}, choice.index))
        endings = self._endings()
        events += [Finish(ending, choice) for choice, ending in endings.items()]
        is_clean = bool(endings) and len(endings) >= len(self._choices)
        return [*events, End(clean=is_clean)]

    def _endings(self) -> dict[int, Ending]:
        if not self._choices and self._block_reason:
            return {0: blocked(self._block_reason)}
        return {
            choice.index: decode_ending(choice.reason, has_call=choice.has_call)
            for choice in self._choices.values()
            if choice.reason
        }

    def _chunk(self, chunk: JsonObject) -> Iterator[Event]:
        inner = chunk.get("response")
        if isinstance(inner, dict) and "candidates" not in chunk:
            chunk = camel(inner)
        if isinstance(chunk.get("error"), dict):
            self._is_over = True
            yield decode_error(0, chunk)
            return
        counts = [decode_usage(usage) for name in _USAGE if (usage := child(chunk, name))]
        if not self._is_started:
            self._is_started = True
            # Clients that are told the size of the prompt at the start are told it now.
            known = counts[0] if counts else None
            yield Start(text(chunk, "responseId"), text(chunk, "modelVersion"), _created(chunk), known)
        if news := self._news(chunk):
            yield ExtrasUpdate({DIALECT_ID: news})
        for position, candidate in enumerate(objects(chunk, "candidates")):
            yield from self._candidate(camel(candidate), position)
        self._block_reason = text(camel(child(chunk, "promptFeedback")), "blockReason") or self._block_reason
        for each in counts:
            yield UsageUpdate(each)

    def _news(self, chunk: JsonObject) -> JsonObject:
        """Return the members of an answer that nobody models and that say something new."""
        if not self._is_ours:
            return {}
        news = {
            name: value
            for name, value in chunk.items()
            if name not in _OF_ANSWER and self._told.get(name) != value
        }
        self._told |= news
        return news

    def _candidate(self, candidate: JsonObject, position: int) -> Iterator[Event]:
        given = integer(candidate, "index")
        index = position if given is None else given
        choice = self._choices.setdefault(index, _Choice(index))
        for raw in objects(child(candidate, "content"), "parts"):
            yield from self._part(choice, camel(raw))
        for name in CITATIONS:
            if found := child(candidate, name):
                yield from self._citation(choice, name, found)
        choice.reason = text(candidate, "finishReason") or choice.reason
        if self._is_ours:
            for name, value in candidate.items():
                if name not in _OF_CANDIDATE:
                    choice.add(name, value)

    def _part(self, choice: _Choice, node: JsonObject) -> Iterator[Event]:
        match part := decode_part(node):
            case Text():
                yield from self._text(choice, part.text, part.signature, BlockKind.TEXT)
            case Thinking():
                yield from self._text(choice, part.text, part.signature, BlockKind.THINKING)
            case ToolCall():
                arguments = child(node, "functionCall").get("args")
                known = arguments if isinstance(arguments, dict) else to_object(part.arguments)
                yield from self._call(choice, part, known)
            case Image(source=Inline(mime=mime, data=data), signature=signature):
                opening, block = self._start(choice, BlockKind.IMAGE)
                yield from (*opening, ImageDone(block.index, mime, data))
                yield from self._sign(block, signature)
                yield from self._close(choice)
            case _:
                # What no other dialect can show, such as executed code, as it came.
                opening, block = self._start(choice, BlockKind.OPAQUE)
                opaque = Opaque(DIALECT_ID, next(iter(node), ""), node)
                yield from (*opening, OpaqueBlock(block.index, opaque))
                yield from self._close(choice)

    def _text(
        self, choice: _Choice, said: str, signature: Signature | None, kind: BlockKind
    ) -> Iterator[Event]:
        if not said and signature is None:
            return
        block = choice.open
        if said or block is None or block.kind not in {BlockKind.TEXT, BlockKind.THINKING}:
            if block is None or block.kind is not kind or block.is_signed:
                # A signature that has nothing to sign is hidden reasoning.
                opening, block = self._start(choice, kind if said else BlockKind.REDACTED)
                yield from opening
            if said:
                yield (
                    TextDelta(block.index, said)
                    if kind is BlockKind.TEXT
                    else ThinkingDelta(block.index, said)
                )
        yield from self._sign(block, signature)

    def _call(self, choice: _Choice, part: ToolCall, arguments: JsonObject) -> Iterator[Event]:
        block = choice.open
        if not part.name and block is not None and block.arguments is not None:
            block.arguments = {**block.arguments, **arguments}
            yield from self._sign(block, part.signature)
            return
        choice.has_call = True
        call_id = part.id or self._new_id(part.name)
        opening, block = self._start(choice, BlockKind.TOOL_CALL, call_id=call_id, name=part.name)
        yield from opening
        block.arguments = arguments
        yield from self._sign(block, part.signature)

    def _new_id(self, name: str) -> str:
        """Make up an id, unless the client's dialect does without."""
        if self._ctx.client_dialect in CLIENTS:
            return ""
        stem = "".join("_" if mark in _NAME_FORBIDDEN else mark for mark in name)
        return self._ctx.new_id(f"{stem}-", 8)

    def _start(
        self, choice: _Choice, kind: BlockKind, *, call_id: str = "", name: str = ""
    ) -> tuple[list[Event], _Open]:
        events = self._close(choice)
        block = _Open(self._next_block, kind, name)
        self._next_block += 1
        choice.open = block
        events.append(BlockStart(block.index, kind, choice.index, call_id, name))
        return events, block

    def _sign(self, block: _Open, signature: Signature | None) -> Iterator[Event]:
        if signature is not None:
            block.is_signed = True
            family = signature.family
            if family is Family.GEMINI and self._ctx.upstream_family is Family.CLAUDE:
                # A relative's upstream serves Claude models, too, whose signatures can look like Gemini's.
                family = Family.CLAUDE
            yield SignatureDelta(block.index, signature.value, family)

    def _close(self, choice: _Choice) -> list[Event]:
        block = choice.open
        if block is None:
            return []
        choice.open = None
        events: list[Event] = []
        if block.arguments is not None:
            events.append(ArgsDone(block.index, dumps_text(self._clean(block.name, block.arguments))))
        return [*events, BlockStop(block.index)]

    def _citation(self, choice: _Choice, name: str, found: JsonObject) -> Iterator[Event]:
        """Tell what an answer rests on: as it is to a client of this shape, to others the pages alone."""
        block = choice.open
        if block is None or block.kind is not BlockKind.TEXT:
            if self._is_ours:
                choice.add(name, found)
                return
            self._ctx.note("citations without a text are not carried")
        elif self._keeps_metadata:
            yield Annotation(block.index, {name: found}, DIALECT_ID)
        else:
            for page in pages_of(found):
                address = text(page, "uri")
                if address not in choice.cited:
                    choice.cited.add(address)
                    yield Annotation(block.index, page, DIALECT_ID)


def pages_of(metadata: JsonObject) -> Iterator[JsonObject]:
    """Iterate over the web pages that grounding or citation metadata names, as ``{"uri", "title"}``."""
    grounds = (camel(child(each, "web")) for each in objects(metadata, "groundingChunks"))
    for page in (*grounds, *objects(metadata, "citationSources"), *objects(metadata, "citations")):
        if address := text(page, "uri"):
            yield {"uri": address, "title": text(page, "title")}


def _created(chunk: JsonObject) -> int:
    try:
        return int(datetime.fromisoformat(text(chunk, "createTime")).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0
