"""An answer put together out of events: items opened, filled and closed in the order of this wire.

Theory of operation. Blocks of the hub become items, with these differences in mind:

* **Lazy opening.** A block opens its item when it first says something; a block that says nothing leaves no
  trace. Calls say something by existing; an empty text or citation says nothing.
* **One at a time, calls excepted.** Before an item opens, every other open item is closed, unless it is a
  call that still runs. A block whose item was closed that way and that goes on gets a new item.
* **Late closing.** When a block ends, its item stays open until the next one begins or the answer finishes:
  only then is it known whether the item was cut off (``status: incomplete``). Text that the upstream said
  under the same message id joins that message as another part.
* **Signatures beside their part.** This wire has a place for signatures on reasoning only. The signature of
  a call or of visible text follows its item in a reasoning item without a summary, which says what it belongs
  to (:class:`~cliproxy.ir.signatures.Anchor`).

Only the first choice can be told here. Indexes count up in the order in which items open; none is used twice.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field

from cliproxy.dialects.openai_responses.content import CONTENT
from cliproxy.dialects.openai_responses.names import NATIVE, native_extras
from cliproxy.dialects.openai_responses.output import (
    CallItem,
    ImageItem,
    ItemIds,
    MessageItem,
    OpenItem,
    ReasoningItem,
    Sink,
    Status,
    client_names,
    pass_item,
)
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    Annotation,
    ArgsDelta,
    ArgsDone,
    BlockKind,
    BlockStart,
    BlockStop,
    Event,
    ImageDone,
    OpaqueBlock,
    SignatureDelta,
    TextDelta,
    ThinkingBreak,
    ThinkingDelta,
)
from cliproxy.ir.request import Signature
from cliproxy.ir.response import FinishReason
from cliproxy.ir.signatures import Anchor
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, rest, text

MESSAGE: Final = "item"
"""In the extras of a text: what is known of the message it was part of."""

_CALLS: Final = frozenset({BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL})
_THOUGHTS: Final = frozenset({BlockKind.THINKING, BlockKind.REDACTED})
_CUT_OFF: Final = frozenset(
    {FinishReason.LENGTH, FinishReason.CONTENT_FILTER, FinishReason.ERROR, FinishReason.CANCELLED}
)
"""Reasons that leave the last item unfinished."""


@define(eq=False)
class _Block:
    """A block of the hub and the item it fills now."""

    start: BlockStart
    item: OpenItem | None = None
    signature: Signature | None = None


@define(eq=False)
class Assembly:
    """Builds the items of one answer. ``feed`` it events, tell it how the answer finished, take the items."""

    ctx: ExchangeContext
    sink: Sink
    ids: ItemIds
    _blocks: dict[int, _Block] = field(factory=dict, init=False)
    _foreign: set[int] = field(factory=set, init=False)
    """Blocks of other choices."""
    _open: dict[int, OpenItem] = field(factory=dict, init=False)
    _done: dict[int, JsonObject] = field(factory=dict, init=False)
    _untold: list[tuple[Signature, Anchor]] = field(factory=list, init=False)
    """Signatures of parts that are closed, to be told when there is room."""
    thought_length: int = field(default=0, init=False)
    """How many characters were thought, shown or not."""
    _next_index: int = field(default=0, init=False)
    _has_refusal: bool = field(default=False, init=False)

    def feed(self, event: Event) -> None:
        """Take one event; those that are not about content are ignored."""
        taker = _TAKERS.get(type(event))
        if taker is not None:
            taker(self, event)

    def output(self) -> list[JsonValue]:
        """Return the finished items in order."""
        return [self._done[index] for index in sorted(self._done)]

    def finish(self, reason: FinishReason) -> FinishReason:
        """Close everything that is open. What the end of the answer cut off is marked.

        Returns the reason as the wire can tell it: where the model declined in an ordinary text, nothing but
        the status of the answer is left to say so.
        """
        if reason is FinishReason.REFUSAL and not self._has_refusal:
            reason = FinishReason.CONTENT_FILTER
        open_items = list(self._open.values())
        for item in open_items:
            is_whole = item.is_stopped and item is not open_items[-1]
            self._close(item, "incomplete" if reason in _CUT_OFF and not is_whole else "completed")
        self._tell_signatures()
        return reason

    # --- opening and closing ------------------------------------------------------------------------------

    def _take_index(self) -> int:
        index = self._next_index
        self._next_index += 1
        return index

    def _make_room(self) -> None:
        """Close what must not be open when another item opens."""
        for item in list(self._open.values()):
            if item.is_stopped or not isinstance(item, CallItem):
                self._close(item, "completed")
        self._tell_signatures()

    def _continue(self, item: OpenItem) -> None:
        """Close what ended before, now that another item goes on."""
        for other in list(self._open.values()):
            if other.is_stopped and other is not item:
                self._close(other, "completed")

    def _close(self, item: OpenItem, status: Status) -> None:
        del self._open[item.output_index]
        self._done[item.output_index] = item.close(self.sink, status)
        if item.signature is not None and isinstance(item, CallItem | MessageItem):
            anchor = Anchor.PREVIOUS_CALL if isinstance(item, CallItem) else Anchor.PREVIOUS_TEXT
            self._untold.append((item.signature, anchor))

    def _tell_signatures(self) -> None:
        """Tell the signatures of parts that are closed, now that nothing but calls is open."""
        for signature, anchor in self._untold:
            index = self._take_index()
            carrier = ReasoningItem(
                id=self.ids.take("reasoning", ""), output_index=index, signature=signature, anchor=anchor
            )
            carrier.announce(self.sink)
            self._done[index] = carrier.close(self.sink, "completed")
        self._untold.clear()

    def _block(self, index: int, kind: BlockKind) -> _Block | None:
        """Return the block of an event; one that was never opened is opened now."""
        if index in self._foreign:
            return None
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(BlockStart(index, kind))
        return block

    def _is_open(self, item: OpenItem | None) -> bool:
        return item is not None and item.output_index in self._open

    # --- content ------------------------------------------------------------------------------------------

    def _take_start(self, event: BlockStart) -> None:
        if event.choice:
            self._foreign.add(event.index)
            self.ctx.note("only the first choice was told")
            return
        block = self._blocks[event.index] = _Block(event)
        if event.kind in _CALLS:
            self._call(block)

    def _call(self, block: _Block) -> CallItem | None:
        """Return the call a block fills; ``None`` once the call is over."""
        item = block.item
        if item is not None:
            if not isinstance(item, CallItem) or not self._is_open(item):
                return None
            self._continue(item)
            return item
        self._make_room()
        names = client_names(block.start, self.ctx)
        call = CallItem(
            id=self.ids.take(names.kind, block.start.item_id, names.call_id),
            output_index=self._take_index(),
            names=names,
            signature=block.signature,
        )
        self._register(block, call)
        call.announce(self.sink)
        return call

    def _register(self, block: _Block, item: OpenItem) -> None:
        block.item = item
        self._open[item.output_index] = item

    def _message(self, block: _Block) -> MessageItem:
        """Return the message a text block speaks in, with a part of it open."""
        item = block.item
        if isinstance(item, MessageItem) and self._is_open(item):
            self._continue(item)
            return item
        is_refusal = block.start.kind is BlockKind.REFUSAL
        self._has_refusal = self._has_refusal or is_refusal
        known = child(native_extras(block.start.extras), MESSAGE)
        native_id = text(known, "id")
        last = next(reversed(self._open.values()), None)
        if isinstance(last, MessageItem) and last.is_stopped and native_id and last.native_id == native_id:
            last.is_stopped = False
            block.item = last
            last.begin(self.sink, is_refusal=is_refusal)
            return last
        self._make_room()
        message = MessageItem(
            id=self.ids.take("message", native_id),
            output_index=self._take_index(),
            native_id=native_id,
            more=rest(known, "id", "status"),
            signature=block.signature,
        )
        self._register(block, message)
        message.announce(self.sink)
        message.begin(self.sink, is_refusal=is_refusal)
        return message

    def _reasoning(self, block: _Block) -> ReasoningItem:
        item = block.item
        if isinstance(item, ReasoningItem) and self._is_open(item):
            self._continue(item)
            return item
        self._make_room()
        reasoning = ReasoningItem(
            id=self.ids.take("reasoning", block.start.item_id),
            output_index=self._take_index(),
            signature=block.signature,
            is_redacted=block.start.kind is BlockKind.REDACTED,
        )
        self._register(block, reasoning)
        reasoning.announce(self.sink)
        return reasoning

    def _take_text(self, event: TextDelta) -> None:
        block = self._block(event.index, BlockKind.TEXT)
        if block is not None and event.text:
            self._message(block).say(self.sink, event.text)

    def _take_annotation(self, event: Annotation) -> None:
        block = self._block(event.index, BlockKind.TEXT)
        if block is not None and event.citation and block.start.kind is BlockKind.TEXT:
            self._message(block).cite(self.sink, event.citation, event.dialect)

    def _take_thought(self, event: ThinkingDelta) -> None:
        block = self._block(event.index, BlockKind.THINKING)
        if block is None or not event.text:
            return
        self.thought_length += len(event.text)
        if self.ctx.want_thoughts:
            self._reasoning(block).think(self.sink, event.text)

    def _take_break(self, event: ThinkingBreak) -> None:
        block = self._blocks.get(event.index)
        if block is not None and isinstance(block.item, ReasoningItem) and self._is_open(block.item):
            block.item.pause(self.sink)

    def _take_signature(self, event: SignatureDelta) -> None:
        block = self._blocks.get(event.index)
        if block is None:
            return
        block.signature = Signature(event.value, event.family)
        if block.item is not None:
            block.item.signature = block.signature

    def _take_fragment(self, event: ArgsDelta) -> None:
        block = self._block(event.index, BlockKind.TOOL_CALL)
        call = self._call(block) if block is not None and event.fragment else None
        if call is not None:
            call.argue(self.sink, event.fragment)

    def _take_arguments(self, event: ArgsDone) -> None:
        block = self._block(event.index, BlockKind.TOOL_CALL)
        if block is None or not event.arguments:
            return
        call = block.item or self._call(block)  # a repetition does not make a call go on
        if isinstance(call, CallItem):
            call.argue_whole(event.arguments)

    def _take_image(self, event: ImageDone) -> None:
        block = self._block(event.index, BlockKind.IMAGE)
        if block is None:
            return
        image = block.item
        if not (isinstance(image, ImageItem) and self._is_open(image)):
            self._make_room()
            item_id = self.ids.take("image_generation_call", block.start.item_id)
            image = ImageItem(id=item_id, output_index=self._take_index())
            self._register(block, image)
            image.announce(self.sink)
        image.show(self.sink, event.mime, event.data, is_preview=event.partial)

    def _take_opaque(self, event: OpaqueBlock) -> None:
        if event.index in self._foreign:
            return
        part = event.part
        if part.dialect not in NATIVE or part.kind.startswith(CONTENT):
            self.ctx.note(f"{part.kind or 'a part'} of another dialect was dropped")
            return
        self._make_room()
        index = self._take_index()
        self._done[index] = pass_item(self.sink, index, {"type": part.kind, **part.raw})

    def _take_stop(self, event: BlockStop) -> None:
        block = self._blocks.get(event.index)
        if block is None:
            return
        if block.item is None and block.signature is not None:
            self._stop_silent(block, block.signature)
        if block.item is not None:
            block.item.is_stopped = True

    def _stop_silent(self, block: _Block, signature: Signature) -> None:
        """Keep the signature of a block that said nothing: hidden reasoning, or the mark behind a text."""
        if block.start.kind in _THOUGHTS:
            self._reasoning(block)
        elif block.start.kind is BlockKind.TEXT:
            self._untold.append((signature, Anchor.PREVIOUS_TEXT))


_TAKERS: Final[Mapping[type, Callable[..., None]]] = {
    BlockStart: Assembly._take_start,
    TextDelta: Assembly._take_text,
    ThinkingDelta: Assembly._take_thought,
    ThinkingBreak: Assembly._take_break,
    SignatureDelta: Assembly._take_signature,
    ArgsDelta: Assembly._take_fragment,
    ArgsDone: Assembly._take_arguments,
    Annotation: Assembly._take_annotation,
    ImageDone: Assembly._take_image,
    OpaqueBlock: Assembly._take_opaque,
    BlockStop: Assembly._take_stop,
}
