"""Whole answers: the response object, its echo of the request, and usage.

Contract: the OpenAI API reference, "The response object". The object repeats what the request asked for, and
says what was used where the request was silent. An upstream of this wire tells the latter; for others
defaults stand in, since typed clients insist on several of those members.

Nothing about the items of an answer is decided here: a whole answer is what its stream would have ended with.
"""

from collections.abc import Mapping
from typing import Final

from attrs import define, field

from cliproxy.dialects.openai_responses.assembly import MESSAGE, Assembly
from cliproxy.dialects.openai_responses.content import decode_part
from cliproxy.dialects.openai_responses.items import decode_call, decode_reasoning
from cliproxy.dialects.openai_responses.names import (
    DIALECT_ID,
    as_extras,
    item_type,
    native_extras,
)
from cliproxy.dialects.openai_responses.output import DeltaHead, ItemIds
from cliproxy.errors import DialectError
from cliproxy.ir.collect import grow, to_events
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.estimate import CHARACTERS_PER_TOKEN
from cliproxy.ir.events import Finish, Start, UsageUpdate
from cliproxy.ir.media import mime_of_image_format
from cliproxy.ir.request import Image, Inline, Opaque, Part, Refusal, Text, Thinking, ToolCall
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, count, items, objects, rest, text

COMPACTION: Final = "response.compaction"
"""What the object is called that a compaction answers with."""

_ECHOED: Final = (
    *("instructions", "max_output_tokens", "max_tool_calls", "parallel_tool_calls", "previous_response_id"),
    *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text"),
    *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user", "metadata"),
)
_DEFAULTS: Final[Mapping[str, JsonValue]] = {
    "parallel_tool_calls": True,
    "store": False,
    "temperature": 1,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1,
    "truncation": "disabled",
    "metadata": {},
}

_MODELLED: Final = (
    *("id", "object", "created_at", "status", "background", "error", "incomplete_details", "model", "output"),
    "usage",
)
"""Members of the object that the hub has a place for, or that follow from those."""
_UPSTREAMS_OWN: Final = ("service_tier",)
"""What a request wishes and only the upstream decides."""

_STATUS: Final[Mapping[FinishReason, tuple[str, str]]] = {
    FinishReason.LENGTH: ("incomplete", "max_output_tokens"),
    FinishReason.CONTENT_FILTER: ("incomplete", "content_filter"),
    FinishReason.PAUSE: ("incomplete", ""),
    FinishReason.CANCELLED: ("incomplete", ""),
    FinishReason.ERROR: ("failed", ""),
}
"""Finish reason → status of the answer and why it is incomplete; the rest is completed."""

_REASONS: Final[Mapping[str, FinishReason]] = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "tool_calls": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
}


# --- usage ------------------------------------------------------------------------------------------------


def decode_usage(usage: JsonObject) -> Usage:
    """Split token counts into disjoint ones."""
    total_in, total_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    inside = child(usage, "input_tokens_details")
    cached, written = count(inside, "cached_tokens"), count(inside, "cache_write_tokens")
    reasoning = count(child(usage, "output_tokens_details"), "reasoning_tokens")
    return Usage(
        fresh_input=None if total_in is None else max(total_in - (cached or 0) - (written or 0), 0),
        cache_read=cached,
        cache_write=written,
        output=None if total_out is None else max(total_out - (reasoning or 0), 0),
        reasoning=reasoning,
        reported_total=count(usage, "total_tokens"),
        extras=as_extras(_more_of_usage(usage)),
    )


def _more_of_usage(usage: JsonObject) -> JsonObject:
    more = {key: value for key, value in usage.items() if key not in _USAGE}
    for key, known in _USAGE.items():
        inner = rest(child(usage, key), *known)
        if inner:
            more[key] = inner
    return more


_USAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": (),
    "input_tokens_details": ("cached_tokens", "cache_write_tokens"),
    "output_tokens": (),
    "output_tokens_details": ("reasoning_tokens",),
    "total_tokens": (),
}
"""Members of a usage object and what is known inside them."""


def encode_usage(usage: Usage, thought_length: int = 0) -> JsonObject | None:
    """Write token counts with all their details; ``None`` when the upstream said nothing.

    Reasoning that an upstream showed and did not count apart is estimated from its length.
    """
    if usage == Usage():
        return None
    reasoning = usage.reasoning
    if reasoning is None:
        reasoning = min(round(thought_length / CHARACTERS_PER_TOKEN), usage.output_total)
    written: JsonObject = {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage.total or usage.reported_total or 0,
    }
    grow(written, native_extras(usage.extras))
    return written


# --- reading ----------------------------------------------------------------------------------------------


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read a response object. Raises :class:`DialectError` for anything else."""
    if not isinstance(body.get("output"), list):
        raise DialectError("the answer has no list `output`", "output")
    parts = [part for item in objects(body, "output") for part in output_parts(item, ctx)]
    return IRResponse(
        id=text(body, "id"),
        model=text(body, "model"),
        choices=[Choice(parts, ending_of(body, parts))],
        usage=decode_usage(child(body, "usage")),
        created=count(body, "created_at") or 0,
        extras=as_extras(answer_extras(body)),
    )


def answer_extras(body: JsonObject) -> JsonObject:
    """Return what an answer's object says that the hub has no place for."""
    kind: JsonObject = {"object": COMPACTION} if text(body, "object") == COMPACTION else {}
    return {**rest(body, *_MODELLED), **kind}


def output_parts(item: JsonObject, ctx: ExchangeContext) -> list[Part]:
    """Read one item of an answer; nothing for one that says nothing."""
    match item_type(item):
        case "message":
            return _message_parts(item, ctx)
        case "reasoning":
            thinking = decode_reasoning(item)[0]
            return [_bare(thinking)] if thinking is not None else []
        case "function_call" | "custom_tool_call":
            call = decode_call(item, ctx)
            call.extras = {}
            return [call]
        case "image_generation_call":
            data = text(item, "result")
            mime = mime_of_image_format(text(item, "output_format"))
            return [Image(Inline(mime, data))] if data else []
        case "":
            return []
        case kind:
            return [Opaque(DIALECT_ID, kind, item)]


def _bare(thinking: Thinking) -> Thinking:
    thinking.extras = {}
    return thinking


def message_extras(item: JsonObject) -> JsonObject:
    """Return what is kept of a message beside its content, for each text in it."""
    known = rest(item, "type", "role", "status", "content")
    return {MESSAGE: known} if known else {}


def _message_parts(item: JsonObject, ctx: ExchangeContext) -> list[Part]:
    parts: list[Part] = []
    for content in objects(item, "content"):
        part = decode_part(content, ctx)
        if isinstance(part, Text):
            part.extras = as_extras(message_extras(item))
        if part is not None and not (isinstance(part, Text | Refusal) and not part.text):
            parts.append(part)
    return parts


def ending_of(body: JsonObject, parts: list[Part]) -> Ending:
    """Tell why an answer ended."""
    has_call = any(isinstance(part, ToolCall) for part in parts)
    refused = any(isinstance(part, Refusal) for part in parts)
    return read_ending(body, has_call=has_call, refused=refused)


def read_ending(body: JsonObject, *, has_call: bool, refused: bool) -> Ending:
    """Tell why an answer ended, from its object and from what was seen of its items."""
    status = text(body, "status", "completed")
    said = text(body, "stop_reason") or text(child(body, "incomplete_details"), "reason")
    native = said or status
    if said in _REASONS:
        return Ending(_REASONS[said], native, text(body, "stop_sequence") or None)
    if status == "failed":
        return Ending(FinishReason.ERROR, native)
    if status == "cancelled":
        return Ending(FinishReason.CANCELLED, native)
    if has_call:
        return Ending(FinishReason.TOOL_CALLS, native)
    return Ending(FinishReason.REFUSAL if refused else FinishReason.STOP, native)


# --- writing ----------------------------------------------------------------------------------------------


def response_id(upstream_id: str, ctx: ExchangeContext, *, is_native: bool = False) -> str:
    """Return the id of an answer in the form this wire has for it; ``is_native``: it comes from an upstream
    of this wire, where requests may go on from it by that name."""
    if not upstream_id:
        return ctx.new_id("resp_", 32)
    return upstream_id if is_native or upstream_id.startswith("resp_") else f"resp_{upstream_id}"


@define(eq=False)
class AnswerFacts:
    """What the object of an answer says besides its items."""

    ctx: ExchangeContext
    id: str
    model: str
    created: int
    usage: Usage = field(factory=Usage)
    thought_length: int = 0
    told: JsonObject = field(factory=dict)
    """What an upstream of this wire says about the answer besides."""

    @classmethod
    def of(cls, start: Start, ctx: ExchangeContext) -> "AnswerFacts":
        """Take the facts from the start of a stream."""
        model = ctx.shown_model or start.model or ctx.upstream_model
        created = start.created or int(ctx.now)
        told = rest(native_extras(start.extras), "object")
        name = response_id(start.id, ctx, is_native=bool(told))
        return cls(ctx, name, model, created, start.usage or Usage(), told=told)

    def _head(self, status: str) -> JsonObject:
        head: JsonObject = {"id": self.id, "object": "response", "created_at": self.created, "status": status}
        return head | {"background": False, "error": None, "incomplete_details": None}

    def begun(self) -> JsonObject:
        """Write the object as it is when nothing has been said yet."""
        echo = self._echo()
        required: JsonObject = {key: echo[key] for key in ("parallel_tool_calls", "tool_choice")}
        return {**self._head("in_progress"), "model": self.model, "output": [], "tools": [], **required}

    def ended(self, output: list[JsonValue], reason: FinishReason) -> JsonObject:
        """Write the object of an answer that ended for a reason."""
        status, why = _STATUS.get(reason, ("completed", ""))
        body = {**self._head(status), **self._echo(), "model": self.model, "output": output}
        body["usage"] = encode_usage(self.usage, self.thought_length)
        if why:
            body["incomplete_details"] = {"reason": why}
        if status == "failed":
            body["error"] = {"code": "server_error", "message": "the upstream could not finish its answer"}
        return body

    def compacted(self, output: list[JsonValue]) -> JsonObject:
        """Write the object of a compacted conversation, which is no answer."""
        facts: JsonObject = {"id": self.id, "object": COMPACTION, "created_at": self.created}
        return {**facts, "output": output, "usage": encode_usage(self.usage)}

    def failed(self, output: list[JsonValue], error: JsonObject) -> JsonObject:
        """Write the object of an answer that an error ended."""
        return {**self.ended(output, FinishReason.ERROR), "error": error}

    def _echo(self) -> JsonObject:
        asked = self.ctx.original_body if self.ctx.client_dialect == DIALECT_ID else {}
        said: JsonObject = {key: asked[key] for key in _ECHOED if asked.get(key) is not None}
        decided: JsonObject = {
            key: self.told[key] for key in _UPSTREAMS_OWN if self.told.get(key) is not None
        }
        missing = {key: value for key, value in _DEFAULTS.items() if self.told.get(key) is None}
        return {**self.told, **missing, **said, **decided}


class SilentSink:
    """Ignores the events of an answer of which only the whole is wanted."""

    def event(self, kind: str, members: JsonObject) -> None:
        """Ignore an event."""

    def delta(self, head: DeltaHead, text: str) -> None:
        """Ignore a delta."""


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write a whole answer. Only its first choice can be told."""
    start = Start(response.id, response.model, response.created, extras=response.extras)
    facts = AnswerFacts.of(start, ctx)
    assembly = Assembly(ctx, SilentSink(), ItemIds(facts.id.removeprefix("resp_")))
    reason = FinishReason.STOP
    for event in to_events(response):
        match event:
            case Finish(choice=0):
                reason = event.ending.reason
            case UsageUpdate():
                facts.usage = event.usage
            case _:
                assembly.feed(event)
    reason = assembly.finish(reason)
    facts.thought_length = assembly.thought_length
    if native_extras(response.extras).get("object") == COMPACTION:
        return facts.compacted(assembly.output())
    return facts.ended(assembly.output(), reason)


def has_output(body: JsonObject) -> bool:
    """Tell whether an answer says anything, or says why it does not."""
    return bool(items(body, "output")) or text(body, "status") == "incomplete"
