"""What an upstream's refusal means: its kind, how far it reaches, when to come back.

A provider's contract has the first word (it knows its upstream); then the body, as the dialect reads it, is
matched against a short table of texts that statuses alone misjudge; then the status decides. Texts are
matched in lower case on the message and code only, never on anything a user wrote.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from attrs import evolve, frozen

from cliproxy.errors import Failure, Kind, Scope, TransportError, kind_of_status
from cliproxy.ir.events import StreamError
from cliproxy.wire.http import Headers, http_date

_SCOPES: Final[dict[Kind, Scope]] = {
    Kind.INVALID_REQUEST: Scope.REQUEST,
    Kind.TOO_LARGE: Scope.REQUEST,
    Kind.AUTHENTICATION: Scope.CREDENTIAL,
    Kind.PERMISSION: Scope.MODEL,
    Kind.NOT_FOUND: Scope.MODEL,
    Kind.RATE_LIMIT: Scope.MODEL,
    Kind.QUOTA: Scope.CREDENTIAL,
    Kind.OVERLOADED: Scope.MODEL,
    Kind.UNAVAILABLE: Scope.MODEL,
    Kind.TIMEOUT: Scope.MODEL,
    Kind.UPSTREAM: Scope.MODEL,
    Kind.INTERNAL: Scope.MODEL,
    Kind.CANCELLED: Scope.REQUEST,
}


@frozen
class Reading:
    """A text an upstream uses, and what it means whatever status came with it."""

    statuses: frozenset[int]
    text: str
    kind: Kind
    scope: Scope


_READINGS: Final = (
    Reading(frozenset({400}), "api_key_invalid", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(frozenset({400}), "api key not valid", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(frozenset({400}), "api key expired", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(frozenset({400, 403}), "credit balance is too low", Kind.QUOTA, Scope.CREDENTIAL),
    Reading(frozenset({429}), "insufficient_quota", Kind.QUOTA, Scope.CREDENTIAL),
    Reading(frozenset({400, 413, 429}), "prompt is too long", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(frozenset({400, 429}), "context_length_exceeded", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(frozenset({400, 404}), "model_not_found", Kind.NOT_FOUND, Scope.MODEL),
)


def failure_from_answer(status: int, headers: Headers, error: StreamError, now: float) -> Failure:
    """Classify an error answer. ``error`` is the body as its dialect reads it; ``now`` is Unix seconds, for
    dates."""
    kind = kind_of_status(status)
    scope = _SCOPES[kind]
    words = f"{error.message} {error.code}".lower()
    for reading in _READINGS:
        if status in reading.statuses and reading.text in words:
            kind, scope = reading.kind, reading.scope
            break
    asked = retry_after(headers, now)
    return Failure(
        kind=kind,
        scope=scope,
        message=error.message or f"the upstream answered with status {status}",
        status=status,
        code=error.code or None,
        retry_after=asked if asked is not None else error.retry_after,
    )


def failure_from_stream(error: StreamError) -> Failure:
    """Classify an error that came inside a successful answer."""
    status = error.status if error.status >= HTTPStatus.BAD_REQUEST else 0
    return Failure(
        kind=error.kind,
        scope=_SCOPES[error.kind],
        message=error.message,
        status=status,
        code=error.code or None,
        retry_after=error.retry_after,
    )


def failure_from_transport(error: TransportError) -> Failure:
    """Classify a broken connection. One that could not be made says something about the host, not the
    account."""
    scope = Scope.HOST if error.phase == "connect" else Scope.MODEL
    return Failure(kind=error.kind, scope=scope, message=error.message)


def blames_signature(failure: Failure, words: Sequence[str]) -> bool:
    """Tell whether a refusal is about a reasoning signature; ``words`` are its dialect's for that."""
    said = f"{failure.message} {failure.code or ''}".lower()
    return failure.kind is Kind.INVALID_REQUEST and any(word in said for word in words)


def empty_answer() -> Failure:
    """The upstream said yes and then nothing."""
    return Failure(
        kind=Kind.UPSTREAM, scope=Scope.MODEL, message="the upstream's answer is empty", status=502
    )


def broken_answer(message: str) -> Failure:
    """The upstream's answer is not what its dialect allows."""
    return Failure(kind=Kind.UPSTREAM, scope=Scope.MODEL, message=message, status=502)


def retry_after(headers: Headers, now: float) -> float | None:
    """Return the seconds an upstream asks to wait: ``retry-after-ms``, or ``retry-after`` as seconds or as a
    date."""
    milliseconds = _positive(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after").strip()
    if not value:
        return None
    seconds = _positive(value)
    if seconds is not None:
        return seconds
    moment = http_date(value)
    return max(moment - now, 0.0) if moment is not None else None


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 10**9 else None


def most_useful(failures: list[Failure]) -> Failure:
    """Return the failure a client learns most from: request fault, quota with a time, authentication, then
    the rest."""
    return min(enumerate(failures), key=lambda item: (_usefulness(item[1]), -item[0]))[1]


def _usefulness(failure: Failure) -> int:
    if failure.scope is Scope.REQUEST:
        return 0
    if failure.kind in {Kind.RATE_LIMIT, Kind.QUOTA}:
        return 1 if failure.retry_after is not None else 2
    if failure.kind in {Kind.AUTHENTICATION, Kind.PERMISSION, Kind.NOT_FOUND}:
        return 3
    return 4 if failure.status else 5


def with_source(failure: Failure, source: str) -> Failure:
    """Name the account in the message."""
    return evolve(failure, message=f"{source}: {failure.message}")
