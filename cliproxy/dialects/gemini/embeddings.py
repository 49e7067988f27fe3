"""Embeddings: ``embedContent`` for one content, ``batchEmbedContents`` for up to a hundred.

Contract: Gemini API reference, "Embeddings". A batch is a list of single requests, each of which names the
model again; the API refuses one that names another. The settings stand beside the content or, in younger
clients, in an ``embedContentConfig``. Upstreams are asked in batches and with the settings beside the
content, which every generation of the service understands.

Vectors are lists of numbers. A text cannot be given as token numbers here, and media in a content are for
models of this dialect alone.
"""

from collections.abc import Sequence
from typing import Final

from cliproxy.dialects.base import EmbeddingForm, Glimpse, Portions
from cliproxy.dialects.gemini.errors import decode_error
from cliproxy.dialects.gemini.outcome import decode_usage
from cliproxy.dialects.gemini.spelling import camel
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.embeddings import EmbeddingRequest, Embeddings, Tokens, Vector
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import Changes, JsonObject, JsonValue, child, integer, items, objects, text

REQUESTS: Final = "requests"
MOST_AT_A_TIME: Final = 100
"""Requests in one batch; the API refuses more."""
_CONFIG: Final = "embedContentConfig"
_MODELS: Final = "models/"
_KNOWN: Final = frozenset({"model", "content", "taskType", "title", "outputDimensionality", _CONFIG})


# --- requests ---


def is_batch(body: JsonObject) -> bool:
    """Tell a batch from a single request."""
    return REQUESTS in body


def decode_request(body: JsonObject, ctx: ExchangeContext) -> EmbeddingRequest:
    """Read a single request or a batch. Raises :class:`~cliproxy.errors.DialectError`."""
    wishes = [_settled(request) for request in _requests(body)]
    for wish in wishes:
        for name in wish.keys() - _KNOWN:
            ctx.note(f"{name} is not carried")
    return EmbeddingRequest(
        model=ctx.requested_model,
        inputs=[_text(wish, position) for position, wish in enumerate(wishes)],
        dimensions=_dimensions(wishes),
        task=_common(wishes, "taskType", ctx),
        title=_common(wishes, "title", ctx),
    )


def _requests(body: JsonObject) -> list[JsonObject]:
    if not is_batch(body):
        return [body]
    requests = list(objects(body, REQUESTS))
    if not requests or len(requests) != len(items(body, REQUESTS)):
        raise DialectError(f"`{REQUESTS}` must be a list of requests, and not empty", REQUESTS)
    return requests


def _settled(request: JsonObject) -> JsonObject:
    """Return a single request with its settings beside the content."""
    wish = camel(request)
    config = camel(child(wish, _CONFIG))
    return {**{name: value for name, value in wish.items() if name != _CONFIG}, **config}


def _text(wish: JsonObject, position: int) -> str:
    content = wish.get("content")
    if isinstance(content, str):
        return content
    parts = list(objects(content, "parts")) if isinstance(content, dict) else []
    said = [value for part in parts if isinstance(value := part.get("text"), str)]
    if not said or len(said) != len(parts):
        message = "`content` must be text: the model is another vendor's, which embeds nothing else"
        raise DialectError(message, f"{REQUESTS}[{position}].content")
    return "\n".join(said)


def _dimensions(wishes: Sequence[JsonObject]) -> int | None:
    """Return the length that all requests want. A list of vectors of several lengths is nothing that another
    dialect could ask for."""
    wanted = {integer(wish, "outputDimensionality") for wish in wishes}
    if len(wanted) > 1:
        raise DialectError("all requests must want the same `outputDimensionality`", "outputDimensionality")
    return next(iter(wanted), None)


def _common(wishes: Sequence[JsonObject], name: str, ctx: ExchangeContext) -> str:
    """Return a setting if all requests have the same."""
    given = {text(wish, name) for wish in wishes}
    if len(given) > 1:
        ctx.note(f"{name} differs between the requests and is not carried")
        return ""
    return next(iter(given), "")


def encode_request(request: EmbeddingRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a batch. Raises :class:`~cliproxy.errors.DialectError` for token numbers."""
    settings: JsonObject = {}
    if request.task:
        settings["taskType"] = request.task
    if request.title:
        settings["title"] = request.title
    if request.dimensions is not None:
        settings["outputDimensionality"] = request.dimensions
    if request.user:
        ctx.note("user is not carried")
    model = resource_of(request.model)
    requests: list[JsonValue] = [
        {"model": model, "content": {"parts": [{"text": _as_text(entry)}]}, **settings}
        for entry in request.inputs[:MOST_AT_A_TIME]
    ]
    return {REQUESTS: requests}


def _as_text(entry: str | Tokens) -> str:
    if isinstance(entry, str):
        return entry
    message = "`input` is token numbers, which are those of another vendor's models; send the text itself"
    raise DialectError(message, "input")


def resource_of(model: str) -> str:
    """Return the name by which a body speaks of a model."""
    return model if model.startswith((_MODELS, "tunedModels/")) else _MODELS + model


def patch_model(model: str, body: JsonObject) -> Changes:
    """Name the model wherever a raw body names one; what it does not say it need not."""
    name = resource_of(model)
    if not is_batch(body):
        return {"model": name} if "model" in body else {}
    requests = items(body, REQUESTS)
    if all(not isinstance(one, dict) or one.get("model", name) == name for one in requests):
        return {}
    return {REQUESTS: [_named(one, name) for one in requests]}


def _named(request: JsonValue, name: str) -> JsonValue:
    return {**request, "model": name} if isinstance(request, dict) and "model" in request else request


# --- answers ---


def decode_response(body: JsonObject) -> Embeddings:
    """Read an answer. Raises :class:`~cliproxy.errors.DialectError`."""
    found = [_values(entry, position) for position, entry in enumerate(_vectors(body))]
    return Embeddings(vectors=found, usage=_usage(body) or Usage())


def _vectors(body: JsonObject) -> list[JsonValue]:
    return [body["embedding"]] if "embedding" in body else items(body, "embeddings")


def _values(entry: JsonValue, position: int) -> Vector:
    values = items(entry, "values") if isinstance(entry, dict) else []
    numbers = [number for number in values if isinstance(number, int | float)]
    if not numbers or len(numbers) != len(values):
        raise DialectError(f"`embeddings[{position}]` is no vector", "embeddings")
    return numbers


def _usage(body: JsonObject) -> Usage | None:
    counts = child(camel(body), "usageMetadata")
    return decode_usage(counts) if counts else None


def encode_response(answer: Embeddings, ctx: ExchangeContext) -> JsonObject:
    """Write an answer, alone or as a list, as it was asked for."""
    vectors: list[JsonValue] = [{"values": list[JsonValue](vector)} for vector in answer.vectors]
    written: JsonObject = {"embeddings": vectors}
    if not is_batch(ctx.original_body):
        written = {"embedding": vectors[0]}
    if answer.usage != Usage():
        tokens = answer.usage.input_total
        written["usageMetadata"] = {"promptTokenCount": tokens, "totalTokenCount": tokens}
    return written


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at an answer."""
    if isinstance(body.get("error"), dict):
        return Glimpse(has_content=False, error=decode_error(0, body))
    return Glimpse(usage=_usage(body), has_content=bool(_vectors(body)), is_terminal=True, is_finished=True)


# --- portions ---


def _wanted(body: JsonObject) -> int:
    return len(items(body, REQUESTS)) if is_batch(body) else 1


def _only(body: JsonObject, start: int, size: int) -> Changes:
    return {REQUESTS: items(body, REQUESTS)[start : start + size]}


def _joined(answers: Sequence[JsonObject]) -> JsonObject:
    joined: JsonObject = {**answers[0], "embeddings": [one for answer in answers for one in _vectors(answer)]}
    counts = [child(answer, "usageMetadata") for answer in answers]
    if any(counts):
        joined["usageMetadata"] = {
            name: sum(integer(count, name) or 0 for count in counts)
            for name in ("promptTokenCount", "totalTokenCount")
        }
    return joined


EMBEDDINGS: Final = EmbeddingForm(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    inspect_response=inspect_response,
    patch_model=patch_model,
    portions=Portions(wanted=_wanted, given=lambda body: len(_vectors(body)), only=_only, joined=_joined),
)
