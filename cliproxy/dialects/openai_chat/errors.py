"""Error bodies: ``{"error": {"message", "type", "param", "code"}}``.

Contract: OpenAI API reference, "Error codes". ``type`` is a broad class and ``code`` says what exactly;
compatible servers put words or HTTP statuses into either, or send something else altogether. Reading never
fails: what is not understood is told by its status.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from cliproxy.dialects.openai_chat.names import DIALECT_ID
from cliproxy.errors import LAST_STATUS, STATUS_OF_KIND, Kind, ProxyError, kind_of_status, telling_code
from cliproxy.ir.events import StreamError
from cliproxy.wire import waits
from cliproxy.wire.jsontext import (
    JsonError,
    JsonObject,
    JsonValue,
    child,
    integer,
    items,
    loads,
    number,
    objects,
    text,
)

_KINDS: Final[Mapping[str, Kind]] = {
    "insufficient_quota": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "billing_not_active": Kind.QUOTA,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "requests": Kind.RATE_LIMIT,
    "tokens": Kind.RATE_LIMIT,
    "invalid_api_key": Kind.AUTHENTICATION,
    "authentication_error": Kind.AUTHENTICATION,
    "permission_error": Kind.PERMISSION,
    "model_not_found": Kind.NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "context_length_exceeded": Kind.INVALID_REQUEST,
    "content_policy_violation": Kind.INVALID_REQUEST,
    "invalid_request_error": Kind.INVALID_REQUEST,
    "bad_request": Kind.INVALID_REQUEST,
    "overloaded_error": Kind.OVERLOADED,
    "engine_overloaded_error": Kind.OVERLOADED,
    "service_unavailable": Kind.UNAVAILABLE,
    "timeout": Kind.TIMEOUT,
    "server_error": Kind.UPSTREAM,
    "internal_server_error": Kind.UPSTREAM,
    "api_error": Kind.UPSTREAM,
    "upstream_error": Kind.UPSTREAM,
}
"""What the words in ``code`` and ``type`` say. A status that is known decides before the vaguer of them."""
_EXACT: Final = frozenset({Kind.QUOTA, Kind.OVERLOADED})

_TYPES: Final[Mapping[Kind, str]] = {
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.QUOTA: "insufficient_quota",
    Kind.OVERLOADED: "server_error",
    Kind.UNAVAILABLE: "server_error",
    Kind.TIMEOUT: "server_error",
    Kind.UPSTREAM: "server_error",
    Kind.INTERNAL: "server_error",
    Kind.CANCELLED: "server_error",
}
_CODES: Final[Mapping[Kind, str]] = {
    Kind.AUTHENTICATION: "invalid_api_key",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.UPSTREAM: "internal_server_error",
    Kind.INTERNAL: "internal_server_error",
}


# --- reading ---


def decode_error(status: int, body: JsonObject) -> StreamError:
    """Read an error body; ``status`` is 0 where only the body knows. Never raises."""
    error = child(body, "error") or _first_of_list(body)
    code = _word(error.get("code")) or _word(body.get("code"))
    kind_word = text(error, "type") or text(body, "type")
    stated = status if status >= HTTPStatus.BAD_REQUEST else _status(error) or _status(body)
    kind = _kind(stated, code.lower(), kind_word.lower())
    return StreamError(
        kind,
        _message(body, error),
        stated or STATUS_OF_KIND[kind],
        code or kind_word,
        raw=body,
        retry_after=_delay(error),
    )


def _first_of_list(body: JsonObject) -> JsonObject:
    return next((entry for key in ("error", "errors") for entry in objects(body, key)), {})


def _word(value: JsonValue) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _status(error: JsonObject) -> int:
    """Return the HTTP status some servers put into the body; 0 when there is none."""
    for key in ("code", "status", "status_code"):
        value = integer(error, key)
        if value is None and text(error, key).isascii() and text(error, key).isdigit():
            value = int(text(error, key)[:4])
        if value is not None and HTTPStatus.BAD_REQUEST <= value <= LAST_STATUS:
            return value
    return 0


def _kind(status: int, code: str, kind_word: str) -> Kind:
    said = _KINDS.get(code) or _KINDS.get(kind_word)
    if said is not None and (not status or said in _EXACT):
        return said
    return kind_of_status(status) if status else Kind.UPSTREAM


def _message(body: JsonObject, error: JsonObject) -> str:
    """Find the words for people."""
    for place in (error, body):
        for key in ("message", "detail", "error", "msg", "error_description"):
            if isinstance(said := place.get(key), str) and said:
                return said
    details = [text(entry, "msg") for entry in objects(body, "detail")]
    details += [said for said in items(body, "detail") if isinstance(said, str)]
    return "; ".join(said for said in details if said)


def _delay(error: JsonObject) -> float | None:
    seconds = number(error, "retry_after")
    return float(seconds) if seconds is not None and seconds >= 0 else waits.said(text(error, "message"))


# --- writing ---


def encode_error(error: ProxyError) -> JsonObject:
    """Write an error of ours; one that came in this shape keeps its body."""
    if error.native is not None and error.native.dialect == DIALECT_ID:
        try:
            native = loads(error.native.body)
        except JsonError:
            native = None
        if isinstance(native, dict):
            return native
    written: JsonObject = {
        "message": error.message,
        "type": _TYPES.get(error.kind, "invalid_request_error"),
        "param": error.param,
        "code": telling_code(error.code) or _CODES.get(error.kind),
    }
    more = {key: _json(value) for key, value in error.detail.items() if key not in written}
    return {"error": {**written, **more}}


def _json(value: object) -> JsonValue:
    """Return the details of an error, which nobody typed, as JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_json(item) for item in value]
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case _:
            return str(value)


def error_in_stream(error: StreamError) -> ProxyError:
    """Return an error of an upstream's stream as one of ours, for encoders that are handed the event."""
    return ProxyError(error.message, kind=error.kind, status=error.status or None, code=error.code or None)
