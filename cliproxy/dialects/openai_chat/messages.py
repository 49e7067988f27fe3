"""The conversation: messages of the wire ⇄ turns of the hub.

Contract: OpenAI API reference, "Create chat completion", ``messages``. Three things are shaped differently:

* **system text.** The messages that open the conversation are the hub's ``system`` list, one entry for each
  content part; later ones keep their place among the messages. On the wire the role is always ``system``:
  the vendor reads it as ``developer`` where it must, and other servers know no other word.
* **tool results.** Each is a message of its own with role ``tool``; in the hub they are parts of a user's
  message. Neighbouring ones become one message, and on the way out they precede what else the user said.
  The vendor takes nothing but text in them: what else its own models are to see of a result follows in a
  user's message, after the last result of the turn.
* **the assistant's turn** is one message with members for reasoning, text, refusal and calls. Inside, the hub
  keeps them in this order.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import define, evolve, field

from cliproxy.dialects.openai_chat.names import (
    AUDIO,
    CUSTOM,
    FUNCTION,
    IMAGE_URL,
    as_extras,
    is_from_chat,
    is_vendors_own,
    own,
    takes_free_text,
)
from cliproxy.dialects.openai_chat.parts import (
    CACHE,
    cache_of,
    decode_content,
    encode_content,
    encode_part,
    parts_in_text,
    text_of,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import read_url
from cliproxy.ir.request import (
    CallKind,
    Document,
    Family,
    Image,
    IRRequest,
    Message,
    Opaque,
    Part,
    Refusal,
    Signature,
    SystemKind,
    SystemText,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.signatures import carry, read
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, dumps_text, items, objects, rest, text

PART: Final = "part"
"""In the extras of a system text: which part of its message it was."""
MESSAGE: Final = "message"
"""In the extras of a system text that opens a message: what else that message said."""

SHOWN_BELOW: Final = "[shown below]"
"""Content of a result that has nothing but what a result cannot hold."""

_SYSTEM_KINDS: Final[Mapping[str, SystemKind]] = {"system": "system", "developer": "developer"}
IMAGES: Final = "images"
"""What a model drew; in the extras of such an image, how it was written."""
_ASSISTANT_MEMBERS: Final = (
    "role",
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    IMAGES,
    "tool_calls",
    "function_call",
    CACHE,
)
_RESULT_MEMBERS: Final = ("role", "content", "tool_call_id", "call_id", "name", CACHE)
_PLAIN: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
"""All that most messages have. What else might be said, and by what name, need not be asked of these."""
ANNOTATIONS: Final = "annotations"
ANSWER_MEMBERS: Final = frozenset({*_ASSISTANT_MEMBERS, ANNOTATIONS, AUDIO})
"""What is modelled of the message, or of a delta, in an answer."""
_PARAGRAPH: Final = "\n\n"
_VALUES: Final = (bool, int, float, dict)
_SPOKEN: Final = (Text, Refusal)


# --- reading ---


@define(eq=False)
class MessageReader:
    """Reads messages in order; the result is in the public attributes."""

    ctx: ExchangeContext
    system: list[SystemText] = field(factory=list, init=False)
    messages: list[Message] = field(factory=list, init=False)
    _is_after_result: bool = field(default=False, init=False)
    _index: int = field(default=0, init=False)
    """Of the message being read."""

    @property
    def _where(self) -> str:
        return f"messages[{self._index}]"

    def read(self, value: JsonValue) -> None:
        """Read the value of ``messages``. Raises :class:`DialectError`."""
        if not isinstance(value, list):
            raise DialectError("`messages` must be a list of messages", "messages")
        for self._index, entry in enumerate(value):
            if not isinstance(entry, dict):
                raise DialectError(f"`{self._where}` must be an object", self._where)
            role = entry.get("role")
            if not isinstance(role, str):
                raise DialectError(f"`{self._where}.role` must be a string", f"{self._where}.role")
            reader = _READERS.get(role)
            if reader is None:
                self.ctx.note(f"a message of role {role[:40]} was read as the user's")
                reader = MessageReader._user
            reader(self, entry)
            self._is_after_result = reader is MessageReader._result

    def _system(self, entry: JsonObject) -> None:
        kind = _SYSTEM_KINDS[text(entry, "role")]
        parts = _marked(self._content(entry.get("content")), entry)
        more = rest(entry, "role", "content", CACHE)
        if self.messages:
            self.messages.append(Message("system", parts, kind, as_extras(more)))
            return
        spoken = [part for part in parts if isinstance(part, Text | Refusal)]
        if len(spoken) < len(parts):
            self.ctx.note("a part of a system message that is no text was dropped")
        for number, part in enumerate(spoken):
            cache = part.cache if isinstance(part, Text) else None
            place: JsonObject = {PART: number}
            if more and not number:
                place[MESSAGE] = more
            self.system.append(SystemText(part.text, kind, cache, as_extras(place)))

    def _user(self, entry: JsonObject) -> None:
        message = Message("user", self._content(entry.get("content")))
        if not _PLAIN["user"].issuperset(entry):
            _marked(message.parts, entry)
            message.extras = as_extras(rest(entry, "role", "content", CACHE))
        self.messages.append(message)

    def _assistant(self, entry: JsonObject) -> None:
        parts = self._content(entry.get("content"))
        message = Message("assistant", parts)
        is_plain = _PLAIN["assistant"].issuperset(entry)
        if not is_plain:
            if thoughts := reasoning_of(entry):
                parts.insert(0, Thinking(thoughts))
            if refusal := text(entry, "refusal"):
                parts.append(Refusal(refusal))
            parts += self._images(entry)
        parts += decode_calls(entry, self._where)
        if not is_plain:
            _marked(parts, entry)
            message.extras = as_extras(rest(entry, *_ASSISTANT_MEMBERS))
        self.messages.append(message)

    def _content(self, content: JsonValue) -> list[Part]:
        """Read content; mostly it is a text, and nothing about its place need be said."""
        if isinstance(content, str):
            return [Text(content)]
        return decode_content(content, self.ctx, f"{self._where}.content")

    def _images(self, entry: JsonObject) -> Iterator[Part]:
        """Read what the model drew, in the form in which answers of this dialect show it."""
        for image in objects(entry, IMAGES):
            source = read_url(text(child(image, IMAGE_URL), "url"))
            if source is None:
                self.ctx.note("an image that cannot be read was dropped")
            else:
                yield Image(source, extras=as_extras({IMAGES: image}))

    def _result(self, entry: JsonObject) -> None:
        content = parts_in_text(entry.get("content"))
        is_value = isinstance(content, _VALUES)
        result = ToolResult(
            text(entry, "tool_call_id") or text(entry, "call_id"),
            [] if is_value else self._content(content),
            content if is_value else None,
            text(entry, "name"),
        )
        if not _PLAIN["tool"].issuperset(entry):
            result.cache = cache_of(entry)
            result.extras = as_extras(rest(entry, *_RESULT_MEMBERS))
        if self._is_after_result:
            self.messages[-1].parts.append(result)
        else:
            self.messages.append(Message("user", [result]))


_READERS: Final[Mapping[str, Callable[[MessageReader, JsonObject], None]]] = {
    "system": MessageReader._system,
    "developer": MessageReader._system,
    "user": MessageReader._user,
    "assistant": MessageReader._assistant,
    "tool": MessageReader._result,
    "function": MessageReader._result,
}


def _marked(parts: list[Part], entry: JsonObject) -> list[Part]:
    """Give a wish to cache that stands on the message to its last part."""
    mark = cache_of(entry)
    if mark is not None and parts and isinstance(parts[-1], Text | Image | Document | ToolCall):
        parts[-1].cache = parts[-1].cache or mark
    return parts


def reasoning_of(message: JsonObject) -> str:
    """Return the readable reasoning of a message or delta, in whatever member a server puts it."""
    for key in ("reasoning_content", "reasoning"):
        value = message.get(key)
        if value is None:
            continue
        said = "".join(text_of(piece) for piece in value) if isinstance(value, list) else text_of(value)
        if said:
            return said
    if "reasoning_details" not in message:
        return ""
    return "".join(
        text_of(piece) or (text(piece, "summary") if isinstance(piece, dict) else "")
        for piece in items(message, "reasoning_details")
    )


def decode_calls(message: JsonObject, where: str = "message") -> list[ToolCall]:
    """Read the calls of a message of either direction. Raises :class:`DialectError`."""
    value = message.get("tool_calls")
    if value is not None and not isinstance(value, list):
        raise DialectError(f"`{where}.tool_calls` must be a list", f"{where}.tool_calls")
    calls = [decode_call(entry) for entry in value or [] if isinstance(entry, dict)]
    if legacy := child(message, "function_call"):
        calls.append(ToolCall("", text(legacy, "name"), arguments_of(legacy)))
    return calls


def decode_call(entry: JsonObject) -> ToolCall:
    """Read one entry of ``tool_calls``."""
    function = entry.get(FUNCTION)
    if isinstance(function, dict) and _NOT_SIGNED.issuperset(entry) and entry.get("type") != CUSTOM:
        return ToolCall(text(entry, "id"), text(function, "name"), arguments_of(function))
    is_custom = text(entry, "type") == CUSTOM or (CUSTOM in entry and FUNCTION not in entry)
    described = child(entry, CUSTOM if is_custom else FUNCTION)
    return ToolCall(
        text(entry, "id"),
        text(described, "name"),
        text(described, "input") if is_custom else arguments_of(described),
        CallKind.CUSTOM if is_custom else CallKind.FUNCTION,
        signature_of(entry),
        cache=cache_of(entry),
        extras=as_extras(call_extras(entry)),
    )


def call_extras(entry: JsonObject) -> JsonObject:
    """Return the members of a call that are not modelled."""
    return rest(entry, "id", "type", "index", FUNCTION, CUSTOM, CACHE, *_SIGNED)


def arguments_of(described: JsonObject) -> str:
    """Return arguments as text; some clients and servers write the object itself."""
    value = described.get("arguments")
    if isinstance(value, str):
        return value
    return "" if value is None else dumps_text(value)


_NOT_SIGNED: Final = frozenset({"id", "type", "index", FUNCTION})
"""All that most calls have."""
_SIGNED: Final = ("extra_content", "thought_signature", "thoughtSignature")


def signature_of(entry: JsonObject) -> Signature | None:
    """Read the signature that Gemini's own endpoint of this dialect puts on a call."""
    if _NOT_SIGNED.issuperset(entry):
        return None
    google = child(child(entry, "extra_content"), "google")
    value = (
        text(google, "thought_signature")
        or text(entry, "thought_signature")
        or text(entry, "thoughtSignature")
    )
    return read(value, Family.GEMINI) if value else None


def signed(signature: Signature) -> JsonObject:
    """Write a call's signature where :func:`signature_of` finds it."""
    return {"extra_content": {"google": {"thought_signature": carry(signature, Family.GEMINI)}}}


# --- writing ---


def encode_messages(request: IRRequest, ctx: ExchangeContext) -> list[JsonValue]:
    """Write the conversation of a request."""
    writer = _MessageWriter(ctx, [*_system_messages(request.system, ctx)])
    for message in request.messages:
        writer.add(message)
    writer.show()
    return writer.written


@define(eq=False)
class _MessageWriter:
    """Writes messages in order."""

    ctx: ExchangeContext
    written: list[JsonValue]
    _shown: list[Part] = field(factory=list, init=False)
    """What tools have shown that a result cannot hold; told when the results of the turn are complete."""

    def add(self, message: Message) -> None:
        """Write a message."""
        match message.role:
            case "system":
                self.show()
                self._say("system", message.parts, own(message.extras))
            case "assistant":
                self.show()
                written = _assistant_message(message, self.ctx)
                if written is not None:
                    self.written.append(written)
            case _:
                self._user(message)

    def show(self) -> None:
        """Tell what tools have shown."""
        if self._shown:
            shown, self._shown = self._shown, []
            self._say("user", shown, {})

    def _user(self, message: Message) -> None:
        said: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                self._result(part)
            else:
                said.append(part)
        if said:
            said, self._shown = self._shown + said, []
            self._say("user", said, own(message.extras))

    def _say(self, role: str, parts: list[Part], more: JsonObject) -> None:
        if content := encode_content(parts, self.ctx):
            self.written.append({"role": role, "content": content, **more})

    def _result(self, result: ToolResult) -> None:
        if is_vendors_own(self.ctx):
            spoken: list[Part] = [part for part in result.parts if isinstance(part, Text | Refusal)]
            if len(spoken) < len(result.parts):
                self._shown += [part for part in result.parts if not isinstance(part, Text | Refusal)]
                result = evolve(result, parts=spoken or [Text(SHOWN_BELOW)])
        content = _result_content(result, self.ctx)
        written: JsonObject = {"role": "tool", "tool_call_id": result.call_id, "content": content}
        if result.cache is not None and is_from_chat(self.ctx):
            written[CACHE] = result.cache.raw
        if result.extras:
            written |= own(result.extras)
        self.written.append(written)


def _system_messages(system: list[SystemText], ctx: ExchangeContext) -> Iterator[JsonObject]:
    """Write the opening instructions: as many messages as the client wrote, or one for each kind of text."""
    groups: list[list[SystemText]] = []
    for entry in system:
        opens = own(entry.extras).get(PART) in {None, 0}
        is_alike = bool(groups) and groups[-1][-1].kind == entry.kind
        if is_alike and (not opens or PART not in own(entry.extras)):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    for group in groups:
        said: list[Part] = [Text(entry.text, cache=entry.cache) for entry in group]
        more = child(own(group[0].extras), MESSAGE)
        yield {"role": "system", "content": encode_content(said, ctx), **more}


@define
class _Turn:
    """The members of an assistant's message."""

    text: str = ""
    refusal: str = ""
    thoughts: list[str] = field(factory=list)
    calls: list[JsonValue] = field(factory=list)
    images: list[JsonValue] = field(factory=list)

    def add(self, part: Part, ctx: ExchangeContext) -> None:
        """Put a part into the member it belongs in."""
        match part:
            case Text():
                self.text += part.text
            case ToolCall():
                self.calls.append(_encode_call(part, ctx))
            case Refusal():
                self.refusal += part.text
            case Thinking() if part.text:
                self.thoughts.append(part.text)
            case Thinking():
                ctx.note("hidden reasoning in the history was dropped")
            case Image() if drawn := child(own(part.extras), IMAGES):
                self.images.append(drawn)
            case _:
                ctx.note(f"{_what(part)} in an assistant message was dropped")


def _assistant_message(message: Message, ctx: ExchangeContext) -> JsonObject | None:
    """Write a turn; ``None`` where there is nothing in it to be said."""
    turn = _Turn()
    for part in message.parts:
        turn.add(part, ctx)
    more = own(message.extras)
    if not (turn.text or turn.refusal or turn.calls or turn.images or more):
        return None
    written: JsonObject = {"role": "assistant", "content": turn.text}
    if turn.refusal and is_from_chat(ctx):
        written["refusal"] = turn.refusal
    elif turn.refusal:
        written["content"] = _PARAGRAPH.join(said for said in (turn.text, turn.refusal) if said)
    if turn.thoughts and is_vendors_own(ctx):
        ctx.note("reasoning in the history was dropped")
    elif turn.thoughts:
        written["reasoning_content"] = _PARAGRAPH.join(turn.thoughts)
    if turn.images:
        written[IMAGES] = turn.images
    if turn.calls:
        written["tool_calls"] = turn.calls
    return {**written, **more} if more else written


def _what(part: Part) -> str:
    return part.kind if isinstance(part, Opaque) else "an image" if isinstance(part, Image) else "a file"


def _encode_call(call: ToolCall, ctx: ExchangeContext) -> JsonObject:
    written: JsonObject
    if call.kind is CallKind.FUNCTION:
        described: JsonObject = {"name": call.name, "arguments": call.arguments or "{}"}
        written = {"id": call.id, "type": FUNCTION, FUNCTION: described}
    elif takes_free_text(ctx):
        described = {"name": call.name, "input": call.arguments}
        written = {"id": call.id, "type": CUSTOM, CUSTOM: described}
    else:
        described = {"name": call.name, "arguments": dumps_text({"input": call.arguments})}
        written = {"id": call.id, "type": FUNCTION, FUNCTION: described}
    signature = call.signature
    if signature is not None and signature.family is ctx.upstream_family is Family.GEMINI:
        written |= signed(signature)
    if call.cache is not None and is_from_chat(ctx):
        written[CACHE] = call.cache.raw
    return {**written, **own(call.extras)} if call.extras else written


def _result_content(result: ToolResult, ctx: ExchangeContext) -> JsonValue:
    """Write what a tool answered: a string unless there is something in it that is not text."""
    if result.value is not None:
        return result.value if isinstance(result.value, str) else dumps_text(result.value)
    said = [part.text for part in result.parts if isinstance(part, _SPOKEN)]
    if len(said) == len(result.parts):
        return _PARAGRAPH.join(said)
    written = [entry for part in result.parts if (entry := encode_part(part, ctx)) is not None]
    return [*written] if written else ""
