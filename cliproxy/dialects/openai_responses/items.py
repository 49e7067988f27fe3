"""The conversation: input items to messages and back.

Contract: the OpenAI API reference, "Create a model response", ``input``. Here a conversation is a flat list
in which messages, calls, their outputs and reasoning stand side by side; the hub groups them into turns:

* calls join the assistant message before them; outputs that follow each other share one user message;
* reasoning waits for the assistant item behind it, whose thinking it is;
* instructions at the head of the list are the system text, later ones keep their place;
* a generated image is an image the assistant showed;
* items that only this wire knows (server tools, compactions, …) pass through it whole, as opaque parts.

Going back, a turn is written part by part, so that the order of the items is what it was. Everything a client
said about an item besides its content travels in the extras of the part or message made from it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import define, field

from cliproxy.dialects.openai_responses.content import CONTENT, decode_content, encode_part, is_recognised
from cliproxy.dialects.openai_responses.names import (
    CACHE,
    DIALECT_ID,
    KEPT_STATE,
    NATIVE,
    REDACTED_PREFIX,
    as_extras,
    cache_of,
    flattened,
    is_usable_id,
    item_type,
    native_extras,
    split_name,
)
from cliproxy.dialects.openai_responses.tools import ADDITIONAL, decode_tools
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import mime_of_image_format
from cliproxy.ir.request import (
    CacheMark,
    CallKind,
    Document,
    Essential,
    Family,
    Image,
    Inline,
    IRRequest,
    Message,
    Opaque,
    Part,
    Refusal,
    Role,
    Signature,
    SystemKind,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.signatures import Anchor, Replay, read_anchored, replay
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps_text,
    loads,
    objects,
    rest,
    text,
)

ITEM: Final = "item"
"""In the extras of a system text: what was said about the message whose first part it is; in those of an
image the assistant showed: the whole item."""
JOINED: Final = "joined"
"""In the extras of a system text: it belongs to the same message as the one before."""
INSTRUCTIONS: Final = "instructions"
"""In the extras of a system text: it stood in the member of that name."""

_SYSTEM_ROLES: Final[Mapping[str, SystemKind]] = {"system": "system", "developer": "developer"}
_SAID_BY_ASSISTANT: Final = frozenset({"output_text", "refusal"})
_CLIENT_SIDE: Final = ("_output", "mcp_approval_response", "compaction_trigger")
"""How the types of opaque items end that the client, not the model, contributed."""
_ESSENTIAL: Final[Mapping[str, str]] = {
    **dict.fromkeys(("compaction", "compaction_summary", "context_compaction"), "a compacted conversation"),
    "compaction_trigger": "the wish to have the conversation compacted",
}
"""Item types that a target must understand, in words."""
_REFERENCE: Final = "item_reference"
_TO_REASONING: Final = "rs_"
"""How ids of reasoning begin, without which a conversation goes on."""
_PLAIN_MESSAGE: Final = frozenset({"type", "role", "content"})
_PLAIN_CALL: Final = frozenset({"type", "id", "call_id", "name", "arguments"})
_PLAIN_OUTPUT: Final = frozenset({"type", "id", "call_id", "output"})
"""All that most messages, calls and outputs have."""


# --- reading ----------------------------------------------------------------------------------------------


@define(eq=False)
class InputReader:
    """Reads items in order; the result is in the public attributes."""

    ctx: ExchangeContext
    system: list[SystemText] = field(factory=list, init=False)
    messages: list[Message] = field(factory=list, init=False)
    tools: list[Tool] = field(factory=list, init=False)
    essentials: list[Essential] = field(factory=list, init=False)
    _waiting: list[Part] = field(factory=list, init=False)
    """Reasoning whose turn has not come yet."""
    _next_signature: dict[Anchor, Signature] = field(factory=dict, init=False)
    _index: int = field(default=0, init=False)
    """Of the item being read."""

    @property
    def _where(self) -> str:
        return f"input[{self._index}]"

    def read(self, value: JsonValue) -> None:
        """Read the value of ``input``. Raises :class:`DialectError`."""
        if isinstance(value, str):
            self.messages.append(Message("user", [Text(value)]))
            return
        if not isinstance(value, list):
            raise DialectError("`input` must be a text or a list of items", "input")
        for self._index, item in enumerate(value):
            if not isinstance(item, dict):
                raise DialectError(f"`{self._where}` must be an object", self._where)
            kind = item_type(item)
            if not kind:
                raise DialectError(f"`{self._where}` has neither a type nor a role", f"{self._where}.type")
            _ITEM_READERS.get(kind, InputReader._opaque)(self, item)
        self._flush()

    def _message(self, item: JsonObject) -> None:
        role = item.get("role")
        if role is not None and not isinstance(role, str):
            raise DialectError(f"`{self._where}.role` must be a text", f"{self._where}.role")
        parts = decode_content(item.get("content"), self.ctx, f"{self._where}.content")
        extras: JsonObject = {}
        if not _PLAIN_MESSAGE.issuperset(item):
            _mark_last(parts, cache_of(item))
            extras = rest(item, *_PLAIN_MESSAGE, CACHE)
        kind = _SYSTEM_ROLES.get(role or "")
        if kind is not None:
            self._system_message(kind, parts, extras)
            return
        said_by = self._speaker(role, item)
        if said_by == "assistant":
            self._begin_turn(parts, extras)
        else:
            self._flush()
            self.messages.append(Message("user", parts, extras=as_extras(extras)))

    def _speaker(self, role: str | None, item: JsonObject) -> Role:
        if role not in {None, "user", "assistant"}:
            self.ctx.note(f"a message of role {role} was read as the user's")
        if role == "assistant":
            return "assistant"
        said = {text(part, "type") for part in objects(item, "content")}
        return "assistant" if said & _SAID_BY_ASSISTANT else "user"

    def _system_message(self, kind: SystemKind, parts: list[Part], extras: JsonObject) -> None:
        self._flush()
        if self.messages:
            self.messages.append(Message("system", parts, kind, extras=as_extras(extras)))
            return
        mark: JsonObject = {ITEM: extras}
        for part in parts:
            if isinstance(part, Text | Refusal):
                cache = part.cache if isinstance(part, Text) else None
                self.system.append(SystemText(part.text, kind, cache, as_extras(mark)))
                mark = {JOINED: True}
            else:
                self.ctx.note("a part of a system message that is no text was dropped")

    def _begin_turn(self, parts: list[Part], extras: JsonObject) -> None:
        signature = self._next_signature.pop(Anchor.NEXT_TEXT, None)
        for part in parts:
            if signature is not None and isinstance(part, Text):
                part.signature, signature = signature, None
        self.messages.append(Message("assistant", [*self._take_waiting(), *parts], extras=as_extras(extras)))

    def _turn(self, role: Role) -> Message:
        """Return the message that an item without a message of its own belongs to."""
        if not self.messages or self.messages[-1].role != role:
            self.messages.append(Message(role, []))
        return self.messages[-1]

    def _take_waiting(self) -> list[Part]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _flush(self) -> None:
        """Give reasoning that nothing followed to the turn before it."""
        if self._waiting:
            self._turn("assistant").parts.extend(self._take_waiting())

    def _call(self, item: JsonObject) -> None:
        call = decode_call(item, self.ctx)
        if not call.name:
            raise DialectError(f"`{self._where}.name` is missing", f"{self._where}.name")
        call.signature = self._next_signature.pop(Anchor.NEXT_CALL, None)
        waiting = self._take_waiting()
        self._turn("assistant").parts.extend([*waiting, call])

    def _output(self, item: JsonObject) -> None:
        self._flush()
        output = item.get("output")
        result = ToolResult(text(item, "call_id"), self._output_parts(output), item_id=text(item, "id"))
        if text(item, "type") == "custom_tool_call_output":
            result.kind = CallKind.CUSTOM
        if not _PLAIN_OUTPUT.issuperset(item) or isinstance(output, list):
            more = rest(item, *_PLAIN_OUTPUT, CACHE)
            if isinstance(output, list) and _as_list(output) is None:
                more["output"] = output  # other dialects hear its JSON text
            result.cache = cache_of(item)
            result.extras = as_extras(more)
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "user" and last.parts and isinstance(last.parts[-1], ToolResult):
            last.parts.append(result)
        else:
            self.messages.append(Message("user", [result]))

    def _output_parts(self, output: JsonValue) -> list[Part]:
        listed = _as_list(output)
        if listed is not None:
            return decode_content(listed, self.ctx, f"{self._where}.output")
        if output is None:
            return []
        return [Text(output if isinstance(output, str) else dumps_text(output))]

    def _reasoning(self, item: JsonObject) -> None:
        thinking, signature, anchor = decode_reasoning(item)
        if anchor is not Anchor.OWN and signature is not None:
            self._attach(signature, anchor)
        elif thinking is not None:
            self._waiting.append(thinking)

    def _attach(self, signature: Signature, anchor: Anchor) -> None:
        """Give a signature that travelled in an item of its own back to its part."""
        if anchor in {Anchor.NEXT_CALL, Anchor.NEXT_TEXT}:
            self._next_signature[anchor] = signature
            return
        kind = ToolCall if anchor is Anchor.PREVIOUS_CALL else Text
        last = self.messages[-1] if self.messages else None
        for part in reversed(last.parts if last is not None and last.role == "assistant" else []):
            if isinstance(part, kind):
                part.signature = signature
                return

    def _additional_tools(self, item: JsonObject) -> None:
        for tool in decode_tools(item.get("tools"), self.ctx, f"{self._where}.tools"):
            tool.extras = as_extras({**native_extras(tool.extras), ADDITIONAL: True})
            self.tools.append(tool)
        self._opaque(item)

    def _generated_image(self, item: JsonObject) -> None:
        data = text(item, "result")
        if not data:
            self._opaque(item)
            return
        source = Inline(mime_of_image_format(text(item, "output_format")), data)
        waiting = self._take_waiting()
        self._turn("assistant").parts.extend([*waiting, Image(source, extras=as_extras({ITEM: item}))])

    def _opaque(self, item: JsonObject) -> None:
        kind = item_type(item)
        if kind == _REFERENCE and not text(item, "id").startswith(_TO_REASONING):
            self.essentials.append(Essential(KEPT_STATE, "a reference to a stored item", self._where))
        if kind in _ESSENTIAL:
            self.essentials.append(Essential(DIALECT_ID, _ESSENTIAL[kind], self._where))
        if kind.endswith(_CLIENT_SIDE) or kind == "additional_tools":
            self._flush()
            self.messages.append(Message("user", [Opaque(DIALECT_ID, kind, item)]))
        else:
            waiting = self._take_waiting()
            self._turn("assistant").parts.extend([*waiting, Opaque(DIALECT_ID, kind, item)])


_ITEM_READERS: Final[Mapping[str, Callable[[InputReader, JsonObject], None]]] = {
    "message": InputReader._message,
    "function_call": InputReader._call,
    "custom_tool_call": InputReader._call,
    "function_call_output": InputReader._output,
    "custom_tool_call_output": InputReader._output,
    "reasoning": InputReader._reasoning,
    "additional_tools": InputReader._additional_tools,
    "image_generation_call": InputReader._generated_image,
}


def _mark_last(parts: list[Part], mark: CacheMark | None) -> None:
    """Give what is said about caching a whole message to its last part."""
    last = parts[-1] if parts else None
    if mark is not None and isinstance(last, Text | Image | Document) and last.cache is None:
        last.cache = mark


def _as_list(output: JsonValue) -> list[JsonValue] | None:
    """Return the output of a tool as a list of content parts, if it is one, or the text of one."""
    if isinstance(output, str) and output.lstrip().startswith("[{"):
        try:
            output = loads(output)
        except JsonError:
            return None
    if not isinstance(output, list) or not all(
        isinstance(part, str) or is_recognised(part) for part in output
    ):
        return None
    return output


def decode_call(item: JsonObject, ctx: ExchangeContext) -> ToolCall:
    """Read a ``function_call`` or ``custom_tool_call`` item of either direction."""
    custom = item_type(item) == "custom_tool_call"
    key = "input" if custom else "arguments"
    said = item.get(key)
    item_id = text(item, "id")
    call = ToolCall(
        text(item, "call_id") or item_id,
        text(item, "name"),
        said if isinstance(said, str) else "" if said is None else dumps_text(said),
        CallKind.CUSTOM if custom else CallKind.FUNCTION,
        item_id=item_id,
    )
    if _PLAIN_CALL.issuperset(item) and not custom:
        return call
    if namespace := text(item, "namespace"):
        inside, call.namespace = call.name, namespace
        call.name = flattened(namespace, inside)
        ctx.namespaces.setdefault(call.name, (namespace, inside))
    call.cache = cache_of(item)
    call.extras = as_extras(rest(item, "type", "id", "call_id", "name", "namespace", key, CACHE))
    return call


def decode_reasoning(item: JsonObject) -> tuple[Thinking | None, Signature | None, Anchor]:
    """Read a ``reasoning`` item: (thinking, its signature, where the signed part is)."""
    summary = [paragraph for part in objects(item, "summary") if (paragraph := text(part, "text"))]
    content = [paragraph for part in objects(item, "content") if (paragraph := text(part, "text"))]
    said = summary or content
    encrypted = text(item, "encrypted_content")
    leftover = rest(item, "type", "id", "summary", "encrypted_content")
    if content:
        leftover["summary"] = item.get("summary")
    thinking = Thinking("\n\n".join(said), item_id=text(item, "id"), extras=as_extras(leftover))
    thinking.summary = said if len(said) > 1 else []
    if not encrypted:
        return (thinking if said else None), None, Anchor.OWN
    if encrypted.startswith(REDACTED_PREFIX):
        thinking.redacted = Signature(encrypted.removeprefix(REDACTED_PREFIX), Family.CLAUDE)
        return thinking, thinking.redacted, Anchor.OWN
    thinking.signature, anchor = read_anchored(encrypted, Family.GPT)
    return thinking, thinking.signature, anchor


# --- writing ----------------------------------------------------------------------------------------------


@define(eq=False)
class InputWriter:
    """Writes messages as items."""

    ctx: ExchangeContext
    items: list[JsonValue] = field(factory=list, init=False)
    _custom_calls: set[str] = field(factory=set, init=False)
    _has_lost_reasoning: bool = field(default=False, init=False)
    """Reasoning of this turn was left out. An upstream that knows the turn's other items by their ids would
    insist on it."""

    def write(self, request: IRRequest) -> list[JsonValue]:
        """Write the conversation of a request."""
        for message in request.messages:
            self._message(message)
        return self.items

    def _message(self, message: Message) -> None:
        role = _wire_role(message)
        extras = dict(native_extras(message.extras))
        self._has_lost_reasoning = False
        content: list[JsonValue] = []
        for part in message.parts:
            written = None if isinstance(part, Text) else self._item(part)
            if written is not None:
                self._close(role, content, extras)
                content = []
                self.items += written
                continue
            piece = encode_part(part, message.role, self.ctx)
            if piece is not None:
                content.append(piece)
        self._close(role, content, extras)

    def _close(self, role: str, content: list[JsonValue], extras: JsonObject) -> None:
        """Write the message collected so far; what is known of it belongs to the first one written."""
        if content:
            known = rest(extras, "id") if self._has_lost_reasoning else extras
            self.items.append(message_item(role, content, known))
            extras.clear()

    def _item(self, part: Part) -> list[JsonObject] | None:
        """Write a part that is an item of its own; ``None`` for content of a message."""
        match part:
            case ToolCall():
                return [self._call(part)]
            case ToolResult():
                return [self._output(part)]
            case Thinking():
                return list(self._reasoning(part))
            case Image() if item := child(native_extras(part.extras), ITEM):
                return [item]
            case Opaque() if part.dialect in NATIVE and not part.kind.startswith(CONTENT):
                return [part.raw]
            case _:
                return None

    def _call(self, call: ToolCall) -> JsonObject:
        custom = call.kind is CallKind.CUSTOM
        kind = "custom_tool_call" if custom else "function_call"
        if custom:
            self._custom_calls.add(call.id)
        item: JsonObject = {"type": kind, "call_id": call.id, "name": call.name}
        if call.item_id and is_usable_id(kind, call.item_id) and not self._has_lost_reasoning:
            item["id"] = call.item_id
        if call.namespace or self.ctx.namespaces:
            namespace, name = split_name(self.ctx.client_tool_name(call.name), call.namespace, self.ctx)
            if namespace:
                item |= {"name": name, "namespace": namespace}
        item["input" if custom else "arguments"] = (
            call.arguments if custom else call.arguments.strip() or "{}"
        )
        return item | native_extras(call.extras) if call.extras else item

    def _output(self, result: ToolResult) -> JsonObject:
        custom = result.kind is CallKind.CUSTOM or result.call_id in self._custom_calls
        kind = "custom_tool_call_output" if custom else "function_call_output"
        item: JsonObject = {"type": kind, "call_id": result.call_id, "output": self._said(result)}
        if result.item_id and is_usable_id(kind, result.item_id):
            item["id"] = result.item_id
        return item | native_extras(result.extras) if result.extras else item

    def _said(self, result: ToolResult) -> JsonValue:
        if result.value is not None:
            return _text_of_value(result.value)
        match result.parts:
            case [Text(text=said) as only] if not (only.citations or only.extras):
                return said
        parts = [piece for part in result.parts if (piece := encode_part(part, "user", self.ctx)) is not None]
        if not parts:
            return ""
        if len(parts) == 1 and set(parts[0]) == {"type", "text"}:
            return parts[0]["text"]
        return [*parts]

    def _reasoning(self, part: Thinking) -> Iterator[JsonObject]:
        signature = part.redacted or part.signature
        decision = replay(signature, self.ctx.upstream_family)
        native = self.ctx.client_dialect in NATIVE
        if decision is Replay.DROP or (
            decision is Replay.STRIP and not (native and part.text and part.item_id)
        ):
            self.ctx.note("reasoning of another model was left out")
            self._has_lost_reasoning = True
            return
        shown = part.summary or ([part.text] if part.text else [])
        item: JsonObject = {"type": "reasoning", "summary": summary_parts(shown if native else [])}
        if is_usable_id("reasoning", part.item_id):
            item["id"] = part.item_id
        item.update(native_extras(part.extras) if native else {"content": None})
        if decision is Replay.KEEP and signature is not None:
            item["encrypted_content"] = signature.value
        yield item


def _wire_role(message: Message) -> str:
    if message.role != "system":
        return message.role
    return "system" if message.system_kind == "system" else "developer"


def message_item(role: str, content: list[JsonValue], extras: JsonObject) -> JsonObject:
    """Write a message; an id that an upstream would refuse is left out."""
    item: JsonObject = {"type": "message", "role": role, "content": content, **extras}
    if "id" in item and not is_usable_id("message", text(item, "id")):
        del item["id"]
    return item


def summary_parts(paragraphs: list[str]) -> list[JsonValue]:
    """Write the paragraphs of a summary."""
    return [{"type": "summary_text", "text": paragraph} for paragraph in paragraphs]


def _text_of_value(value: JsonValue) -> str:
    """Write a result that is JSON as text: what stands under ``result`` where there is such a member."""
    if isinstance(value, dict):
        for key in ("result", "content", "output"):
            if key in value and (key == "result" or len(value) == 1):
                value = value[key]
                break
    return value if isinstance(value, str) else dumps_text(value)
