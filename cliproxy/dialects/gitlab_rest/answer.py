"""Read what GitLab's text endpoints answer, and their errors.

An answer is a JSON string, an object with ``response``, or a text completion with ``choices``. Errors come in
three spellings: ``{"message": "403 Forbidden"}``, ``{"message": {"field": ["is missing"]}}``, and the OAuth
form ``{"error": "insufficient_scope", "error_description": …}``.

Nothing is said of tokens. Clients and statistics get an estimate.
"""

from typing import Final

from cliproxy.dialects.base import Glimpse
from cliproxy.errors import DialectError, ProxyError, kind_of_status
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.estimate import estimate_text, estimate_tokens
from cliproxy.ir.events import StreamError
from cliproxy.ir.request import Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    child,
    dumps_text,
    integer,
    loads,
    objects,
    strings,
    text,
)

BAD_GATEWAY: Final = 502
MAX_MESSAGE: Final = 300
_REASONS: Final = {"length": FinishReason.LENGTH, "content_filter": FinishReason.CONTENT_FILTER}


def read_answer(body: bytes) -> JsonObject:
    """Return an answer as an object. Raises :class:`~cliproxy.wire.jsontext.JsonError`."""
    value = loads(body)
    if isinstance(value, str):
        return {"response": value}
    if isinstance(value, dict):
        return value
    raise JsonError("neither a text nor an object")


def decode_response(body: JsonObject, ctx: ExchangeContext) -> IRResponse:
    """Read an answer. Raises :class:`~cliproxy.errors.DialectError` when there is no text in it."""
    choice = next(objects(body, "choices"), {})
    found = [holder[key] for holder, key in ((choice, "text"), (body, "response")) if key in holder]
    said = next((value for value in found if isinstance(value, str)), None)
    if said is None:
        said = text(child(choice, "message"), "content")
        if not said:
            raise DialectError("the upstream returned no text")
    return IRResponse(
        id=ctx.new_id("gitlab-"),
        model=model_of(body) or ctx.upstream_model,
        choices=[Choice([Text(said)] if said else [], ending_of(text(choice, "finish_reason")))],
        usage=estimated(said, ctx),
        created=integer(body, "created") or int(ctx.now),
    )


def estimated(said: str, ctx: ExchangeContext) -> Usage:
    """Estimate what an answer cost. A request to fill in the middle is never decoded; the texts around its
    cursor are what it costs."""
    if ctx.original is not None:
        return Usage(fresh_input=estimate_tokens(ctx.original), output=estimate_text(said))
    around = [*strings(ctx.original_body, "prompt"), *strings(ctx.original_body, "suffix")]
    return Usage(fresh_input=sum(map(estimate_text, around)) or None, output=estimate_text(said))


def model_of(body: JsonObject) -> str:
    """Return the model an answer or event names, if it names one."""
    holders = (body, child(body, "metadata"))
    named = (text(child(holder, "model"), "name") or text(holder, "model") for holder in holders)
    return next((name for name in named if name), "") or text(child(body, "metadata"), "model_name")


def ending_of(native: str) -> Ending:
    """Read a finish reason."""
    return Ending(_REASONS.get(native, FinishReason.STOP), native)


def encode_response(response: IRResponse, _ctx: ExchangeContext) -> JsonObject:
    """Write an answer, for tests and replays: its text."""
    parts = response.choices[0].parts if response.choices else []
    return {"response": "".join(part.text for part in parts if isinstance(part, Text))}


def decode_error(status: int, body: JsonObject) -> StreamError:
    """Read an error body."""
    code = text(body, "error")
    message = text(body, "error_description") or error_text(body) or code
    return StreamError(kind_of_status(status), message[:MAX_MESSAGE], status, code)


def error_text(body: JsonObject) -> str:
    """Return the ``message`` or ``error`` of a body as text, whatever its shape."""
    for name in ("message", "error"):
        value = body.get(name)
        if isinstance(value, dict):
            inner = text(value, "message")
            return inner or dumps_text(value)
        if isinstance(value, str) and value:
            return value
    return ""


def encode_error(error: ProxyError) -> JsonObject:
    """Write an error as GitLab would."""
    return {"message": error.message}


def inspect_response(body: JsonObject) -> Glimpse:
    """Look for an error inside a successful answer."""
    if body.get("error") and not body.get("choices") and not body.get("response"):
        return Glimpse(error=decode_error(BAD_GATEWAY, body), is_terminal=True)
    return Glimpse(is_terminal=True)
