"""Whole answers: the ``chat.completion`` object ⇄ the hub.

Contract: OpenAI API reference, "The chat completion object". An answer has several *choices* if the client
asked for them; each has one message, whose members the hub keeps as parts in this order: reasoning, text,
refusal, images, calls. ``reasoning_content`` and ``images`` are additions of compatible servers that many
clients read.
"""

from typing import Final

from attrs import define, field

from cliproxy.dialects.openai_chat.answers import (
    OTHER_CALLS,
    annotation,
    answer_head,
    client_call,
    image_entry,
    knows_one_call,
    older_reason,
    unwrapped,
)
from cliproxy.dialects.openai_chat.messages import (
    ANNOTATIONS,
    ANSWER_MEMBERS,
    decode_calls,
    reasoning_of,
    signed,
)
from cliproxy.dialects.openai_chat.names import (
    AUDIO,
    DIALECT_ID,
    FUNCTION,
    IMAGE_URL,
    MESSAGE,
    OLDER_CALL,
    as_extras,
    own,
)
from cliproxy.dialects.openai_chat.outcome import (
    decode_ending,
    decode_usage,
    encode_reason,
    encode_usage,
    is_known,
)
from cliproxy.dialects.openai_chat.parts import decode_content
from cliproxy.errors import DialectError
from cliproxy.ir.collect import grow
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.media import read_url, write_url
from cliproxy.ir.request import CallKind, Family, Image, Opaque, Part, Refusal, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, IRResponse, Usage, numbered
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, integer, objects, rest, text

OBJECT: Final = "chat.completion"


# --- reading ---


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read an answer. Raises :class:`DialectError` for something that is none."""
    if not isinstance(body.get("choices"), list):
        raise DialectError("the answer has no list of `choices`", "choices")
    choices = [_decode_choice(choice, number, ctx) for number, choice in enumerate(objects(body, "choices"))]
    return IRResponse(
        id=text(body, "id"),
        model=text(body, "model"),
        choices=numbered(choices),
        usage=decode_usage(child(body, "usage")) or Usage(),
        created=integer(body, "created") or 0,
        extras=as_extras(rest(body, "id", "object", "model", "choices", "usage", "created")),
    )


def _decode_choice(choice: JsonObject, number: int, ctx: ExchangeContext) -> Choice:
    message = child(choice, MESSAGE)
    calls = decode_calls(message)
    for call in calls:
        call.id = call.id or ctx.new_id("call_")
    refusal = text(message, "refusal")
    ending = decode_ending(text(choice, "finish_reason"), has_calls=bool(calls), has_refusal=bool(refusal))
    ending.native = text(choice, "native_finish_reason") or ending.native
    index = integer(choice, "index")
    spoken = _spoken(message, ctx)
    return Choice(
        [*spoken, *([Refusal(refusal)] if refusal else []), *_images(message, ctx), *calls],
        ending,
        number if index is None else index,
        as_extras(_more_of(choice, message, can_cite=any(isinstance(part, Text) for part in spoken))),
    )


def _more_of(choice: JsonObject, message: JsonObject, *, can_cite: bool) -> JsonObject:
    """Return what is not modelled of a choice and of its message, citations of nothing among it."""
    more = rest(choice, "index", MESSAGE, "finish_reason", "native_finish_reason", "usage")
    said = {key: value for key, value in message.items() if key not in ANSWER_MEMBERS}
    if not can_cite and message.get(ANNOTATIONS):
        said[ANNOTATIONS] = message[ANNOTATIONS]
    return {**more, MESSAGE: said} if said else more


def _spoken(message: JsonObject, ctx: ExchangeContext) -> list[Part]:
    parts: list[Part] = []
    if thoughts := reasoning_of(message):
        parts.append(Thinking(thoughts))
    said = [
        part
        for part in decode_content(message.get("content"), ctx, "message.content")
        if not isinstance(part, Text) or part.text
    ]
    citations = list(objects(message, ANNOTATIONS))
    last = next((part for part in reversed(said) if isinstance(part, Text)), None)
    if citations and last is not None:
        last.citations, last.citation_dialect = citations, DIALECT_ID
    if audio := child(message, AUDIO):
        said.append(Opaque(DIALECT_ID, AUDIO, audio))
    return parts + said


def _images(message: JsonObject, ctx: ExchangeContext) -> list[Part]:
    images: list[Part] = []
    for entry in objects(message, "images"):
        source = read_url(text(child(entry, "image_url"), "url"))
        if source is None:
            ctx.note("an image of the answer could not be read")
        else:
            images.append(Image(source))
    return images


# --- writing ---


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write an answer."""
    choices: list[JsonValue] = [_encode_choice(choice, ctx) for choice in response.choices]
    body = answer_head(response.id, response.model, response.created, ctx)
    body |= {"object": OBJECT, "choices": choices}
    if is_known(response.usage):
        body["usage"] = encode_usage(response.usage)
    return {**body, **own(response.extras)}


@define
class _Message:
    """The members of the message being written."""

    text: str | None = None
    refusal: str = ""
    thoughts: str = ""
    annotations: list[JsonValue] = field(factory=list)
    images: list[str] = field(factory=list)
    calls: list[JsonValue] = field(factory=list)
    audio: JsonObject | None = None

    def add(self, part: Part, ctx: ExchangeContext) -> None:
        """Put a part into the member it belongs in."""
        match part:
            case Text():
                self._say(part, ctx)
            case Thinking():
                self.thoughts += part.text if ctx.want_thoughts else ""
            case ToolCall():
                self.calls.append(_encode_call(part, ctx))
            case Refusal():
                self.refusal += part.text
            case Image() if url := write_url(part.source):
                self.images.append(url)
            case Opaque(dialect=dialect, kind=kind) if (dialect, kind) == (DIALECT_ID, AUDIO):
                self.audio = part.raw
            case Opaque(dialect=dialect, kind=kind) if (dialect, kind) == (DIALECT_ID, IMAGE_URL):
                self.images.append(text(child(part.raw, IMAGE_URL), "url"))
            case _:
                ctx.note("a part of the answer that only another dialect knows was dropped")

    def _say(self, part: Text, ctx: ExchangeContext) -> None:
        offset = len(self.text or "")
        self.text = (self.text or "") + part.text
        for citation in part.citations:
            written = annotation(citation, part.citation_dialect, ctx, offset=offset)
            if written is not None:
                self.annotations.append(written)

    def written(self) -> JsonObject:
        """Return the message. ``content`` is always there, and null where something else takes its place."""
        replaced = self.calls or self.refusal or self.audio
        message: JsonObject = {"role": "assistant", "content": self.text if self.text or replaced else ""}
        if self.thoughts:
            message["reasoning_content"] = self.thoughts
        if self.refusal:
            message["refusal"] = self.refusal
        if self.annotations:
            message["annotations"] = self.annotations
        if self.images:
            urls = dict.fromkeys(self.images)  # the same image once
            message["images"] = [image_entry(url, number) for number, url in enumerate(urls)]
        if self.audio is not None:
            message["audio"] = self.audio
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def _encode_choice(choice: Choice, ctx: ExchangeContext) -> JsonObject:
    message = _Message()
    for part in choice.parts:
        message.add(part, ctx)
    more = own(choice.extras)
    said = message.written()
    if knows_one_call(ctx):
        _tell_one_call(said, ctx)
    grow(said, child(more, MESSAGE))
    reason = encode_reason(choice.ending, has_calls=bool(message.calls), has_refusal=bool(message.refusal))
    written: JsonObject = {
        "index": choice.index,
        "message": said,
        "finish_reason": older_reason(reason, ctx),
    }
    if choice.ending.native:
        written["native_finish_reason"] = choice.ending.native.lower()
    return {**written, **rest(more, MESSAGE)}


def _tell_one_call(message: JsonObject, ctx: ExchangeContext) -> None:
    """Put the first call of a message where clients look that know of one only."""
    first, *others = [*objects(message, "tool_calls")] or [{}]
    if message.pop("tool_calls", None):
        message[OLDER_CALL] = child(first, FUNCTION)
    if others:
        ctx.note(OTHER_CALLS)


def _encode_call(part: ToolCall, ctx: ExchangeContext) -> JsonObject:
    call = client_call(part.id, part.name, ctx, is_custom=part.kind is CallKind.CUSTOM)
    said = unwrapped(part.arguments) if call.is_wrapped else part.arguments
    written = call.opening(said if call.is_custom else said or "{}")
    if part.signature is not None and part.signature.family is Family.GEMINI:
        written |= signed(part.signature)
    return {**written, **own(part.extras)}


# --- looking ---


def has_content(body: JsonObject) -> bool:
    """Whether the client of a raw answer learns something from it: words, calls, or why there are none."""
    return any(_says_something(choice) for choice in objects(body, "choices"))


def _says_something(choice: JsonObject) -> bool:
    message = child(choice, "message")
    reason = text(choice, "finish_reason")
    members = ("refusal", "tool_calls", "function_call", "images", "audio")
    return bool(
        message.get("content")
        or reasoning_of(message)
        or any(message.get(member) for member in members)
        or reason not in {"", "stop"}
    )
