"""Error bodies of the Claude dialect: ``{"type": "error", "error": {"type", "message"}}``.

The same object is the body of a refused request and the data of an ``error`` event in a stream, where it has
no status and its type must tell everything.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from cliproxy.errors import STATUS_OF_KIND, Kind, ProxyError, kind_of_status
from cliproxy.ir.events import StreamError
from cliproxy.wire.jsontext import JsonObject, child, text

_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.QUOTA: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.UNAVAILABLE: "api_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.UPSTREAM: "api_error",
    Kind.INTERNAL: "api_error",
    Kind.CANCELLED: "api_error",
}
_KINDS: Final[Mapping[str, Kind]] = {
    "invalid_request_error": Kind.INVALID_REQUEST,
    "authentication_error": Kind.AUTHENTICATION,
    "billing_error": Kind.QUOTA,
    "permission_error": Kind.PERMISSION,
    "not_found_error": Kind.NOT_FOUND,
    "request_too_large": Kind.TOO_LARGE,
    "rate_limit_error": Kind.RATE_LIMIT,
    "overloaded_error": Kind.OVERLOADED,
    "timeout_error": Kind.TIMEOUT,
    "api_error": Kind.UPSTREAM,
}


def encode_error(error: ProxyError) -> JsonObject:
    """Write an error for a client."""
    kind = "billing_error" if error.status == HTTPStatus.PAYMENT_REQUIRED else _TYPES[error.kind]
    return {"type": "error", "error": {"type": kind, "message": error.message}}


def decode_error(status: int, body: JsonObject) -> StreamError:
    """Read an error body, also one that an intermediate server wrote in another shape. Never raises."""
    error = child(body, "error")
    name = text(error, "type")
    message = text(error, "message") or text(body, "message") or text(body, "error") or text(body, "detail")
    kind = _KINDS.get(name)
    if kind is None:
        kind = kind_of_status(status) if status else Kind.UPSTREAM
    return StreamError(
        kind=kind,
        message=message or "the upstream reported an error without a message",
        status=status or STATUS_OF_KIND[kind],
        code=name,
        raw=body,
    )
