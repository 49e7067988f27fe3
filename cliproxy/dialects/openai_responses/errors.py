"""Errors of this wire: bodies, and the two events that end a stream with an error.

Contract: the OpenAI API reference, "Error codes", "Responses streaming" (``error``, ``response.failed``). The
vendor's own words for what went wrong come as ``code`` or ``type``; a client behind a proxy of ours sees the
same words, and one behind another upstream those that the vendor would have used.
"""

from collections.abc import Mapping
from typing import Final

from cliproxy.errors import Kind, ProxyError, kind_of_status, telling_code
from cliproxy.ir.events import StreamError
from cliproxy.wire import waits
from cliproxy.wire.jsontext import JsonObject, child, integer, number, text

_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "invalid_request_error",
    Kind.TOO_LARGE: "invalid_request_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.QUOTA: "insufficient_quota",
    Kind.CANCELLED: "invalid_request_error",
}
_SERVER_ERROR: Final = "server_error"

_CODES: Final[Mapping[Kind, str]] = {
    Kind.AUTHENTICATION: "invalid_api_key",
    Kind.PERMISSION: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.TIMEOUT: "request_timeout",
    Kind.OVERLOADED: "internal_server_error",
    Kind.UNAVAILABLE: "internal_server_error",
    Kind.UPSTREAM: "internal_server_error",
    Kind.INTERNAL: "internal_server_error",
}
"""Codes for errors that bring none; a code is left out where the type says it all."""

_KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request_error": Kind.INVALID_REQUEST,
    "invalid_prompt": Kind.INVALID_REQUEST,
    "invalid_request": Kind.INVALID_REQUEST,
    "cyber_policy": Kind.INVALID_REQUEST,
    "bio_policy": Kind.INVALID_REQUEST,
    "context_length_exceeded": Kind.INVALID_REQUEST,
    "context_too_large": Kind.INVALID_REQUEST,
    "previous_response_not_found": Kind.INVALID_REQUEST,
    "thinking_signature_invalid": Kind.INVALID_REQUEST,
    "authentication_error": Kind.AUTHENTICATION,
    "invalid_api_key": Kind.AUTHENTICATION,
    "permission_error": Kind.PERMISSION,
    "model_not_found": Kind.NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "rate_limit_error": Kind.RATE_LIMIT,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "too_many_requests": Kind.RATE_LIMIT,
    "insufficient_quota": Kind.QUOTA,
    "usage_limit_reached": Kind.QUOTA,
    "usage_not_included": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "server_is_overloaded": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "slow_down": Kind.OVERLOADED,
    "auth_unavailable": Kind.UNAVAILABLE,
    "request_timeout": Kind.TIMEOUT,
    "timeout": Kind.TIMEOUT,
    "server_error": Kind.UPSTREAM,
    "internal_server_error": Kind.UPSTREAM,
}


# --- writing ----------------------------------------------------------------------------------------------


def code_of(error: ProxyError) -> str | None:
    """Return the machine-readable code of an error."""
    return telling_code(error.code) or _CODES.get(error.kind)


def encode_error(error: ProxyError) -> JsonObject:
    """Write the body of an error answer."""
    inner: JsonObject = {
        "message": error.message,
        "type": _TYPES.get(error.kind, _SERVER_ERROR),
        "param": error.param,
        "code": code_of(error),
    }
    return {"error": inner}


def event_code(error: ProxyError) -> str:
    """Return the code of an error inside a stream, where there is no type beside it."""
    return code_of(error) or _TYPES.get(error.kind, _SERVER_ERROR)


# --- reading ----------------------------------------------------------------------------------------------


def decode_error(status: int, body: JsonObject) -> StreamError:
    """Read an error body. Never raises."""
    return read_error(_error_object(body), status)


def _error_object(body: JsonObject) -> JsonObject:
    """Return the object that says what went wrong, wherever it is."""
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    detail = body.get("detail")
    if isinstance(detail, str):
        return {"message": detail}
    return detail if isinstance(detail, dict) else body


def error_of_event(event: JsonObject, now: float | None) -> StreamError:
    """Read an ``error`` or ``response.failed`` event; ``now`` is Unix seconds."""
    response = child(event, "response")
    inner = child(response, "error") or _error_object(event)
    status = integer(event, "status") or integer(event, "status_code") or integer(inner, "status") or 0
    return read_error(inner, status, now)


def read_error(error: JsonObject, status: int, now: float | None = None) -> StreamError:
    """Classify an error object: by the code, by the type, by the status."""
    code, kind_word = text(error, "code"), text(error, "type")
    kind = _KINDS.get(code) or _KINDS.get(kind_word)
    if kind is None:
        kind = kind_of_status(status) if status else Kind.UPSTREAM
    message = text(error, "message") or code or kind_word
    return StreamError(
        kind,
        message or "the upstream reported an error without saying which",
        status,
        code or ("" if kind_word in {"", "error"} else kind_word),
        error,
        retry_after(error, now),
    )


def retry_after(error: JsonObject, now: float | None) -> float | None:
    """Return after how many seconds the upstream says it can be asked again.

    A moment (``resets_at``) is only understood where ``now`` is known; the upstream gives a duration besides.
    """
    moment = number(error, "resets_at")
    if moment is not None and now is not None and moment > now:
        return moment - now
    seconds = number(error, "resets_in_seconds")
    if seconds is not None and seconds > 0:
        return float(seconds)
    return waits.said(text(error, "message"))
