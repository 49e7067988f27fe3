"""Embeddings: ``POST /v1/embeddings``.

Contract: OpenAI API reference, "Embeddings". ``input`` is one text, a list of texts, a list of token numbers
or a list of such lists. Vectors come as lists of numbers or, with ``encoding_format: base64``, as
little-endian 32-bit floats; the vendor's own packages ask for the latter unless told otherwise, and read
both. Compatible servers may not know the setting, so it is not sent unless the client did.
"""

from collections.abc import Sequence
from typing import Final

from cliproxy.dialects.base import (
    Action,
    ClientRequest,
    EmbeddingForm,
    Endpoint,
    Glimpse,
    PathFacts,
    Portions,
    checked_integer,
)
from cliproxy.dialects.openai_chat.endpoints import model_of
from cliproxy.dialects.openai_chat.errors import decode_error
from cliproxy.dialects.openai_chat.names import DIALECT_ID
from cliproxy.dialects.openai_chat.outcome import decode_usage
from cliproxy.errors import BadRequest, DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.embeddings import EmbeddingRequest, Embeddings, Tokens, Vector, read_base64, write_base64
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import Changes, Document, JsonObject, JsonValue, child, integer, items, text

PATH: Final = "/v1/embeddings"
BASE64: Final = "base64"
_FORMATS: Final = ("float", BASE64)
_KNOWN: Final = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


# --- requests ---


def read(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request just far enough to route it."""
    body = document.value
    model = model_of(body)
    if not body.get("input"):
        raise BadRequest("`input` must be a text or a list of texts, and not empty", param="input")
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.EMBED,
        model=model,
        stream=False,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


ENDPOINT: Final = Endpoint(path=PATH, read=read)


def decode_request(body: JsonObject, ctx: ExchangeContext) -> EmbeddingRequest:
    """Read a request. Raises :class:`~cliproxy.errors.DialectError`."""
    dimensions = checked_integer(body, "dimensions")
    if dimensions is not None and dimensions < 1:
        raise DialectError("`dimensions` must be at least 1", "dimensions")
    if body.get("encoding_format") not in {None, *_FORMATS}:
        raise DialectError(f"`encoding_format` must be one of {', '.join(_FORMATS)}", "encoding_format")
    for name in body:
        if name not in _KNOWN:
            ctx.note(f"{name} is not carried")
    return EmbeddingRequest(
        model=text(body, "model"),
        inputs=[_input(entry) for entry in _entries(body)],
        dimensions=dimensions,
        user=text(body, "user"),
    )


def _entries(body: JsonObject) -> list[JsonValue]:
    """Return what is to be embedded, one entry for each vector."""
    given = body.get("input")
    if not isinstance(given, list):
        return [given]
    return [list[JsonValue](given)] if given and all(_is_token(entry) for entry in given) else given


def _input(entry: JsonValue) -> str | Tokens:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, list):
        tokens = [token for token in entry if isinstance(token, int) and not isinstance(token, bool)]
        if tokens and len(tokens) == len(entry):
            return tokens
    raise DialectError("`input` must be texts or lists of token numbers", "input")


def _is_token(entry: JsonValue) -> bool:
    return isinstance(entry, int) and not isinstance(entry, bool)


def encode_request(request: EmbeddingRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request."""
    inputs: list[JsonValue] = [
        entry if isinstance(entry, str) else list[JsonValue](entry) for entry in request.inputs
    ]
    body: JsonObject = {"model": request.model, "input": inputs}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user:
        body["user"] = request.user
    for name in ("task", "title"):
        if getattr(request, name):
            ctx.note(f"{name} is not carried")
    return body


def patch_model(model: str, _body: JsonObject) -> Changes:
    """Name the model in a raw body."""
    return {"model": model}


# --- answers ---


def decode_response(body: JsonObject) -> Embeddings:
    """Read an answer. Raises :class:`~cliproxy.errors.DialectError`."""
    entries = items(body, "data")
    found: dict[int, Vector] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DialectError(f"`data[{position}]` is no object", "data")
        index = integer(entry, "index")
        found[position if index is None else index] = _vector(entry.get("embedding"), position)
    if sorted(found) != list(range(len(entries))):
        raise DialectError("the indices of `data` are not those of a list", "data")
    return Embeddings(
        vectors=[found[index] for index in range(len(entries))],
        model=text(body, "model"),
        usage=decode_usage(child(body, "usage")) or Usage(),
    )


def _vector(value: JsonValue, position: int) -> Vector:
    if isinstance(value, str):
        try:
            return read_base64(value)
        except ValueError as exc:
            raise DialectError(f"`data[{position}].embedding` is no vector: {exc}", "data") from exc
    if isinstance(value, list):
        numbers = [number for number in value if isinstance(number, int | float)]
        if numbers and len(numbers) == len(value):
            return numbers
    raise DialectError(f"`data[{position}].embedding` is no vector", "data")


def encode_response(answer: Embeddings, ctx: ExchangeContext) -> JsonObject:
    """Write an answer, the vectors in the form the client asked for. Counts that nobody knows are 0: the
    vendor's packages expect them."""
    is_packed = ctx.original_body.get("encoding_format") == BASE64
    data: list[JsonValue] = [
        {"object": "embedding", "index": index, "embedding": _written(vector, is_packed=is_packed)}
        for index, vector in enumerate(answer.vectors)
    ]
    return {
        "object": "list",
        "data": data,
        "model": ctx.shown_model or answer.model or ctx.upstream_model,
        "usage": {"prompt_tokens": answer.usage.input_total, "total_tokens": answer.usage.input_total},
    }


def _written(vector: Vector, *, is_packed: bool) -> JsonValue:
    if not is_packed:
        return list(vector)
    try:
        return write_base64(vector)
    except ValueError as exc:
        raise DialectError(str(exc), "data") from exc


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at an answer."""
    if body.get("error") and not body.get("data"):
        return Glimpse(has_content=False, error=decode_error(0, body))
    return Glimpse(
        usage=decode_usage(child(body, "usage")),
        has_content=bool(items(body, "data")),
        is_terminal=True,
        is_finished=True,
    )


# --- portions ---


def _only(body: JsonObject, start: int, size: int) -> Changes:
    return {"input": _entries(body)[start : start + size]}


def _given(body: JsonObject) -> int:
    return len(items(body, "data"))


def _joined(answers: Sequence[JsonObject]) -> JsonObject:
    """Put answers together: their vectors, numbered anew, and the sum of their counts."""
    vectors = [entry for answer in answers for entry in items(answer, "data") if isinstance(entry, dict)]
    data: list[JsonValue] = [{**entry, "index": index} for index, entry in enumerate(vectors)]
    counts = [child(answer, "usage") for answer in answers]
    usage: JsonObject = {
        name: sum(integer(count, name) or 0 for count in counts) for name in ("prompt_tokens", "total_tokens")
    }
    return {**answers[0], "data": data, "usage": usage}


EMBEDDINGS: Final = EmbeddingForm(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    inspect_response=inspect_response,
    patch_model=patch_model,
    portions=Portions(wanted=lambda body: len(_entries(body)), given=_given, only=_only, joined=_joined),
)
