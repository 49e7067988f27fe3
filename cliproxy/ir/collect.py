"""Streams and whole answers, one made out of the other.

:class:`Collector` takes the events of a stream and gives the answer they add up to; :func:`to_events` takes
an answer apart into the shortest legal stream. An upstream that only streams can therefore serve a client
that wants one body, and the other way round, and both give the same content.
"""

from collections.abc import Iterator
from typing import assert_never

from attrs import define, field

from cliproxy.errors import Failure, Scope, UpstreamError
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
from cliproxy.ir.request import (
    CallKind,
    Extras,
    Image,
    Inline,
    Opaque,
    Part,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject


@define(eq=False)
class _Block:
    """One block while it grows. Text pieces are joined once, at the end."""

    start: BlockStart
    pieces: list[str] = field(factory=list)
    paragraphs: list[list[str]] = field(factory=lambda: [[]])
    arguments: str | None = None
    signature: Signature | None = None
    citations: list[JsonObject] = field(factory=list)
    citation_dialect: str = ""
    image: ImageDone | None = None
    opaque: Opaque | None = None


class Collector:
    """Adds up a stream. ``feed`` every event, then ask for ``result``."""

    def __init__(self) -> None:
        self._start: Start | None = None
        self._usage = Usage()
        self._blocks: dict[int, _Block] = {}
        self._endings: dict[int, Ending] = {}
        self._extras: Extras = {}
        self._choice_extras: dict[int, Extras] = {}

    @property
    def is_finished(self) -> bool:
        """Whether a finish reason was seen."""
        return bool(self._endings)

    @property
    def ended_for_a_reason(self) -> bool:
        """Whether some choice ended otherwise than by a plain stop: an empty answer then explains itself."""
        return any(ending.reason is not FinishReason.STOP for ending in self._endings.values())

    def feed(self, event: Event) -> None:
        """Take one event. Raises :class:`~cliproxy.errors.UpstreamError` for an error inside the stream."""
        match event:
            case Start():
                self._start = event
                self._note(event.extras, None)
                if event.usage is not None:
                    self._usage = self._usage.merged(event.usage)
            case BlockStart():
                self._blocks[event.index] = _Block(event)
            case UsageUpdate():
                self._usage = self._usage.merged(event.usage)
            case ExtrasUpdate():
                self._note(event.extras, event.choice)
            case Finish():
                self._endings[event.choice] = event.ending
            case StreamError():
                raise UpstreamError([failure_of(event)])
            case BlockStop() | Ping() | End():
                pass
            case _:
                block = self._blocks.get(event.index)
                if block is not None:
                    _grow(block, event)

    def _note(self, extras: Extras, choice: int | None) -> None:
        """Keep members that nobody models, of a choice or of the answer."""
        if choice is not None:
            for dialect, members in extras.items():
                grow(self._choice_extras.setdefault(choice, {}).setdefault(dialect, {}), members)
            return
        for dialect, members in extras.items():
            self._extras[dialect] = {**self._extras.get(dialect, {}), **members}

    def result(self) -> IRResponse:
        """Return the answer as far as it has come."""
        start = self._start or Start(id="", model="")
        parts: dict[int, list[Part]] = {choice: [] for choice in sorted(self._endings)} or {0: []}
        for index in sorted(self._blocks):
            block = self._blocks[index]
            part = _finished(block)
            if part is not None:
                parts.setdefault(block.start.choice, []).append(part)
        unknown = Ending(FinishReason.STOP)
        choices = [
            Choice(parts[index], self._endings.get(index, unknown), index, self._choice_extras.get(index, {}))
            for index in sorted(parts)
        ]
        return IRResponse(
            id=start.id,
            model=start.model,
            choices=choices,
            usage=self._usage,
            created=start.created,
            extras=self._extras,
        )


def grow(known: JsonObject, piece: JsonObject, *, joins_text: bool = False) -> None:
    """Add a further piece to a wire object that is told in pieces; ``known`` is changed, ``piece`` is not.

    Objects are merged and lists go on; null says nothing; of anything else the last one counts, except that
    texts go on as well with ``joins_text``.
    """
    for key, value in piece.items():
        match known.get(key), value:
            case _, None:
                known.setdefault(key, None)
            case dict() as inner, dict():
                grow(inner, value, joins_text=joins_text)
            case list() as entries, list():
                entries.extend(value)
            case str() as said, str() if joins_text:
                known[key] = said + value
            case _, dict():
                known[key] = inner = {}
                grow(inner, value)
            case _, list():
                known[key] = [*value]
            case _:
                known[key] = value


def failure_of(error: StreamError) -> Failure:
    """Classify an error that arrived inside a stream, as far as the dialect could tell."""
    return Failure(
        kind=error.kind,
        scope=Scope.MODEL,
        message=error.message,
        status=error.status,
        code=error.code or None,
        retry_after=error.retry_after,
    )


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
)


def _grow(block: _Block, event: _Inner) -> None:  # noqa: C901 - one flat match
    match event:
        case TextDelta():
            block.pieces.append(event.text)
        case ArgsDelta():
            block.pieces.append(event.fragment)
        case ThinkingDelta():
            block.paragraphs[-1].append(event.text)
        case ThinkingBreak():
            if block.paragraphs[-1]:
                block.paragraphs.append([])
        case ArgsDone():
            block.arguments = event.arguments
        case SignatureDelta():
            block.signature = Signature(event.value, event.family)
        case Annotation():
            block.citations.append(event.citation)
            block.citation_dialect = event.dialect
        case ImageDone():
            block.image = event
        case OpaqueBlock():
            block.opaque = _joined(block.opaque, event.part)
        case _:
            assert_never(event)


def _joined(known: Opaque | None, piece: Opaque) -> Opaque:
    """Return an opaque part with a further piece of it."""
    if known is None:
        return piece
    raw: JsonObject = {}
    grow(raw, known.raw)
    grow(raw, piece.raw, joins_text=True)
    return Opaque(piece.dialect, piece.kind, raw)


def _finished(block: _Block) -> Part | None:
    start = block.start
    text = "".join(block.pieces)
    match start.kind:
        case BlockKind.TEXT:
            if not text:
                return None
            return Text(text, block.citations, block.citation_dialect, block.signature, extras=start.extras)
        case BlockKind.REFUSAL:
            return Refusal(text) if text else None
        case BlockKind.THINKING:
            summary = ["".join(pieces) for pieces in block.paragraphs if pieces]
            return Thinking(
                "\n\n".join(summary),
                block.signature,
                summary=summary if len(summary) > 1 else [],
                item_id=start.item_id,
            )
        case BlockKind.REDACTED:
            return Thinking(redacted=block.signature, item_id=start.item_id)
        case BlockKind.TOOL_CALL | BlockKind.CUSTOM_TOOL_CALL:
            return ToolCall(
                start.call_id,
                start.name,
                text or block.arguments or "",
                CallKind.CUSTOM if start.kind is BlockKind.CUSTOM_TOOL_CALL else CallKind.FUNCTION,
                block.signature,
                start.namespace,
                start.item_id,
                extras=start.extras,
            )
        case BlockKind.IMAGE:
            return (
                Image(Inline(block.image.mime, block.image.data), signature=block.signature)
                if block.image
                else None
            )
        case BlockKind.OPAQUE:
            return block.opaque
        case _:
            assert_never(start.kind)


def to_events(response: IRResponse) -> Iterator[Event]:
    """Take an answer apart into the shortest legal stream: one delta for each block."""
    yield Start(response.id, response.model, response.created, extras=response.extras)
    index = 0
    for choice in response.choices:
        if choice.extras:
            yield ExtrasUpdate(choice.extras, choice.index)
        for part in choice.parts:
            events = part_events(part, index, choice.index)
            yield from events
            index += bool(events)
        yield Finish(choice.ending, choice.index)
    yield UsageUpdate(response.usage)
    yield End()


def part_events(part: Part, index: int, choice: int = 0) -> list[Event]:
    """Return one part as a complete block; nothing for a part that has nothing to say."""
    inner = list(_take_apart(part, index))
    return [_opening(part, index, choice), *inner, BlockStop(index)] if inner else []


def _opening(part: Part, index: int, choice: int) -> BlockStart:
    match part:
        case ToolCall():
            custom = part.kind is CallKind.CUSTOM
            return BlockStart(
                index,
                BlockKind.CUSTOM_TOOL_CALL if custom else BlockKind.TOOL_CALL,
                choice,
                part.id,
                part.name,
                part.item_id,
                part.namespace,
                part.extras,
            )
        case Thinking():
            kind = BlockKind.REDACTED if part.redacted else BlockKind.THINKING
            return BlockStart(index, kind, choice, item_id=part.item_id)
        case Refusal():
            return BlockStart(index, BlockKind.REFUSAL, choice)
        case Image():
            return BlockStart(index, BlockKind.IMAGE, choice)
        case Opaque():
            return BlockStart(index, BlockKind.OPAQUE, choice)
        case Text():
            return BlockStart(index, BlockKind.TEXT, choice, extras=part.extras)
        case _:
            return BlockStart(index, BlockKind.TEXT, choice)


def _take_apart(part: Part, index: int) -> Iterator[Event]:  # noqa: C901 - one flat match
    match part:
        case Text():
            yield TextDelta(index, part.text)
            for citation in part.citations:
                yield Annotation(index, citation, part.citation_dialect)
        case Refusal():
            yield TextDelta(index, part.text)
        case Thinking(redacted=Signature() as redacted):
            yield SignatureDelta(index, redacted.value, redacted.family)
            return
        case Thinking():
            for number, paragraph in enumerate(part.summary or [part.text]):
                if number:
                    yield ThinkingBreak(index)
                yield ThinkingDelta(index, paragraph)
        case ToolCall():
            yield ArgsDelta(index, part.arguments)
        case Image(source=Inline() as source):
            yield ImageDone(index, source.mime, source.data)
        case Opaque():
            yield OpaqueBlock(index, part)
        case _:
            return
    signature = getattr(part, "signature", None)
    if isinstance(signature, Signature):
        yield SignatureDelta(index, signature.value, signature.family)
