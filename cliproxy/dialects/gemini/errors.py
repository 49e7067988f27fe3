"""Error bodies: ``{"error": {"code", "message", "status", "details"}}``, the shape of every Google API.

``status`` is a word of Google's canonical codes and says more than the HTTP status. ``details`` is a list of
typed objects; those read here are ``RetryInfo`` (when to come back), ``ErrorInfo`` (a reason in one word) and
``QuotaFailure`` (which quota). The delay of a 429 may stand in any of three places.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from cliproxy.dialects.gemini.parts import RELATIVES
from cliproxy.errors import Kind, ProxyError, kind_of_status
from cliproxy.ir.events import StreamError
from cliproxy.wire import waits
from cliproxy.wire.jsontext import JsonError, JsonObject, child, integer, loads, objects, text

TYPE_PREFIX: Final = "type.googleapis.com/google.rpc."

_STATUS_OF_CODE: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
CODE_OF_KIND: Final[Mapping[Kind, int]] = {Kind.OVERLOADED: 503}
"""Kinds whose usual status this API does not know."""

_KIND_OF_STATUS: Final[Mapping[str, Kind]] = {
    "INVALID_ARGUMENT": Kind.INVALID_REQUEST,
    "FAILED_PRECONDITION": Kind.INVALID_REQUEST,
    "OUT_OF_RANGE": Kind.INVALID_REQUEST,
    "UNIMPLEMENTED": Kind.INVALID_REQUEST,
    "UNAUTHENTICATED": Kind.AUTHENTICATION,
    "PERMISSION_DENIED": Kind.PERMISSION,
    "NOT_FOUND": Kind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMIT,
    "CANCELLED": Kind.CANCELLED,
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "UNAVAILABLE": Kind.UNAVAILABLE,
    "ABORTED": Kind.UNAVAILABLE,
    "INTERNAL": Kind.UPSTREAM,
    "UNKNOWN": Kind.UPSTREAM,
    "DATA_LOSS": Kind.UPSTREAM,
}
_CODE_OF_STATUS: Final[Mapping[str, int]] = {
    **{word: code for code, word in _STATUS_OF_CODE.items()},
    "INVALID_ARGUMENT": 400,
    "INTERNAL": 500,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
}


# --- reading ---


def read_refusal(raw: bytes) -> JsonObject:
    """Read the body of an error answer. That of a stream is a list with one error, as the stream itself
    would have been a list. Raises :class:`~cliproxy.wire.jsontext.JsonError`."""
    body = loads(raw)
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        raise JsonError("not a JSON object")
    return body


@frozen
class GoogleError:
    """An error body, read."""

    code: int
    status: str
    message: str
    reason: str
    """``ErrorInfo.reason``, such as ``API_KEY_INVALID``."""
    quotas: tuple[str, ...]
    """Ids of the quotas that were exceeded, such as ``GenerateRequestsPerDayPerProjectPerModel-FreeTier``."""
    retry_after: float | None


def read_error(body: JsonObject) -> GoogleError:
    """Read an error body, whatever it is."""
    error = child(body, "error")
    details = list(objects(error, "details"))
    reasons = (text(entry, "reason") for entry in _typed(details, "ErrorInfo"))
    violations = (one for entry in _typed(details, "QuotaFailure") for one in objects(entry, "violations"))
    return GoogleError(
        integer(error, "code") or 0,
        text(error, "status").upper(),
        text(error, "message") or text(body, "message"),
        next((reason for reason in reasons if reason), ""),
        tuple(text(one, "quotaId") or text(one, "quotaMetric") for one in violations),
        retry_delay(body),
    )


def decode_error(status: int, body: JsonObject) -> StreamError:
    """Read an error answer or an error inside a stream; ``status`` is 0 when only the body knows."""
    error = read_error(body)
    code = status or error.code or _CODE_OF_STATUS.get(error.status, 0)
    kind = _KIND_OF_STATUS.get(error.status) or kind_of_status(code)
    if kind is Kind.RATE_LIMIT and is_long(error):
        kind = Kind.QUOTA
    return StreamError(
        kind, error.message, code, error.reason or error.status, raw=body, retry_after=error.retry_after
    )


def is_long(error: GoogleError) -> bool:
    """Tell a quota that lasts for hours from one that is over in a minute."""
    return any("perday" in quota.lower() for quota in error.quotas)


def retry_delay(body: JsonObject) -> float | None:
    """Find the delay, in seconds, that an error body asks for."""
    error = child(body, "error")
    details = list(objects(error, "details"))
    for entry in _typed(details, "RetryInfo"):
        return waits.duration(text(entry, "retryDelay"))
    for entry in _typed(details, "ErrorInfo"):
        if delay := text(child(entry, "metadata"), "quotaResetDelay"):
            return waits.duration(delay)
    return waits.said(text(error, "message"))


def _typed(details: list[JsonObject], name: str) -> list[JsonObject]:
    return [entry for entry in details if text(entry, "@type") == TYPE_PREFIX + name]


# --- writing ---


def encode_error(error: ProxyError) -> JsonObject:
    """Write an error of ours; one that came in this shape keeps its body."""
    if error.native is not None and error.native.dialect in RELATIVES:
        try:
            native = read_refusal(error.native.body)
        except JsonError:
            native = {}
        if isinstance(native.get("error"), dict):
            return native
    code = CODE_OF_KIND.get(error.kind, error.status)
    body: JsonObject = {
        "code": code,
        "message": error.message,
        "status": _STATUS_OF_CODE.get(code, "UNKNOWN"),
    }
    if error.retry_after is not None:
        seconds = f"{max(error.retry_after, 0.0):.3f}".rstrip("0").rstrip(".")
        body["details"] = [{"@type": TYPE_PREFIX + "RetryInfo", "retryDelay": f"{seconds}s"}]
    return {"error": body}
