"""Requests of the Claude dialect: ``POST /v1/messages`` and ``/v1/messages/count_tokens``.

Contract: Anthropic API reference, "Messages". Everything the API knows and the hub does not (``container``,
``mcp_servers``, ``context_management``, ``betas``, ``metadata``, …) goes through in the extras, so that a
request between two speakers of this dialect loses nothing even when it has to be decoded.

Three things are particular to this dialect:

* ``metadata.user_id`` identifies the client's installation to this vendor and is shown to no other;
* the first system block of Claude Code is a line of billing telemetry. It is kept for upstreams of this
  dialect and reaches no other;
* a message of role ``system`` is a note whose place in the conversation matters: a *reminder* in the hub.
"""

from collections.abc import Iterator
from typing import Final

from attrs import evolve

from cliproxy.dialects.claude.final import make_legal
from cliproxy.dialects.claude.reading import ID, cache_mark, extras_of, own_family, read_content
from cliproxy.dialects.claude.reasoning import (
    asks_for_amount,
    effort_of,
    is_off,
    read_reasoning,
    write_thinking,
)
from cliproxy.dialects.claude.tools import read_tool_choice, read_tools, write_tool_choice, write_tools
from cliproxy.dialects.claude.writing import (
    own_extras,
    with_cache,
    write_call,
    write_media,
    write_result,
    write_text,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Audio,
    Document,
    Family,
    Image,
    IRRequest,
    Message,
    Meta,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Sampling,
    SystemText,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.ir.signatures import Replay, family_of_model, has_foreign_signature, replay
from cliproxy.ir.thinking import CLAUDE_DEFAULT_MAX_TOKENS
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, items, number, objects, strings, text

UNREADABLE: Final = "[content that this model cannot read]"
"""What a user said of whose words and pictures nothing could be written."""
PRIORITY: Final = "priority"
"""The tier of other vendors that fast mode comes nearest to. It is not asked for on behalf of their clients:
the mode has a price and a waiting list of its own, and who is not on it gets an error."""
STANDARD: Final = "default"
"""The tier of other vendors that is plain service and nothing else."""
BILLING_PREFIX: Final = "x-anthropic-billing-header:"
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_MODELLED: Final = (
    "model",
    "messages",
    "system",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
)


_PLAIN_MESSAGE: Final = frozenset({"role", "content"})
"""All that most messages have."""


# --- reading ------------------------------------------------------------------------------------------------


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request. Raises :class:`~cliproxy.errors.DialectError` for what has no meaning at all."""
    model = text(body, "model")
    if not model:
        raise DialectError("model: a model name is required", "model")
    choice, parallel = read_tool_choice(body)
    reasoning = read_reasoning(body)
    ctx.want_thoughts = reasoning is None or (reasoning.visible is not False and not is_off(reasoning))
    extras = extras_of(body, *_MODELLED).get(ID, {})
    system, billing = _read_system(body, ctx)
    for member, rest in (("system", billing), *_unread_settings(body, reasoning)):
        if rest:
            extras[member] = rest
    return IRRequest(
        model=model,
        messages=_read_messages(body, ctx),
        system=system,
        tools=read_tools(body, ctx),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        sampling=_read_sampling(body),
        output=_read_output(body),
        reasoning=reasoning,
        meta=Meta(service_tier=PRIORITY if text(body, "speed") == "fast" else None),
        stream=flag(body, "stream") is True,
        extras={ID: extras} if extras else {},
    )


def _read_messages(body: JsonObject, ctx: ExchangeContext) -> list[Message]:
    wire = body.get("messages")
    if not isinstance(wire, list):
        problem = "must be a list of messages" if "messages" in body else "field required"
        raise DialectError(f"messages: {problem}", "messages")
    return [_read_message(message, number, ctx) for number, message in enumerate(wire)]


def _read_message(wire: JsonValue, number: int, ctx: ExchangeContext) -> Message:
    if not isinstance(wire, dict):
        where = f"messages.{number}"
        raise DialectError(f"{where}: must be an object with a role and content", where)
    role = _ROLES.get(text(wire, "role"))
    if role is None:
        where = f"messages.{number}.role"
        raise DialectError(f"{where}: must be one of {', '.join(_ROLES)}", where)
    parts = read_content(wire.get("content"), role, f"messages.{number}.content", ctx)
    message = Message(role, parts, "reminder" if role == "system" else "system")
    if not _PLAIN_MESSAGE.issuperset(wire):
        if parts and cache_mark(wire) is not None:
            parts[-1] = _marked(parts[-1], wire)
        message.extras = extras_of(wire, "role", "content", "cache_control")
    return message


def _marked(part: Part, message: JsonObject) -> Part:
    """Let a mark on the whole message count for its last block, unless that has one of its own."""
    if isinstance(part, Text | Image | Document | ToolCall | ToolResult) and part.cache is None:
        return evolve(part, cache=cache_mark(message))
    return part


def _read_system(body: JsonObject, ctx: ExchangeContext) -> tuple[list[SystemText], list[JsonValue]]:
    """Return the system texts, and apart from them the blocks of billing telemetry."""
    bare = text(body, "system")
    blocks: list[JsonValue] = [{"type": "text", "text": bare}] if bare else items(body, "system")
    system: list[SystemText] = []
    billing: list[JsonValue] = []
    for block in blocks:
        if isinstance(block, str):
            system.append(SystemText(block))
        elif not isinstance(block, dict) or text(block, "type") != "text":
            ctx.note("a system block that is no text was dropped")
        elif text(block, "text").startswith(BILLING_PREFIX):
            telemetry, _, instruction = text(block, "text").partition("\n")
            billing.append({"type": "text", "text": telemetry} if instruction else block)
            if instruction:
                system.append(SystemText(instruction, cache=cache_mark(block)))
        elif text(block, "text"):
            extras = extras_of(block, "type", "text", "cache_control")
            system.append(SystemText(text(block, "text"), cache=cache_mark(block), extras=extras))
    return system, billing


def _read_sampling(body: JsonObject) -> Sampling:
    max_tokens = _checked_number(body, "max_tokens")
    top_k = _checked_number(body, "top_k")
    return Sampling(
        max_tokens=None if max_tokens is None else int(max_tokens),
        temperature=_checked_number(body, "temperature"),
        top_p=_checked_number(body, "top_p"),
        top_k=None if top_k is None else int(top_k),
        stop=strings(body, "stop_sequences"),
    )


def _checked_number(body: JsonObject, member: str) -> float | int | None:
    value = number(body, member)
    if value is None and body.get(member) is not None:
        raise DialectError(f"{member}: must be a number", member)
    return value


def _read_output(body: JsonObject) -> OutputFormat | None:
    # The member moved into `output_config` when structured outputs left their beta.
    wire = child(child(body, "output_config"), "format") or child(body, "output_format")
    schema = wire.get("schema")
    if text(wire, "type") != "json_schema" or not isinstance(schema, dict):
        return None
    return OutputFormat("json_schema", text(wire, "name"), schema=schema)


def _unread_settings(body: JsonObject, reasoning: Reasoning | None) -> Iterator[tuple[str, JsonValue]]:
    """Return what is left of the members that are read in parts."""
    read = {"format"} if reasoning is None or not reasoning.adaptive else {"format", "effort"}
    output = {key: value for key, value in child(body, "output_config").items() if key not in read}
    yield "output_config", output
    read_of_thinking = () if reasoning is None else ("type", "budget_tokens", "display")
    yield "thinking", {k: v for k, v in child(body, "thinking").items() if k not in read_of_thinking}


def may_pass(body: JsonObject, model: str) -> bool:
    """Tell whether an upstream of this dialect takes a body as it is: not if it would refuse a signature, or
    a thought that has none because another vendor's model had it."""
    family = family_of_model(model)
    if family is Family.CLAUDE and _has_unsigned_thought(body):
        return False
    return not has_foreign_signature(body, Family.CLAUDE if family is Family.UNKNOWN else family)


def _has_unsigned_thought(body: JsonObject) -> bool:
    return any(
        text(block, "type") == "thinking" and not text(block, "signature")
        for message in objects(body, "messages")
        for block in objects(message, "content")
    )


# --- writing ------------------------------------------------------------------------------------------------


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request for an upstream. Raises :class:`~cliproxy.errors.DialectError` if it says nothing."""
    body: JsonObject = {"model": request.model}
    body.update(own_extras(request.extras))
    body["max_tokens"] = _limit(request.sampling, ctx)
    system = [*items(body, "system"), *(_write_system(said) for said in request.system)]
    if system:
        body["system"] = system
    messages = _write_messages(request, ctx)
    body["messages"] = [*messages]
    _add_tools(body, request, ctx)
    _add_sampling(body, request.sampling, ctx)
    _add_settings(body, request, ctx)
    if text(child(body, "thinking"), "type") == "enabled" and _has_thoughtless_tool_loop(messages):
        ctx.note("thinking was switched off: the open tool calls were made without it")
        del body["thinking"]
    if request.stream:
        body["stream"] = True
    return make_legal(body)


def _limit(sampling: Sampling, ctx: ExchangeContext) -> int:
    """Return the length of the answer. A client of another vendor cannot know the longest the model gives."""
    longest = ctx.upstream_output
    if not sampling.max_tokens:
        return min(longest or CLAUDE_DEFAULT_MAX_TOKENS, CLAUDE_DEFAULT_MAX_TOKENS)
    is_native = ctx.client_dialect == ID
    return sampling.max_tokens if is_native or not longest else min(sampling.max_tokens, longest)


def _write_system(said: SystemText) -> JsonObject:
    return with_cache({"type": "text", "text": said.text, **own_extras(said.extras)}, said.cache)


def _write_messages(request: IRRequest, ctx: ExchangeContext) -> list[JsonObject]:
    """Write the conversation. A turn of which nothing can be said leaves no gap in the order of roles."""
    family = own_family(ctx)
    messages: list[JsonObject] = []
    role = ""
    content: list[JsonValue] = []
    for message in request.messages:
        blocks = _blocks(message, family, ctx)
        if message is request.messages[-1] and message.role == "assistant":
            blocks = _without_trailing_space(blocks)
        if not blocks and message.role == "user":
            blocks = [{"type": "text", "text": UNREADABLE}]
        if blocks and message.role == role:
            content += blocks
        elif blocks:
            role, content = message.role, blocks
            written: JsonObject = {"role": role, "content": content}
            messages.append(written | own_extras(message.extras) if message.extras else written)
    if not messages:
        raise DialectError("messages: at least one message with content is required", "messages")
    return messages


def _blocks(message: Message, family: Family, ctx: ExchangeContext) -> list[JsonValue]:
    parts = message.parts
    if message.role == "assistant":
        parts = _spoken(parts, ctx)
    return [block for part in parts if (block := _write_part(part, family, ctx)) is not None]


def _spoken(parts: list[Part], ctx: ExchangeContext) -> list[Part]:
    """Return what an assistant may say, in the order in which it may."""
    kinds = set(map(type, parts))
    if Thinking in kinds and not isinstance(parts[0], Thinking):
        # A turn that was merged out of several may begin with words; the API wants thoughts before them.
        parts = sorted(parts, key=lambda part: not isinstance(part, Thinking))
    if Image in kinds and ctx.client_dialect != ID:
        ctx.note("an image that another model drew was dropped: the API takes the user's only")
        parts = [part for part in parts if not isinstance(part, Image)]
    return parts


def _write_part(part: Part, family: Family, ctx: ExchangeContext) -> JsonObject | None:
    match part:
        case Text():
            return write_text(part)
        case ToolCall():
            return write_call(part, part.id, part.name)
        case ToolResult():
            return write_result(part, ctx)
        case Thinking():
            return _write_thought(part, family, ctx)
        case Refusal():
            return {"type": "text", "text": part.text}
        case Image() | Document() | Audio() | Video():
            return write_media(part, ctx)
        case Opaque(dialect="claude"):
            return part.raw
    ctx.note(f"a part of type {part.kind} that only another dialect knows was dropped")
    return None


def _write_thought(part: Thinking, family: Family, ctx: ExchangeContext) -> JsonObject | None:
    """Write reasoning, if the model may see it again: see :func:`cliproxy.ir.signatures.replay`."""
    if part.redacted is not None:
        if replay(part.redacted, family) is Replay.KEEP:
            return {"type": "redacted_thinking", "data": part.redacted.value, **own_extras(part.extras)}
    elif part.signature is not None and replay(part.signature, family) is Replay.KEEP:
        block: JsonObject = {"type": "thinking", "thinking": part.text, "signature": part.signature.value}
        return {**block, **own_extras(part.extras)}
    elif part.text and replay(part.signature, family) is Replay.STRIP:
        return {"type": "thinking", "thinking": part.text}
    ctx.note("reasoning that the model would refuse was dropped")
    return None


def _without_trailing_space(blocks: list[JsonValue]) -> list[JsonValue]:
    """An answer begun for the model must not end in white space."""
    last = blocks[-1] if blocks else None
    if not isinstance(last, dict) or text(last, "type") != "text":
        return blocks
    said = text(last, "text").rstrip()
    return [*blocks[:-1], {**last, "text": said}] if said else blocks[:-1]


def _add_tools(body: JsonObject, request: IRRequest, ctx: ExchangeContext) -> None:
    tools = write_tools(request, ctx)
    if not tools:
        return
    body["tools"] = tools
    choice = write_tool_choice(request)
    if choice is not None:
        body["tool_choice"] = choice


def _add_sampling(body: JsonObject, sampling: Sampling, ctx: ExchangeContext) -> None:
    for member, value in (
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("top_k", sampling.top_k),
    ):
        if value is not None:
            body[member] = value
    stop = [sequence for sequence in sampling.stop if sequence.strip()]
    if stop:
        body["stop_sequences"] = [*stop]
    for name in ("seed", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"):
        if getattr(sampling, name) is not None:
            ctx.note(f"{name} was dropped")
    if (sampling.n or 1) > 1:
        ctx.note("n was dropped: there is one answer")


def _add_settings(body: JsonObject, request: IRRequest, ctx: ExchangeContext) -> None:
    output = {**child(body, "output_config")}
    reasoning = request.reasoning
    unread = child(body, "thinking")
    if reasoning is not None and asks_for_amount(reasoning):
        body["thinking"] = {**({} if is_off(reasoning) else unread), **write_thinking(reasoning)}
        effort = effort_of(reasoning)
        if effort is not None:
            output["effort"] = effort
    elif "type" not in unread:
        body.pop("thinking", None)
    if request.output is not None and request.output.kind == "json_schema":
        output["format"] = {"type": "json_schema", "schema": request.output.schema or {}}
    elif request.output is not None and request.output.kind == "json_object":
        ctx.note("the output format json_object was dropped: there is none without a schema")
    if output:
        body["output_config"] = output
    _add_meta(body, request.meta, ctx)


def _add_meta(body: JsonObject, meta: Meta, ctx: ExchangeContext) -> None:
    user = meta.user or meta.safety_identifier
    if user is not None and "metadata" not in body:
        body["metadata"] = {"user_id": user}
    if meta.service_tier == STANDARD and "service_tier" not in body:
        body["service_tier"] = "standard_only"
    is_lost = {
        "service_tier": meta.service_tier not in {None, "auto", STANDARD} and ctx.client_dialect != ID,
        "verbosity": meta.verbosity is not None,
        "an output other than text": bool(set(meta.modalities) - {"text"}),
        "image_config": meta.image is not None,
    }
    for name in (name for name, lost in is_lost.items() if lost):
        ctx.note(f"{name} was dropped")


def _has_thoughtless_tool_loop(messages: list[JsonObject]) -> bool:
    """Tell whether the model is to go on with calls it made without thinking, which excludes thinking now."""
    is_open = False
    for message in reversed(messages):
        role = text(message, "role")
        kinds = {text(block, "type") for block in items(message, "content") if isinstance(block, dict)}
        if role == "assistant":
            if not is_open or kinds & {"thinking", "redacted_thinking"}:
                return False
        elif "tool_result" in kinds:
            is_open = True
        elif role == "user":
            return is_open
    return is_open
