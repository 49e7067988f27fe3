"""The stream of an upstream: events of this wire to events of the hub.

Theory of operation. Every event names the item it is about; the module ``ledger`` finds it. An item becomes a
block of the hub (a message: one for each of its parts) when it first says something.

Upstreams differ in how much they repeat. Some send deltas and then the whole, some only the whole, at the end
of a part, of the item, or in the terminal event. What has been said is therefore remembered for each part: a
whole that begins with it adds what is missing, so that nothing is lost and nothing is said twice. At the
terminal event every item that has not been completed by then is read from the response object.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.dialects.base import broken_event
from cliproxy.dialects.openai_responses.assembly import MESSAGE
from cliproxy.dialects.openai_responses.content import CONTENT
from cliproxy.dialects.openai_responses.errors import error_of_event
from cliproxy.dialects.openai_responses.items import decode_call, decode_reasoning
from cliproxy.dialects.openai_responses.ledger import Item, Ledger, Said
from cliproxy.dialects.openai_responses.names import DIALECT_ID, as_extras, item_type
from cliproxy.dialects.openai_responses.response import (
    answer_extras,
    decode_usage,
    message_extras,
    read_ending,
)
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
    ThinkingBreak,
    ThinkingDelta,
    UsageUpdate,
)
from cliproxy.ir.media import mime_of_image_format
from cliproxy.ir.request import CallKind, Opaque
from cliproxy.wire.jsontext import JsonError, JsonObject, child, integer, items, loads_object, objects, text
from cliproxy.wire.sse import Frame

_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_SEEN_LATER: Final = frozenset({"message", "reasoning", "image_generation_call", *_CALLS})
"""Items whose block opens when they say something; any other opens its block at once, to keep its place."""


class ResponsesDecoder:
    """Decodes one stream. See the module's theory of operation."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._ctx = ctx
        self._out: list[Event] = []
        self._is_started = False
        self._is_over = False
        self._items = Ledger()
        self._blocks = 0
        self._has_call = False
        self._refused = False

    def feed(self, frame: Frame) -> list[Event]:
        """Take one frame."""
        if self._is_over or frame.is_comment:
            return []
        event = self._read(frame)
        if event is not None:
            name = text(event, "type") or (frame.event or b"").decode("ascii", "replace")
            handler = _HANDLERS.get(name)
            if handler is not None:
                handler(self, event)
            elif not name and "error" in event:
                self._fail(event)
        return self._taken()

    def finish(self) -> list[Event]:
        """Take the end of the transport."""
        if not self._is_over:
            self._is_over = True
            self._begin({})
            self._close_all()
            self._out.append(End(clean=False))
        return self._taken()

    def _taken(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    def _read(self, frame: Frame) -> JsonObject | None:
        try:
            return loads_object(frame.data)
        except JsonError:
            if (broken := broken_event(frame)) is not None:
                self._is_over = True
                self._out.append(broken)
            return None

    # --- the frame of the answer --------------------------------------------------------------------------

    def _begin(self, response: JsonObject) -> None:
        if not self._is_started:
            self._is_started = True
            created = integer(response, "created_at") or 0
            extras = as_extras(answer_extras(response))
            self._out.append(Start(text(response, "id"), text(response, "model"), created, extras=extras))

    def _on_response(self, event: JsonObject) -> None:
        self._begin(child(event, "response"))

    def _on_end(self, event: JsonObject) -> None:
        response = child(event, "response")
        if text(response, "status") == "failed":
            self._fail(event)
            return
        self._begin(response)
        wires = list(objects(response, "output"))
        for item, wire in zip(self._items.claim(wires), wires, strict=True):
            if not item.is_done:
                self._complete(item, wire)
        self._close_all()
        self._is_over = True
        if more := answer_extras(response):
            self._out.append(ExtrasUpdate(as_extras(more)))
        if child(response, "usage"):
            self._out.append(UsageUpdate(decode_usage(child(response, "usage"))))
        self._out.append(Finish(read_ending(response, has_call=self._has_call, refused=self._refused)))
        self._out.append(End())

    def _fail(self, event: JsonObject) -> None:
        self._is_over = True
        self._out.append(error_of_event(event, self._ctx.now))

    def _close_all(self) -> None:
        for item in self._items:
            if item.block is None and text(item.hint, "name"):
                self._call(item, item.hint)
            for said in (item.block, *item.parts.values()):
                self._stop(said)

    # --- items and blocks ---------------------------------------------------------------------------------

    def _open(self, kind: BlockKind, start: BlockStart | None = None) -> Said:
        self._begin({})
        opened = start or BlockStart(self._blocks, kind)
        opened.index = self._blocks
        self._blocks += 1
        self._has_call = self._has_call or kind in {BlockKind.TOOL_CALL, BlockKind.CUSTOM_TOOL_CALL}
        self._refused = self._refused or kind is BlockKind.REFUSAL
        self._out.append(opened)
        return Said(opened.index)

    def _stop(self, said: Said | None) -> None:
        if said is not None and said.is_open:
            said.is_open = False
            self._out.append(BlockStop(said.index))

    def _on_added(self, event: JsonObject) -> None:
        wire = child(event, "item")
        index = integer(event, "output_index")
        index = self._items.next_index() if index is None else index
        item = self._items.at(index)
        if item is None:
            item = self._items.add(Item(item_type(wire), index, text(wire, "id"), wire))
        elif item.wire or item.is_done:
            return
        else:
            item.kind, item.wire = item_type(wire), wire
        if item.kind in _CALLS and text(wire, "name"):
            self._call(item, wire)
        elif item.kind and item.kind not in _SEEN_LATER:
            item.block = self._open(BlockKind.OPAQUE)

    def _on_done(self, event: JsonObject) -> None:
        wire = child(event, "item")
        found = {"item_id": text(wire, "id"), "output_index": event.get("output_index")}
        item = self._items.of(found, item_type(wire))
        if not item.is_done:
            self._complete(item, wire)

    def _complete(self, item: Item, wire: JsonObject) -> None:
        """Take the whole of an item and end its blocks."""
        item.is_done = True
        item.kind = item_type(wire) or item.kind
        match item.kind:
            case "message":
                self._complete_message(item, wire)
            case "reasoning":
                self._complete_reasoning(item, wire)
            case "function_call" | "custom_tool_call":
                call = self._call(item, wire)
                self._argue_whole(call, text(wire, "arguments") or text(wire, "input"))
                self._stop(call)
            case "image_generation_call":
                self._show(item, wire, "result", is_preview=False)
                self._stop(item.block)
            case "":
                pass
            case kind:
                item.block = item.block or self._open(BlockKind.OPAQUE)
                self._out.append(OpaqueBlock(item.block.index, Opaque(DIALECT_ID, kind, wire)))
                self._stop(item.block)

    # --- messages -----------------------------------------------------------------------------------------

    def _part(self, item: Item, content_index: int, kind: BlockKind) -> Said:
        said = item.parts.get(content_index)
        if said is None:
            known = message_extras(item.wire) or ({MESSAGE: {"id": item.id}} if item.id else {})
            start = BlockStart(0, kind, item_id=item.id, extras=as_extras(known))
            said = item.parts[content_index] = self._open(kind, start)
        return said

    def _say(self, event: JsonObject, kind: BlockKind, key: str, *, is_whole: bool) -> None:
        item = self._items.of(event, "message")
        content_index = integer(event, "content_index") or 0
        spoken = text(event, key)
        known = item.parts.get(content_index)
        if is_whole and known is not None:
            spoken = known.missing(spoken)
        if spoken and not item.is_done:
            said = self._part(item, content_index, kind)
            said.pieces.append(spoken)
            self._out.append(TextDelta(said.index, spoken))

    def _on_text(self, event: JsonObject) -> None:
        self._say(event, BlockKind.TEXT, "delta", is_whole=False)

    def _on_text_done(self, event: JsonObject) -> None:
        self._say(event, BlockKind.TEXT, "text", is_whole=True)

    def _on_refusal(self, event: JsonObject) -> None:
        self._say(event, BlockKind.REFUSAL, "delta", is_whole=False)

    def _on_refusal_done(self, event: JsonObject) -> None:
        self._say(event, BlockKind.REFUSAL, "refusal", is_whole=True)

    def _on_annotation(self, event: JsonObject) -> None:
        item = self._items.of(event, "message")
        citation = child(event, "annotation")
        if citation and not item.is_done:
            said = self._part(item, integer(event, "content_index") or 0, BlockKind.TEXT)
            self._cite(said, [citation])

    def _cite(self, said: Said, citations: list[JsonObject]) -> None:
        said.citations += len(citations)
        self._out.extend(Annotation(said.index, citation, DIALECT_ID) for citation in citations)

    def _on_part_done(self, event: JsonObject) -> None:
        item = self._items.of(event, "message")
        if item.kind == "message" and not item.is_done:
            self._complete_part(item, integer(event, "content_index") or 0, child(event, "part"))

    def _complete_message(self, item: Item, wire: JsonObject) -> None:
        item.wire = wire
        for content_index, part in enumerate(items(wire, "content")):
            if isinstance(part, dict):
                self._complete_part(item, content_index, part)
        for said in item.parts.values():
            self._stop(said)

    def _complete_part(self, item: Item, content_index: int, part: JsonObject) -> None:
        kind = text(part, "type")
        known = item.parts.get(content_index)
        if kind not in {"output_text", "refusal", "text"}:
            if known is None and kind and kind != "reasoning_text":
                said = item.parts[content_index] = self._open(BlockKind.OPAQUE)
                self._out.append(OpaqueBlock(said.index, Opaque(DIALECT_ID, CONTENT + kind, part)))
                self._stop(said)
            return
        whole = text(part, "refusal") if kind == "refusal" else text(part, "text")
        spoken = known.missing(whole) if known is not None else whole
        if known is None and not whole:
            return
        said = known or self._part(
            item, content_index, BlockKind.REFUSAL if kind == "refusal" else BlockKind.TEXT
        )
        if not said.is_open:
            return
        if spoken:
            said.pieces.append(spoken)
            self._out.append(TextDelta(said.index, spoken))
        citations = [citation for citation in objects(part, "annotations") if citation]
        self._cite(said, citations[said.citations :])
        self._stop(said)

    # --- reasoning ----------------------------------------------------------------------------------------

    def _think(self, item: Item, source: str, number: int, spoken: str) -> None:
        """Add to a paragraph. Where both a summary and the full text come, the first to speak is shown."""
        item.source = item.source or source
        if not spoken or item.source != source or item.is_done:
            return
        if item.block is None:
            item.block = self._open(BlockKind.THINKING, BlockStart(0, BlockKind.THINKING, item_id=item.id))
        elif number != item.paragraph and item.paragraphs:
            self._out.append(ThinkingBreak(item.block.index))
        item.paragraph = number
        item.paragraphs.setdefault(number, []).append(spoken)
        self._out.append(ThinkingDelta(item.block.index, spoken))

    def _think_whole(self, item: Item, source: str, number: int, whole: str) -> None:
        said = "".join(item.paragraphs.get(number, []))
        if whole.startswith(said) and (not said or number == item.paragraph):
            self._think(item, source, number, whole[len(said) :])

    def _on_summary(self, event: JsonObject) -> None:
        number = integer(event, "summary_index") or 0
        self._think(self._items.of(event, "reasoning"), "summary", number, text(event, "delta"))

    def _on_summary_done(self, event: JsonObject) -> None:
        number = integer(event, "summary_index") or 0
        self._think_whole(self._items.of(event, "reasoning"), "summary", number, text(event, "text"))

    def _on_thought(self, event: JsonObject) -> None:
        number = integer(event, "content_index") or 0
        self._think(self._items.of(event, "reasoning"), "content", number, text(event, "delta"))

    def _on_thought_done(self, event: JsonObject) -> None:
        number = integer(event, "content_index") or 0
        self._think_whole(self._items.of(event, "reasoning"), "content", number, text(event, "text"))

    def _complete_reasoning(self, item: Item, wire: JsonObject) -> None:
        item.is_done = False
        for source in ("summary", "content"):
            for number, part in enumerate(objects(wire, source)):
                if text(part, "text"):
                    self._think_whole(item, source, number, text(part, "text"))
        item.is_done = True
        encrypted = text(wire, "encrypted_content") or text(item.wire, "encrypted_content")
        thinking, signature, _ = decode_reasoning({**wire, "encrypted_content": encrypted})
        if signature is not None:
            if item.block is None:
                redacted = thinking is not None and thinking.redacted is not None
                kind = BlockKind.REDACTED if redacted else BlockKind.THINKING
                item.block = self._open(kind, BlockStart(0, kind, item_id=item.id or text(wire, "id")))
            self._out.append(SignatureDelta(item.block.index, signature.value, signature.family))
        self._stop(item.block)

    # --- calls --------------------------------------------------------------------------------------------

    def _call(self, item: Item, wire: JsonObject) -> Said:
        """Return the block of a call, opened with the names in ``wire`` if it is not open yet."""
        if item.block is None:
            call = decode_call(wire, self._ctx)
            kind = BlockKind.CUSTOM_TOOL_CALL if call.kind is CallKind.CUSTOM else BlockKind.TOOL_CALL
            start = BlockStart(
                0,
                kind,
                call_id=call.id or self._ctx.new_id("call_"),
                name=call.name or f"tool_{item.output_index}",
                item_id=call.item_id,
                namespace=call.namespace,
            )
            item.block = self._open(kind, start)
            item.call_id = call.id
            for fragment in item.waiting:
                self._argue(item.block, fragment)
        return item.block

    def _argue(self, said: Said, fragment: str) -> None:
        if fragment and said.is_open:
            said.pieces.append(fragment)
            self._out.append(ArgsDelta(said.index, fragment))

    def _argue_whole(self, said: Said, whole: str) -> None:
        self._argue(said, said.missing(whole))

    def _on_arguments(self, event: JsonObject) -> None:
        item = self._items.of(event, "function_call")
        if item.is_argued:
            return
        if item.block is not None:
            self._argue(item.block, text(event, "delta"))
        else:
            item.waiting.append(text(event, "delta"))

    def _on_arguments_done(self, event: JsonObject) -> None:
        item = self._items.of(event, "function_call")
        whole = text(event, "arguments") or text(event, "input")
        item.is_argued = item.is_argued or bool(whole)
        if item.block is not None:
            self._argue_whole(item.block, whole)
        elif whole:
            item.waiting = [whole]
            item.hint = {**event, "type": item.kind, "id": item.id}

    # --- images -------------------------------------------------------------------------------------------

    def _show(self, item: Item, wire: JsonObject, key: str, *, is_preview: bool) -> None:
        data = text(wire, key)
        if not data:
            return
        if item.block is None:
            item.block = self._open(BlockKind.IMAGE, BlockStart(0, BlockKind.IMAGE, item_id=item.id))
        mime = mime_of_image_format(text(wire, "output_format"))
        self._out.append(ImageDone(item.block.index, mime, data, is_preview))

    def _on_preview(self, event: JsonObject) -> None:
        item = self._items.of(event, "image_generation_call")
        if not item.is_done:
            self._show(item, event, "partial_image_b64", is_preview=True)


_HANDLERS: Final[Mapping[str, Callable[[ResponsesDecoder, JsonObject], None]]] = {
    "response.created": ResponsesDecoder._on_response,
    "response.in_progress": ResponsesDecoder._on_response,
    "response.queued": ResponsesDecoder._on_response,
    "response.output_item.added": ResponsesDecoder._on_added,
    "response.output_item.done": ResponsesDecoder._on_done,
    "response.content_part.done": ResponsesDecoder._on_part_done,
    "response.output_text.delta": ResponsesDecoder._on_text,
    "response.output_text.done": ResponsesDecoder._on_text_done,
    "response.output_text.annotation.added": ResponsesDecoder._on_annotation,
    "response.refusal.delta": ResponsesDecoder._on_refusal,
    "response.refusal.done": ResponsesDecoder._on_refusal_done,
    "response.reasoning_summary_text.delta": ResponsesDecoder._on_summary,
    "response.reasoning_summary_text.done": ResponsesDecoder._on_summary_done,
    "response.reasoning_text.delta": ResponsesDecoder._on_thought,
    "response.reasoning_text.done": ResponsesDecoder._on_thought_done,
    "response.function_call_arguments.delta": ResponsesDecoder._on_arguments,
    "response.function_call_arguments.done": ResponsesDecoder._on_arguments_done,
    "response.custom_tool_call_input.delta": ResponsesDecoder._on_arguments,
    "response.custom_tool_call_input.done": ResponsesDecoder._on_arguments_done,
    "response.image_generation_call.partial_image": ResponsesDecoder._on_preview,
    "response.completed": ResponsesDecoder._on_end,
    "response.incomplete": ResponsesDecoder._on_end,
    "response.done": ResponsesDecoder._on_end,
    "response.cancelled": ResponsesDecoder._on_end,
    "response.failed": ResponsesDecoder._fail,
    "error": ResponsesDecoder._fail,
}
