"""``generationConfig``: sampling, reasoning, the form of the answer.

Members without a counterpart elsewhere (``speechConfig``, ``mediaResolution``, …) stay in the request's
extras under ``generationConfig``, so that they reach an upstream of the same dialect.
"""

from collections.abc import Mapping
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import checked_integer, checked_number
from cliproxy.dialects.gemini.parts import CLIENTS, DIALECT_ID
from cliproxy.dialects.gemini.spelling import camel, snake
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, OutputFormat, Reasoning, Sampling
from cliproxy.ir.schema import from_openapi
from cliproxy.wire.jsontext import Changes, JsonObject, JsonValue, child, flag, integer, strings, text

CONFIG: Final = "generationConfig"
JSON_MIME: Final = "application/json"

_WHOLE: Final[Mapping[str, str]] = {
    "maxOutputTokens": "max_tokens",
    "topK": "top_k",
    "candidateCount": "n",
    "seed": "seed",
}
_PROBABILITIES: Final[Mapping[str, str]] = {"responseLogprobs": "logprobs", "logprobs": "top_logprobs"}
"""Asked for by the dialect's own clients only: others are not told, and many models refuse."""
_REAL: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "topP": "top_p",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_IMAGE: Final[Mapping[str, str]] = {"aspectRatio": "aspect_ratio", "imageSize": "image_size"}
_MODELLED: Final = frozenset(
    {
        *_WHOLE,
        *_REAL,
        *_PROBABILITIES,
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "imageConfig",
        "thinkingConfig",
    }
)
_SHOWN: Final = frozenset({"text", "image"})
"""Kinds of output that other dialects have a place for."""
_UNSPECIFIED: Final = "thinking_level_unspecified"
_OFF: Final = "none"
_AUTO: Final = "auto"
DYNAMIC: Final = -1


@define
class Settings:
    """What a ``generationConfig`` says."""

    sampling: Sampling
    reasoning: Reasoning | None = None
    output: OutputFormat | None = None
    modalities: list[str] = field(factory=list)
    image: JsonObject | None = None
    rest: JsonObject = field(factory=dict)


# --- reading ---


def decode_settings(raw: JsonObject) -> Settings:
    """Read a configuration. Raises :class:`~cliproxy.errors.DialectError` for a number that is none."""
    config = camel(raw)
    sampling = Sampling(stop=strings(config, "stopSequences"), logprobs=flag(config, "responseLogprobs"))
    for name, slot in _REAL.items():
        setattr(sampling, slot, checked_number(config, name, CONFIG))
    for name, slot in _WHOLE.items():
        setattr(sampling, slot, checked_integer(config, name, CONFIG))
    sampling.top_logprobs = checked_integer(config, "logprobs", CONFIG)
    image = camel(child(config, "imageConfig"))
    rest = {name: value for name, value in config.items() if name not in _MODELLED}
    output = _decode_output(config, rest)
    if more := {name: value for name, value in image.items() if name not in _IMAGE}:
        rest["imageConfig"] = more
    return Settings(
        sampling,
        _decode_reasoning(camel(child(config, "thinkingConfig"))),
        output,
        [modality.lower() for modality in strings(config, "responseModalities")],
        {slot: image[name] for name, slot in _IMAGE.items() if name in image} or None,
        rest,
    )


def read_reasoning(body: JsonObject) -> Reasoning | None:
    """Read what a raw body says about thinking."""
    config = camel(child(camel(body), CONFIG))
    return _decode_reasoning(camel(child(config, "thinkingConfig")))


def _decode_reasoning(config: JsonObject) -> Reasoning | None:
    level = text(config, "thinkingLevel").lower()
    budget = integer(config, "thinkingBudget")
    visible = flag(config, "includeThoughts")
    if level and level != _UNSPECIFIED:
        return Reasoning(level=level, visible=visible)
    if budget is None and visible is None:
        return None
    return Reasoning(budget=budget, visible=visible)


def _decode_output(config: JsonObject, rest: JsonObject) -> OutputFormat | None:
    mime = text(config, "responseMimeType")
    schema = config.get("responseJsonSchema")
    if not isinstance(schema, dict):
        openapi = config.get("responseSchema")
        schema = from_openapi(openapi) if isinstance(openapi, dict) else None
    if mime in {"", JSON_MIME}:
        if schema is not None:
            return OutputFormat("json_schema", schema=schema)
        return OutputFormat("json_object") if mime else None
    if mime == "text/plain":
        return OutputFormat("text")
    # Such as text/x.enum, which nobody else has.
    rest["responseMimeType"] = mime
    if schema is not None:
        rest["responseJsonSchema"] = schema
    return None


# --- writing ---


def encode_settings(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write the configuration of a request; empty when it says nothing."""
    sampling = request.sampling
    config: JsonObject = {}
    for name, slot in (*_REAL.items(), *_WHOLE.items()):
        value = getattr(sampling, slot)
        if value is not None:
            config[name] = value
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if sampling.max_tokens is not None and ctx.upstream_output is not None:
        config["maxOutputTokens"] = min(sampling.max_tokens, ctx.upstream_output)
    if sampling.stop:
        config["stopSequences"] = list[JsonValue](sampling.stop)
    config |= _probabilities(sampling, ctx)
    if modalities := _modalities(request.meta.modalities, ctx):
        config["responseModalities"] = [modality.upper() for modality in modalities]
    image = request.meta.image or {}
    if wanted := {name: image[slot] for name, slot in _IMAGE.items() if slot in image}:
        config["imageConfig"] = wanted
    config |= _encode_output(request.output)
    if request.reasoning is not None and (thinking := encode_reasoning(request.reasoning, ctx)):
        config["thinkingConfig"] = thinking
    return _with_rest(config, child(request.extras.get(DIALECT_ID, {}), CONFIG))


def _probabilities(sampling: Sampling, ctx: ExchangeContext) -> JsonObject:
    wanted: JsonObject = {name: getattr(sampling, slot) for name, slot in _PROBABILITIES.items()}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if ctx.client_dialect in CLIENTS:
        return wanted
    if wanted.get("responseLogprobs"):
        ctx.note("logprobs is not carried")
    return {}


def _modalities(wanted: list[str], ctx: ExchangeContext) -> list[str]:
    """Return the kinds of output to ask for; sound comes in a form that foreign clients cannot read."""
    if ctx.client_dialect in CLIENTS:
        return wanted
    kept = [modality for modality in wanted if modality in _SHOWN]
    if len(kept) < len(wanted):
        ctx.note("a kind of output other than text and images is not carried")
    return kept


def _with_rest(config: JsonObject, rest: JsonObject) -> JsonObject:
    merged: JsonObject = {**rest, **config}
    if "imageConfig" in rest:
        merged["imageConfig"] = {**child(rest, "imageConfig"), **child(config, "imageConfig")}
    return merged


def _encode_output(output: OutputFormat | None) -> JsonObject:
    match output:
        case OutputFormat(kind="json_object"):
            return {"responseMimeType": JSON_MIME}
        case OutputFormat(kind="json_schema", schema=schema):
            return {"responseMimeType": JSON_MIME, **({"responseJsonSchema": schema} if schema else {})}
        case _:
            return {}


def encode_reasoning(wish: Reasoning, ctx: ExchangeContext) -> JsonObject:
    """Write a wish that has been fitted to the model."""
    thinking = _amount(wish)
    if thinking.get("thinkingBudget") == 0:
        thinking["includeThoughts"] = False
    elif wish.visible is not None:
        thinking["includeThoughts"] = wish.visible and ctx.want_thoughts
    return thinking


def _amount(wish: Reasoning) -> JsonObject:
    if wish.budget is not None:
        return {"thinkingBudget": wish.budget}
    if wish.level == _OFF:
        return {"thinkingBudget": 0}
    if wish.level == _AUTO or (wish.adaptive and not wish.level):
        return {"thinkingBudget": DYNAMIC}
    return {"thinkingLevel": wish.level} if wish.level else {}


def patch_reasoning(wish: Reasoning, body: JsonObject) -> Changes:
    """Put a wish into a raw body, in place of whatever the body says about the amount."""
    spelled = snake(CONFIG) if snake(CONFIG) in body and CONFIG not in body else CONFIG
    config = dict(child(body, spelled))
    old: JsonObject = {}
    for name in ("thinkingConfig", snake("thinkingConfig")):
        old |= camel(child(config, name))
        config.pop(name, None)
    thinking = _amount(wish)
    visible = wish.visible if wish.visible is not None else old.get("includeThoughts")
    if thinking.get("thinkingBudget") == 0:
        visible = False
    if visible is not None:
        thinking["includeThoughts"] = visible
    config["thinkingConfig"] = thinking
    return {spelled: config}
