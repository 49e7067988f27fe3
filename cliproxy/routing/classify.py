"""What an upstream's refusal means: its kind, how far it reaches, when to come back.

A provider's contract has the first word (it knows its upstream). Then, in this order:

1. a page of the network in front of the upstream that wants to see a browser;
2. a short table of texts that statuses alone misjudge (:data:`_READINGS`);
3. codes that blame the request (:data:`_REQUEST_CODES`), whatever status came with them;
4. the status. One that nobody has heard of says nothing about the request: somebody else may do better.

Texts are matched in lower case on the message and code only, never on anything a user wrote. When to come
back is read from the headers first (:mod:`cliproxy.wire.waits`), then from the body.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from attrs import evolve, frozen

from cliproxy.errors import KIND_OF_STATUS, Failure, Kind, Scope, TransportError
from cliproxy.ir.events import StreamError
from cliproxy.wire import waits
from cliproxy.wire.http import Headers, HttpAnswer

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

MODEL_NOT_SUPPORTED: Final = "model_not_supported"
INVALID_GRANT: Final = "invalid_grant"
CHALLENGE: Final = "cloudflare_challenge"


def _statuses(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


@frozen
class Reading:
    """A text an upstream uses, and what it means whatever status came with it."""

    statuses: frozenset[int]
    text: str
    kind: Kind
    scope: Scope
    code: str = ""
    """Replaces the upstream's own, where the pause depends on it (:mod:`cliproxy.routing.cooldown`)."""


_NO_MODEL: Final = _statuses(400, 403, 404, 422)
_TOO_LONG: Final = _statuses(400, 413, 422, 429)
_READINGS: Final = (
    Reading(_statuses(400), "api_key_invalid", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(_statuses(400), "api key not valid", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(_statuses(400), "api key expired", Kind.AUTHENTICATION, Scope.CREDENTIAL),
    Reading(_statuses(400, 401), "invalid_grant", Kind.AUTHENTICATION, Scope.CREDENTIAL, INVALID_GRANT),
    Reading(_statuses(400, 403), "credit balance is too low", Kind.QUOTA, Scope.CREDENTIAL),
    Reading(_statuses(403, 429), "insufficient_quota", Kind.QUOTA, Scope.CREDENTIAL),
    Reading(_TOO_LONG, "prompt is too long", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(_TOO_LONG, "context_length_exceeded", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(_statuses(404), "items are not persisted", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(_statuses(404), "item not persisted", Kind.INVALID_REQUEST, Scope.REQUEST),
    Reading(_statuses(400, 404), "model_not_found", Kind.NOT_FOUND, Scope.MODEL),
    *(
        Reading(_NO_MODEL, text, Kind.NOT_FOUND, Scope.MODEL, MODEL_NOT_SUPPORTED)
        for text in (
            "model_not_supported",
            "unsupported_model",
            "model is not supported",
            "model not supported",
            "is not a supported model",
            "unsupported model",
        )
    ),
)

_REQUEST_CODES: Final = frozenset(
    {
        "context_length_exceeded",
        "context_too_large",
        "cyber_policy",
        "invalid_prompt",
        "invalid_value",
        "message_too_big",
        "previous_response_not_found",
        "string_above_max_length",
        "unsupported_value",
    }
)
"""Codes that are about the request."""
_NEVER_THE_REQUEST: Final = _statuses(401, 402, 429)
"""Statuses that are about the account, whatever the code says."""
_REQUEST_TYPES: Final = frozenset(
    {"bad_request_error", "invalid_request", "invalid_request_error", "invalid_prompt"}
)
"""Words for a class of errors. Upstreams use them for much that is none of the request's doing, so that they
count only where the status says nothing else."""
_VAGUE: Final = _statuses(0, 400, 409, 413, 422)
"""Such statuses; 0: an error inside an answer."""

_KINDS: Final = {
    **KIND_OF_STATUS,
    405: Kind.NOT_FOUND,
    410: Kind.NOT_FOUND,
    # Somebody in between has lost patience with us or with the upstream: our own client is still there.
    499: Kind.UPSTREAM,
}
"""What a status means when nothing else tells. Others are the upstream's trouble."""

_CHALLENGES: Final = (b"just a moment...", b"/cdn-cgi/challenge-platform", b"_cf_chl_opt", b"cf-challenge")
_CHALLENGE_STATUSES: Final = _statuses(403, 429, 503)
_MENTIONED: Final = 65536
"""How far into a page is looked."""

_WAITS: Final = frozenset(
    {Kind.RATE_LIMIT, Kind.QUOTA, Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.UPSTREAM}
)
"""Kinds that an upstream may say the end of."""
_LIMITS: Final = frozenset({Kind.RATE_LIMIT, Kind.QUOTA})


# --- answers ------------------------------------------------------------------------------------------------


def failure_from_answer(answer: HttpAnswer, error: StreamError, now: float) -> Failure:
    """Classify an error answer. ``error`` is the body as its dialect reads it; ``now`` is Unix seconds, for
    dates."""
    if _is_challenge(answer):
        message = "the network in front of the upstream wants to see a browser"
        failure = Failure(
            kind=Kind.UNAVAILABLE,
            scope=Scope.CREDENTIAL,
            message=message,
            status=answer.status,
            code=CHALLENGE,
        )
    else:
        kind, scope, code = _verdict(answer.status, error) or (*_of_status(answer.status), error.code)
        message = error.message or f"the upstream answered with status {answer.status}"
        failure = Failure(kind=kind, scope=scope, message=message, status=answer.status, code=code or None)
    said = with_wait(failure, answer.headers, now)
    return said if said.retry_after is not None else evolve(said, retry_after=error.retry_after)


def with_wait(failure: Failure, headers: Headers, now: float) -> Failure:
    """Add when to come back, as the headers of an error answer have it, to a failure that does not know."""
    if failure.retry_after is not None or failure.kind not in _WAITS:
        return failure
    wait = waits.asked(headers, now)
    if wait is None and failure.kind in _LIMITS:
        wait = waits.windows(headers, now)
    return failure if wait is None else evolve(failure, retry_after=wait)


def failure_from_stream(error: StreamError) -> Failure:
    """Classify an error that came inside a successful answer."""
    status = error.status if error.status >= HTTPStatus.BAD_REQUEST else 0
    kind, scope, code = _verdict(status, error) or (error.kind, _SCOPES[error.kind], error.code)
    return Failure(
        kind=kind,
        scope=scope,
        message=error.message,
        status=status,
        code=code or None,
        retry_after=error.retry_after,
    )


def failure_from_transport(error: TransportError) -> Failure:
    """Classify a broken connection. One that could not be made says something about the host, not the
    account."""
    scope = Scope.HOST if error.phase == "connect" else Scope.MODEL
    return Failure(kind=error.kind, scope=scope, message=error.message)


def _is_challenge(answer: HttpAnswer) -> bool:
    if answer.status not in _CHALLENGE_STATUSES:
        return False
    if answer.headers.get("cf-mitigated").strip().lower() == "challenge":
        return True
    page = answer.body[:_MENTIONED].lower()
    return page.lstrip().startswith(b"<") and any(mark in page for mark in _CHALLENGES)


def _verdict(status: int, error: StreamError) -> tuple[Kind, Scope, str] | None:
    """Judge by what an error says; ``None`` when that tells nothing. ``status`` is 0 where there is none."""
    words = f"{error.message} {error.code}".lower()
    for reading in _READINGS:
        if (not status or status in reading.statuses) and reading.text in words:
            return reading.kind, reading.scope, reading.code or error.code
    code = error.code.lower()
    is_exact = code in _REQUEST_CODES and status not in _NEVER_THE_REQUEST
    if is_exact or (code in _REQUEST_TYPES and status in _VAGUE):
        return Kind.INVALID_REQUEST, Scope.REQUEST, error.code
    return None


def _of_status(status: int) -> tuple[Kind, Scope]:
    kind = _KINDS.get(status, Kind.UPSTREAM)
    return kind, _SCOPES[kind]


# --- other failures -----------------------------------------------------------------------------------------


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


# --- several failures ---------------------------------------------------------------------------------------


def most_useful(failures: list[Failure]) -> Failure:
    """Return the failure a client learns most from: request fault, quota with a time, authentication, then
    the rest."""
    return min(enumerate(failures), key=lambda item: (_usefulness(item[1]), -item[0]))[1]


def _usefulness(failure: Failure) -> int:
    if failure.ends_exchange:
        return 0
    if failure.kind in _LIMITS:
        return 1 if failure.retry_after is not None else 2
    if failure.kind in {Kind.AUTHENTICATION, Kind.PERMISSION, Kind.NOT_FOUND}:
        return 3
    return 4 if failure.status else 5


def with_source(failure: Failure, source: str) -> Failure:
    """Name the account in the message."""
    return evolve(failure, message=f"{source}: {failure.message}")
