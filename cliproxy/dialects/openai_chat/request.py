"""Requests: the body of ``POST /v1/chat/completions`` ⇄ the hub.

Contract: OpenAI API reference, "Create chat completion". Numbers and the list of messages are checked, since
a wrong one cannot be carried; everything else is read as far as it makes sense. What is not modelled here
stays in the extras and is written again for an upstream of this dialect, if the client spoke it too.

The vendor's own models refuse some of what compatible servers understand (``top_k``), and the newer ones
``max_tokens``: for them, as the context says, the vendor's spelling is written.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.dialects.base import checked_integer, checked_number
from cliproxy.dialects.openai_chat.messages import MessageReader, encode_messages
from cliproxy.dialects.openai_chat.names import (
    CHAT_CLIENTS,
    DIALECT_ID,
    FUNCTIONS,
    OLDER_CALL,
    VENDOR_CLIENTS,
    as_extras,
    is_from_chat,
    is_vendors_own,
    own,
)
from cliproxy.dialects.openai_chat.reasoning import FIELDS, decode_reasoning, encode_reasoning, leftovers
from cliproxy.dialects.openai_chat.tools import SEARCH_OPTIONS, decode_choice, decode_tools, encode_tools
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import Essential, Extras, IRRequest, Meta, OutputFormat, Sampling
from cliproxy.wire.jsontext import (
    DELETE,
    Changes,
    JsonObject,
    JsonValue,
    child,
    flag,
    rest,
    strings,
    text,
)

STREAM_OPTIONS: Final = "stream_options"
FORMAT: Final = "response_format"
LIMIT: Final = "max_tokens"
VENDOR_LIMIT: Final = "max_completion_tokens"

_WHOLE: Final = ("top_k", "n", "seed", "top_logprobs")
_REAL: Final = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_META: Final = ("user", "safety_identifier", "service_tier", "prompt_cache_key", "verbosity")
_WORDING: Final = "text"
"""Where the vendor's other dialect says the verbosity, which some clients write here."""
_MODELLED: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        STREAM_OPTIONS,
        LIMIT,
        VENDOR_LIMIT,
        *_WHOLE,
        *_REAL,
        "stop",
        "logprobs",
        FORMAT,
        "tools",
        "tool_choice",
        FUNCTIONS,
        OLDER_CALL,
        SEARCH_OPTIONS,
        "parallel_tool_calls",
        *_META,
        "metadata",
        "modalities",
        "image_config",
        "generationConfig",
        _WORDING,
        *FIELDS,
    }
)
_TOLD_MODALITIES: Final = frozenset({"text", "image"})
_VENDOR_MODALITIES: Final = frozenset({"text"})
_VENDOR_STOPS: Final = 4
"""How many stop sequences the vendor takes."""


# --- reading ---


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request. Raises :class:`DialectError`."""
    reader = MessageReader(ctx)
    reader.read(body.get("messages"))
    if not reader.messages and not reader.system:
        raise DialectError("`messages` must not be empty", "messages")
    reasoning = decode_reasoning(body)
    output = _decode_output(body)
    ctx.include_usage = flag(child(body, STREAM_OPTIONS), "include_usage") is True
    if reasoning is not None and reasoning.visible is False:
        ctx.want_thoughts = False
    return IRRequest(
        model=text(body, "model"),
        messages=reader.messages,
        system=reader.system,
        tools=decode_tools(body, ctx),
        tool_choice=decode_choice(body),
        parallel_tool_calls=_parallel(body),
        sampling=_decode_sampling(body),
        output=output,
        reasoning=reasoning,
        meta=_decode_meta(body),
        stream=body.get("stream") is True,
        essentials=[] if output is not None else _essentials(body),
        extras=_extras(body),
    )


def _parallel(body: JsonObject) -> bool | None:
    """Read whether several calls at once are welcome; the older form of tools has no place for them."""
    is_older = FUNCTIONS in body and "tools" not in body
    return False if is_older else flag(body, "parallel_tool_calls")


def _decode_sampling(body: JsonObject) -> Sampling:
    limit = checked_integer(body, VENDOR_LIMIT)
    older = checked_integer(body, LIMIT)
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str | list):
        raise DialectError("`stop` must be a string or a list of strings", "stop")
    sampling = Sampling(
        max_tokens=older if limit is None else limit,
        stop=strings(body, "stop"),
        logprobs=flag(body, "logprobs"),
    )
    for key in _WHOLE:
        setattr(sampling, key, checked_integer(body, key))
    for key in _REAL:
        setattr(sampling, key, checked_number(body, key))
    return sampling


def _decode_output(body: JsonObject) -> OutputFormat | None:
    wanted = body.get(FORMAT)
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise DialectError(f"`{FORMAT}` must be an object", FORMAT)
    match text(wanted, "type"):
        case "text":
            return OutputFormat("text")
        case "json_object":
            return OutputFormat("json_object")
        case "json_schema":
            # Some clients write the members of the inner object beside the type.
            described = child(wanted, "json_schema") or wanted
            schema = described.get("schema")
            return OutputFormat(
                "json_schema",
                text(described, "name"),
                text(described, "description"),
                schema if isinstance(schema, dict) else None,
                flag(described, "strict"),
            )
        case _:
            return None  # kept in the extras


def _essentials(body: JsonObject) -> list[Essential]:
    """Return the form of answer that only servers of this dialect know, such as a grammar of their own."""
    kind = text(child(body, FORMAT), "type")
    return [Essential(DIALECT_ID, f"an answer of type {kind[:40]}", FORMAT)] if kind else []


def _decode_meta(body: JsonObject) -> Meta:
    metadata = body.get("metadata")
    image = body.get("image_config")
    return Meta(
        user=text(body, "user") or None,
        metadata=metadata if isinstance(metadata, dict) else None,
        service_tier=text(body, "service_tier") or None,
        prompt_cache_key=text(body, "prompt_cache_key") or None,
        verbosity=text(body, "verbosity") or text(child(body, _WORDING), "verbosity") or None,
        modalities=[modality.lower() for modality in strings(body, "modalities")],
        image=image if isinstance(image, dict) else None,
        safety_identifier=text(body, "safety_identifier") or None,
    )


def _extras(body: JsonObject) -> Extras:
    more = {**rest(body, *_MODELLED), **leftovers(body)}
    if wording := rest(child(body, _WORDING), "verbosity"):
        more[_WORDING] = wording
    if VENDOR_LIMIT in body:
        more[VENDOR_LIMIT] = None  # says which of two names the client used
    if options := rest(child(body, STREAM_OPTIONS), "include_usage"):
        more[STREAM_OPTIONS] = options
    if isinstance(body.get(FORMAT), dict) and _decode_output(body) is None:
        more[FORMAT] = body[FORMAT]
    extras = as_extras(more)
    if config := child(body, "generationConfig"):
        extras["gemini"] = {"generationConfig": config}
    return extras


# --- writing ---


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request."""
    more = dict(own(request.extras))
    options = {**child(more, STREAM_OPTIONS), "include_usage": True}
    body: JsonObject = {"model": request.model, "messages": encode_messages(request, ctx)}
    body |= encode_tools(request, ctx)
    body |= _encode_sampling(request, ctx)
    if request.output is not None:
        body[FORMAT] = _encode_output(request.output)
    body |= encode_reasoning(request)
    body |= _encode_meta(request.meta, ctx)
    kept = {FORMAT, _WORDING}
    body |= {key: value for key, value in more.items() if key not in _MODELLED or key in kept}
    if request.stream:
        body |= {"stream": True, STREAM_OPTIONS: options}
    return body


def _encode_sampling(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    sampling = request.sampling
    body: JsonObject = {}
    if sampling.max_tokens is not None:
        is_new = VENDOR_LIMIT in own(request.extras) or LIMIT in ctx.upstream_refuses
        body[VENDOR_LIMIT if is_new else LIMIT] = sampling.max_tokens
    keys = [*_REAL, "seed"]
    if not is_vendors_own(ctx):
        keys.append("top_k")
    elif sampling.top_k is not None:
        ctx.note("top_k was dropped")
    if is_from_chat(ctx):
        keys += ["logprobs", "top_logprobs"]
    body |= {key: value for key in keys if (value := getattr(sampling, key)) is not None}
    if sampling.stop:
        body["stop"] = [*sampling.stop[: _VENDOR_STOPS if is_vendors_own(ctx) else None]]
    if sampling.n is not None and sampling.n > 1:
        body["n"] = sampling.n
    return body


def _encode_output(output: OutputFormat) -> JsonObject:
    if output.kind != "json_schema":
        return {"type": output.kind}
    described: JsonObject = {"name": output.name or "answer"}
    if output.description:
        described["description"] = output.description
    if output.strict is not None:
        described["strict"] = output.strict
    described["schema"] = output.schema if output.schema is not None else {"type": "object"}
    return {"type": "json_schema", "json_schema": described}


_SHARED: Final[Mapping[str, frozenset[str]]] = {
    "user": VENDOR_CLIENTS,
    "safety_identifier": VENDOR_CLIENTS,
    "service_tier": VENDOR_CLIENTS,
    "prompt_cache_key": VENDOR_CLIENTS,
    "verbosity": VENDOR_CLIENTS,
    "metadata": CHAT_CLIENTS,
}
"""Member → the clients in whose requests it means the same as here."""


def _encode_meta(meta: Meta, ctx: ExchangeContext) -> JsonObject:
    body: JsonObject = {}
    for key, clients in _SHARED.items():
        value: JsonValue = getattr(meta, key)
        if value is not None and ctx.client_dialect in clients:
            body[key] = value
    told = meta.modalities
    if ctx.client_dialect != DIALECT_ID:
        known = _VENDOR_MODALITIES if is_vendors_own(ctx) else _TOLD_MODALITIES
        told = [modality for modality in told if modality in known]
    if told and told != ["text"]:
        body["modalities"] = [*told]
    if meta.image and not is_vendors_own(ctx):
        body["image_config"] = meta.image
    return body


def patch_model(model: str) -> Changes:
    """Return the member that names the model."""
    return {"model": model}


def patch_stream(body: JsonObject) -> Changes:
    """Return what makes a raw streaming request ask for usage; nothing if it does already."""
    options = child(body, STREAM_OPTIONS)
    if flag(options, "include_usage") is True:
        return {}
    return {STREAM_OPTIONS: {**options, "include_usage": True}}


def patch_refused(body: JsonObject, refused: frozenset[str]) -> Changes:
    """Return what gives the limit of a raw body the name that newer models of the vendor want."""
    if LIMIT not in refused or LIMIT not in body:
        return {}
    limit = body[LIMIT] if body.get(VENDOR_LIMIT) is None else body[VENDOR_LIMIT]
    return {LIMIT: DELETE, VENDOR_LIMIT: limit}
