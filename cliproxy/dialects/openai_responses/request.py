"""Requests: the Responses body to the hub and back.

Contract: the OpenAI API reference, "Create a model response". The conversation is the work of the module
``items``, tools that of ``tools``; here are the settings. Members without a counterpart in the hub stay in
the extras of the request and are written back for targets of this wire.

The proxy keeps no conversations: ``previous_response_id``, ``conversation`` and item references mean
something to the upstream that stored them and to nobody else; so do a prompt template and a compacted
conversation. A request without them would not be the same: other targets refuse it by the member's name. Only
references to reasoning are left out, which is done to foreign reasoning everywhere.
"""

from collections.abc import Callable, Mapping
from typing import Final

from cliproxy.dialects.base import Kept, checked_integer, checked_number
from cliproxy.dialects.openai_responses.items import (
    INSTRUCTIONS,
    ITEM,
    JOINED,
    InputReader,
    InputWriter,
    message_item,
)
from cliproxy.dialects.openai_responses.names import (
    CLIENT_METADATA,
    DIALECT_ID,
    KEPT_STATE,
    NATIVE,
    as_extras,
    native_extras,
)
from cliproxy.dialects.openai_responses.tools import (
    decode_tool_choice,
    decode_tools,
    encode_tool_choice,
    encode_tools,
    without_duplicates,
)
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Essential,
    Family,
    IRRequest,
    Meta,
    OutputFormat,
    Reasoning,
    Sampling,
    SystemText,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, rest, strings, text

ENCRYPTED_REASONING: Final = "reasoning.encrypted_content"

_READ: Final = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("max_output_tokens", "temperature", "top_p", "metadata", "user", "service_tier", "prompt_cache_key"),
    *("safety_identifier", "stream", "type", "generate"),
)
"""Members the hub has a place for, and the wrapping of the websocket form. ``stop`` and ``stop_sequences``,
which are not the vendor's, are read and kept as well: some servers know them."""
_KEPT: Final[Mapping[str, tuple[str, str, str]]] = {
    "previous_response_id": ("an earlier answer", "Previous response", "previous_response_not_found"),
    "conversation": ("a stored conversation", "Conversation", "conversation_not_found"),
}
"""Member → what it stands for, what the vendor calls it, and the code of the error that it is not there."""
_SUMMARIES: Final = frozenset({"auto", "concise", "detailed"})
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_SAME_VENDOR: Final = NATIVE | {"openai"}
"""Clients whose metadata and user ids mean the same here."""
_DEFAULT_FORMAT_NAME: Final = "answer"
_SHORTEST_LIMIT: Final = 16
"""The vendor refuses a smaller limit of the answer. Clients of other dialects use a limit of 1 to find out
whether a model answers at all."""


# --- reading ----------------------------------------------------------------------------------------------


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request. Raises :class:`DialectError` for a body that cannot be understood."""
    model = text(body, "model")
    if not model:
        raise DialectError("`model` is missing", "model")
    tools = decode_tools(body.get("tools"), ctx)
    reader = InputReader(ctx)
    _read_instructions(body, reader)
    if body.get("input") is not None:
        reader.read(body["input"])
    elif not child(body, "prompt"):
        raise DialectError("`input` is missing", "input")
    if child(body, "prompt"):
        reader.essentials.append(Essential(DIALECT_ID, "a stored prompt template", "prompt"))
    checked_integer(body, "top_logprobs")  # other dialects cannot tell what it asks for
    for kept in named(body):
        reader.essentials.append(Essential(KEPT_STATE, _KEPT[kept.where][0], kept.where))
    if body.get("background"):
        ctx.note("background is for the upstream that keeps the answer")
    return IRRequest(
        model=model,
        messages=reader.messages,
        system=reader.system,
        tools=without_duplicates([*tools, *reader.tools]),
        tool_choice=decode_tool_choice(body.get("tool_choice"), ctx),
        parallel_tool_calls=flag(body, "parallel_tool_calls"),
        sampling=_sampling(body),
        output=_output_format(body),
        reasoning=_reasoning(body),
        meta=_meta(body),
        stream=bool(flag(body, "stream")),
        essentials=reader.essentials,
        extras=as_extras(_leftover(body)),
    )


def named(body: JsonObject) -> tuple[Kept, ...]:
    """Return what a request goes on from."""
    ids = {name: text(body, name) or text(child(body, name), "id") for name in _KEPT if body.get(name)}
    return tuple(
        Kept(id=kept_id, where=name, what=_KEPT[name][1], code=_KEPT[name][2])
        for name, kept_id in ids.items()
        if kept_id
    )


def keeps(body: JsonObject) -> bool:
    """Tell whether the vendor keeps the answer to a request: unless it is asked not to."""
    return body.get("store") is not False


def _read_instructions(body: JsonObject, reader: InputReader) -> None:
    instructions = body.get("instructions")
    if instructions is None:
        return
    if not isinstance(instructions, str):
        raise DialectError("`instructions` must be a text", "instructions")
    if instructions:
        reader.system.append(SystemText(instructions, extras=as_extras({INSTRUCTIONS: True})))


def _checked_object(body: JsonObject, key: str) -> JsonObject:
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise DialectError(f"`{key}` must be an object", key)
    return value or {}


def _sampling(body: JsonObject) -> Sampling:
    return Sampling(
        max_tokens=checked_integer(body, "max_output_tokens"),
        temperature=checked_number(body, "temperature"),
        top_p=checked_number(body, "top_p"),
        stop=strings(body, "stop_sequences") or strings(body, "stop"),
    )


def _output_format(body: JsonObject) -> OutputFormat | None:
    wanted = child(_checked_object(body, "text"), "format")
    kind = text(wanted, "type")
    match kind:
        case "":
            return None
        case "text" | "json_object":
            return OutputFormat(kind)
        case "json_schema":
            nested = child(wanted, "json_schema") or wanted
            schema = nested.get("schema")
            return OutputFormat(
                kind,
                text(nested, "name"),
                text(nested, "description"),
                schema if isinstance(schema, dict) else None,
                flag(nested, "strict"),
            )
        case _:
            raise DialectError(f"`text.format.type` has an unknown value: {kind}", "text.format.type")


def _reasoning(body: JsonObject) -> Reasoning | None:
    wish = _checked_object(body, "reasoning")
    effort = wish.get("effort")
    if effort is not None and not isinstance(effort, str):
        raise DialectError("`reasoning.effort` must be a text", "reasoning.effort")
    key = next((key for key in ("summary", "generate_summary") if key in wish), "")
    summary = text(wish, key) if text(wish, key) in _SUMMARIES else None
    if not effort and not key:
        return None
    return Reasoning(level=effort or None, visible=summary is not None if key else None, summary=summary)


def _meta(body: JsonObject) -> Meta:
    return Meta(
        user=text(body, "user") or None,
        metadata=_checked_object(body, "metadata") or None,
        service_tier=text(body, "service_tier") or None,
        prompt_cache_key=text(body, "prompt_cache_key") or None,
        verbosity=text(child(body, "text"), "verbosity") or None,
        safety_identifier=text(body, "safety_identifier") or None,
    )


def _leftover(body: JsonObject) -> JsonObject:
    leftover = rest(body, *_READ)
    for key, known in (("reasoning", _REASONING_READ), ("text", _TEXT_READ)):
        inner = rest(child(body, key), *known)
        if inner:
            leftover[key] = inner
    return leftover


_REASONING_READ: Final = ("effort", "summary", "generate_summary")
_TEXT_READ: Final = ("format", "verbosity")


# --- writing ----------------------------------------------------------------------------------------------


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request for an upstream of the public API."""
    body = encode_body(request, ctx)
    body.pop(CLIENT_METADATA, None)
    return body


def encode_body(
    request: IRRequest, ctx: ExchangeContext, *, as_developer_messages: bool = False
) -> JsonObject:
    """Write a request; optionally with other dialects' system text as messages rather than instructions."""
    extras = native_extras(request.extras)
    body: JsonObject = {
        "model": request.model,
        **_conversation(request, ctx, as_developer_messages=as_developer_messages),
    }
    tools = encode_tools(request, ctx)
    if tools:
        body["tools"] = tools
        body.update(_given({"tool_choice": encode_tool_choice(request)}))
        body.update(_given({"parallel_tool_calls": request.parallel_tool_calls}))
    reasoning = {**child(extras, "reasoning"), **encode_reasoning(request.reasoning)}
    if reasoning:
        body["reasoning"] = reasoning
    wording = {**child(extras, "text"), **_text_settings(request)}
    if wording:
        body["text"] = wording
    body.update(_settings(request, ctx))
    body.update(rest(extras, "reasoning", "text"))
    if request.stream:
        body["stream"] = True
    return body


def _conversation(request: IRRequest, ctx: ExchangeContext, *, as_developer_messages: bool) -> JsonObject:
    plain = [text for text in request.system if _is_plain(text)]
    moved: list[SystemText] = []
    if as_developer_messages:
        moved = [text for text in plain if not native_extras(text.extras).get(INSTRUCTIONS)]
        plain = [text for text in plain if native_extras(text.extras).get(INSTRUCTIONS)]
    members: JsonObject = {"instructions": "\n\n".join(text.text for text in plain)} if plain else {}
    # A chat client's system messages stay separate messages; the parts of one text stay one.
    groups = [[text] for text in moved] if ctx.client_dialect == "openai" else [moved]
    heads = [_system_message("developer", group, {}) for group in groups if group]
    members["input"] = [*heads, *_system_items(request), *InputWriter(ctx).write(request)]
    return members


def _is_plain(system: SystemText) -> bool:
    marks = native_extras(system.extras)
    return ITEM not in marks and JOINED not in marks


def _system_items(request: IRRequest) -> list[JsonValue]:
    """Write the system texts that were messages of this wire as such again."""
    groups: list[list[SystemText]] = []
    for system in request.system:
        if ITEM in native_extras(system.extras) or (JOINED in native_extras(system.extras) and not groups):
            groups.append([system])
        elif JOINED in native_extras(system.extras):
            groups[-1].append(system)
    return [
        _system_message(group[0].kind, group, child(native_extras(group[0].extras), ITEM)) for group in groups
    ]


def _system_message(role: str, texts: list[SystemText], extras: JsonObject) -> JsonObject:
    content: list[JsonValue] = [{"type": "input_text", "text": system.text} for system in texts]
    return message_item(role, content, extras)


def encode_reasoning(wish: Reasoning | None) -> JsonObject:
    """Write what a wish says, as members of ``reasoning``."""
    if wish is None:
        return {}
    summary = wish.summary or "auto" if wish.visible else None
    return _given({"effort": wish.level, "summary": summary})


def _text_settings(request: IRRequest) -> JsonObject:
    settings = _given({"verbosity": request.meta.verbosity})
    wanted = request.output
    if wanted is None:
        return settings
    written: JsonObject = {"type": wanted.kind}
    if wanted.kind == "json_schema":
        written["name"] = wanted.name or _DEFAULT_FORMAT_NAME
        written["schema"] = wanted.schema or {}
        written.update(_given({"strict": wanted.strict, "description": wanted.description or None}))
    return {"format": written, **settings}


def _settings(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    sampling, meta = request.sampling, request.meta
    settings: dict[str, JsonValue] = {
        "max_output_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "prompt_cache_key": meta.prompt_cache_key,
        "service_tier": meta.service_tier,
    }
    told: JsonObject = {
        "user": meta.user,
        "safety_identifier": meta.safety_identifier,
        "metadata": meta.metadata,
    }
    if ctx.client_dialect in NATIVE:
        return _given(settings | told)
    if sampling.max_tokens is not None:
        settings["max_output_tokens"] = max(sampling.max_tokens, _SHORTEST_LIMIT)
    if meta.service_tier not in _TIERS:
        settings["service_tier"] = None
    if ctx.client_dialect in _SAME_VENDOR:
        settings |= told
    elif ctx.upstream_family is Family.GPT:
        # The client carries the whole conversation, reasoning included: nothing needs to be stored upstream.
        settings |= {"store": False, "include": [ENCRYPTED_REASONING]}
    for name, value in _UNSUPPORTED.items():
        if value(request):
            ctx.note(f"{name} has no counterpart in the Responses API")
    return _given(settings)


_UNSUPPORTED: Final[Mapping[str, Callable[[IRRequest], object]]] = {
    "stop": lambda request: request.sampling.stop,
    "top_k": lambda request: request.sampling.top_k is not None,
    "seed": lambda request: request.sampling.seed is not None,
    "n": lambda request: (request.sampling.n or 1) > 1,
    "presence_penalty": lambda request: request.sampling.presence_penalty is not None,
    "frequency_penalty": lambda request: request.sampling.frequency_penalty is not None,
    "logprobs": lambda request: request.sampling.logprobs or request.sampling.top_logprobs is not None,
}


def _given(members: Mapping[str, JsonValue]) -> JsonObject:
    return {key: value for key, value in members.items() if value is not None}
