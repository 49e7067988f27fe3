"""The items of an answer while they grow, one class for each type.

Contract: the OpenAI API reference, "Responses streaming". Every item has the same life: announced as
``response.output_item.added`` with nothing in it, filled by deltas, and repeated whole as
``response.output_item.done``. What happens in between differs and is each class's own business. An item
tells its events to a :class:`Sink`; whether they become frames, or nothing because the client wants one body,
is the sink's.
"""

from typing import Final, Literal, Protocol, TypeAlias

from attrs import define, field, frozen

from cliproxy.dialects.openai_responses.annotations import to_annotation
from cliproxy.dialects.openai_responses.items import summary_parts
from cliproxy.dialects.openai_responses.names import ID_PREFIXES, REDACTED_PREFIX, is_usable_id, split_name
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import BlockKind, BlockStart
from cliproxy.ir.request import Family, Signature
from cliproxy.ir.signatures import Anchor, carry
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, dumps, loads

Status: TypeAlias = Literal["completed", "incomplete"]

NO_ARGUMENTS: Final = "{}"


@frozen
class DeltaHead:
    """What the deltas of one place have in common, rendered once: the data up to the sequence number."""

    kind: bytes
    data: bytes


def delta_head(kind: str, members: JsonObject) -> DeltaHead:
    """Render the constant members of a kind of delta."""
    data = dumps({"type": kind, **members})
    return DeltaHead(kind.encode(), data[:-1] + b',"sequence_number":')


class Sink(Protocol):
    """Takes the events of an answer."""

    def event(self, kind: str, members: JsonObject) -> None: ...

    def delta(self, head: DeltaHead, text: str) -> None: ...


@define(eq=False)
class ItemIds:
    """Gives every item of an answer an id of the form its type has."""

    answer: str
    """The id of the answer, without its prefix."""
    _taken: set[str] = field(factory=set, init=False)

    def take(self, kind: str, wanted: str, call_id: str = "") -> str:
        """Return the wanted id where it is usable, else one made of the call's id or the answer's."""
        if not (wanted and is_usable_id(kind, wanted) and wanted not in self._taken):
            prefix = ID_PREFIXES.get(kind, "item_")
            base = f"{prefix}{call_id}" if call_id else f"{prefix}{self.answer}"
            number = len(self._taken)
            wanted = base if call_id else f"{base}_{number}"
            while wanted in self._taken:
                number += 1
                wanted = f"{base}_{number}"
        self._taken.add(wanted)
        return wanted


class OpenItem(Protocol):
    """What all growing items have in common."""

    output_index: int
    is_stopped: bool
    """Its block has ended; it is closed as soon as it is known whether the answer goes on behind it."""
    signature: Signature | None

    def close(self, sink: Sink, status: Status, /) -> JsonObject:
        """Tell the end and return the whole item."""
        ...


def _added(sink: Sink, output_index: int, item: JsonObject) -> None:
    sink.event("response.output_item.added", {"output_index": output_index, "item": item})


def _done(sink: Sink, output_index: int, item: JsonObject) -> JsonObject:
    sink.event("response.output_item.done", {"output_index": output_index, "item": item})
    return item


# --- messages ---------------------------------------------------------------------------------------------


@define(eq=False, kw_only=True)
class MessageItem:
    """Text and refusals. Several blocks may be parts of one message, where the upstream made them so."""

    id: str
    output_index: int
    native_id: str = ""
    """The upstream's own id of the message: what is said under the same id belongs to it."""
    more: JsonObject = field(factory=dict)
    is_stopped: bool = False
    signature: Signature | None = None
    _content: list[JsonValue] = field(factory=list, init=False)
    _is_open: bool = field(default=False, init=False)
    _is_refusal: bool = field(default=False, init=False)
    _pieces: list[str] = field(factory=list, init=False)
    _length: int = field(default=0, init=False)
    _annotations: list[JsonValue] = field(factory=list, init=False)
    _head: DeltaHead | None = field(default=None, init=False)

    def announce(self, sink: Sink) -> None:
        """Tell that the message begins."""
        _added(sink, self.output_index, self._item("in_progress"))

    def _item(self, status: str) -> JsonObject:
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [*self._content],
            **self.more,
        }

    def _place(self) -> JsonObject:
        place: JsonObject = {"item_id": self.id, "output_index": self.output_index}
        place["content_index"] = len(self._content)
        return place

    def _part(self, said: str) -> JsonObject:
        if self._is_refusal:
            return {"type": "refusal", "refusal": said}
        return {"type": "output_text", "text": said, "annotations": [*self._annotations], "logprobs": []}

    def begin(self, sink: Sink, *, is_refusal: bool) -> None:
        """Begin another part."""
        self.end(sink)
        self._is_open, self._is_refusal = True, is_refusal
        self._pieces, self._length, self._annotations = [], 0, []
        sink.event("response.content_part.added", {**self._place(), "part": self._part("")})
        if is_refusal:
            self._head = delta_head("response.refusal.delta", self._place())
        else:
            self._head = delta_head("response.output_text.delta", {**self._place(), "logprobs": []})

    def say(self, sink: Sink, text: str) -> None:
        """Add text to the part that is open."""
        assert self._head is not None
        self._pieces.append(text)
        self._length += len(text)
        sink.delta(self._head, text)

    def cite(self, sink: Sink, citation: JsonObject, dialect: str) -> None:
        """Add a citation for the text so far."""
        annotation = to_annotation(citation, dialect, 0, self._length)
        place = {**self._place(), "annotation_index": len(self._annotations), "annotation": annotation}
        sink.event("response.output_text.annotation.added", place)
        self._annotations.append(annotation)

    def end(self, sink: Sink) -> None:
        """End the open part, if there is one."""
        if not self._is_open:
            return
        self._is_open = False
        said = "".join(self._pieces)
        place, part = self._place(), self._part(said)
        if self._is_refusal:
            sink.event("response.refusal.done", {**place, "refusal": said})
        else:
            sink.event("response.output_text.done", {**place, "text": said, "logprobs": []})
        sink.event("response.content_part.done", {**place, "part": part})
        self._content.append(part)

    def close(self, sink: Sink, status: Status) -> JsonObject:
        """Tell the end and return the whole item."""
        self.end(sink)
        return _done(sink, self.output_index, self._item(status))


# --- reasoning --------------------------------------------------------------------------------------------


@define(eq=False, kw_only=True)
class ReasoningItem:
    """Thoughts, shown as the paragraphs of a summary, and the encrypted form that may be sent back."""

    id: str
    output_index: int
    is_stopped: bool = False
    signature: Signature | None = None
    is_redacted: bool = False
    anchor: Anchor = Anchor.OWN
    """Set when the item only carries the signature of another part."""
    _paragraphs: list[str] = field(factory=list, init=False)
    _pieces: list[str] = field(factory=list, init=False)
    _head: DeltaHead | None = field(default=None, init=False)

    def announce(self, sink: Sink) -> None:
        """Tell that the reasoning begins."""
        _added(sink, self.output_index, self._item("in_progress"))

    def _item(self, status: str) -> JsonObject:
        item: JsonObject = {"id": self.id, "type": "reasoning", "status": status}
        item["summary"] = summary_parts(self._paragraphs)
        if self.signature is not None:
            item["encrypted_content"] = self._encrypted(self.signature)
        return item

    def _encrypted(self, signature: Signature) -> str:
        if self.is_redacted and signature.family is Family.CLAUDE:
            return REDACTED_PREFIX + signature.value
        return carry(signature, Family.GPT, self.anchor)

    def _place(self) -> JsonObject:
        place: JsonObject = {"item_id": self.id, "output_index": self.output_index}
        place["summary_index"] = len(self._paragraphs)
        return place

    def think(self, sink: Sink, text: str) -> None:
        """Add to the open paragraph."""
        if self._head is None:
            place = self._place()
            part: JsonObject = {"type": "summary_text", "text": ""}
            sink.event("response.reasoning_summary_part.added", {**place, "part": part})
            self._head = delta_head("response.reasoning_summary_text.delta", place)
        self._pieces.append(text)
        sink.delta(self._head, text)

    def pause(self, sink: Sink) -> None:
        """End the open paragraph, if there is one."""
        if self._head is None:
            return
        said = "".join(self._pieces)
        place = self._place()
        sink.event("response.reasoning_summary_text.done", {**place, "text": said})
        part: JsonObject = {"type": "summary_text", "text": said}
        sink.event("response.reasoning_summary_part.done", {**place, "part": part})
        self._paragraphs.append(said)
        self._pieces, self._head = [], None

    def close(self, sink: Sink, status: Status) -> JsonObject:
        """Tell the end and return the whole item."""
        self.pause(sink)
        return _done(sink, self.output_index, self._item(status))


# --- calls ------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class CallNames:
    """A call as its client knows it."""

    kind: str
    call_id: str
    name: str
    namespace: str
    is_wrapped: bool
    """The client's tool takes free text, and the upstream was told that it takes ``{"input": …}``."""


def client_names(start: BlockStart, ctx: ExchangeContext) -> CallNames:
    """Restore what a client calls the tool of a call, and the call."""
    known = ctx.client_tool_name(start.name)
    namespace, name = split_name(known, start.namespace, ctx)
    is_free = start.kind is BlockKind.CUSTOM_TOOL_CALL
    is_custom = is_free or known in ctx.custom_tools
    return CallNames(
        kind="custom_tool_call" if is_custom else "function_call",
        call_id=ctx.client_call_id(start.call_id),
        name=name,
        namespace=namespace,
        is_wrapped=is_custom and not is_free,
    )


@define(eq=False, kw_only=True)
class CallItem:
    """A call of a function (JSON arguments) or of a custom tool (free text)."""

    id: str
    output_index: int
    names: CallNames
    is_stopped: bool = False
    signature: Signature | None = None
    _pieces: list[str] = field(factory=list, init=False)
    _whole: str = field(default="", init=False)
    _head: DeltaHead = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._head = delta_head(f"response.{self._argument_kind}.delta", self._place())

    @property
    def _is_custom(self) -> bool:
        return self.names.kind == "custom_tool_call"

    @property
    def _argument_kind(self) -> str:
        return "custom_tool_call_input" if self._is_custom else "function_call_arguments"

    def _place(self) -> JsonObject:
        return {"item_id": self.id, "output_index": self.output_index}

    def _item(self, status: str, said: str) -> JsonObject:
        names = self.names
        item: JsonObject = {"id": self.id, "type": names.kind, "status": status}
        item |= {"call_id": names.call_id, "name": names.name}
        if names.namespace:
            item["namespace"] = names.namespace
        item["input" if self._is_custom else "arguments"] = said
        return item

    def announce(self, sink: Sink) -> None:
        """Tell that the call begins."""
        _added(sink, self.output_index, self._item("in_progress", ""))

    def argue(self, sink: Sink, fragment: str) -> None:
        """Add to the arguments. Those of a wrapped call are kept back until the wrapping can be taken off."""
        if fragment:
            self._pieces.append(fragment)
            if not self.names.is_wrapped:
                sink.delta(self._head, fragment)

    def argue_whole(self, arguments: str) -> None:
        """Take all arguments at once; they count only if no fragment came."""
        self._whole = arguments

    def close(self, sink: Sink, status: Status) -> JsonObject:
        """Tell the end and return the whole item."""
        said = "".join(self._pieces)
        if not said:
            said = self._whole or ("" if self._is_custom else NO_ARGUMENTS)
            if not self.names.is_wrapped and said:
                sink.delta(self._head, said)
        if self.names.is_wrapped:
            said = unwrapped(said)
        key = "input" if self._is_custom else "arguments"
        sink.event(f"response.{self._argument_kind}.done", {**self._place(), key: said})
        return _done(sink, self.output_index, self._item(status, said))


def unwrapped(arguments: str) -> str:
    """Take free text out of ``{"input": …}``; anything else is the text itself."""
    try:
        value = loads(arguments)
    except JsonError:
        return arguments
    if isinstance(value, dict):
        value = value.get("input")
    return value if isinstance(value, str) else arguments


# --- images and the rest ----------------------------------------------------------------------------------


@define(eq=False, kw_only=True)
class ImageItem:
    """A generated image; previews may come before it."""

    id: str
    output_index: int
    is_stopped: bool = False
    signature: Signature | None = None
    _format: str = field(default="png", init=False)
    _data: str = field(default="", init=False)
    _previews: int = field(default=0, init=False)

    def announce(self, sink: Sink) -> None:
        """Tell that the image begins."""
        item: JsonObject = {"id": self.id, "type": "image_generation_call", "status": "in_progress"}
        _added(sink, self.output_index, {**item, "result": None})

    def _place(self) -> JsonObject:
        return {"item_id": self.id, "output_index": self.output_index}

    def show(self, sink: Sink, mime: str, data: str, *, is_preview: bool) -> None:
        """Take the image or a preview of it."""
        self._format = mime.rpartition("/")[2] or "png"
        self._data = data
        if is_preview:
            picture: JsonObject = {"partial_image_index": self._previews, "partial_image_b64": data}
            picture["output_format"] = self._format
            sink.event("response.image_generation_call.partial_image", {**self._place(), **picture})
            self._previews += 1

    def close(self, sink: Sink, _status: Status) -> JsonObject:
        """Tell the end and return the whole item."""
        if self._data:
            sink.event("response.image_generation_call.completed", self._place())
        item: JsonObject = {"id": self.id, "type": "image_generation_call"}
        item["status"] = "completed" if self._data else "failed"
        item |= {"result": self._data or None, "output_format": self._format}
        return _done(sink, self.output_index, item)


def pass_item(sink: Sink, output_index: int, item: JsonObject) -> JsonObject:
    """Tell an item that only this wire knows, whole."""
    begun: JsonObject = {**item, "status": "in_progress"} if "status" in item else item
    _added(sink, output_index, begun)
    return _done(sink, output_index, item)
