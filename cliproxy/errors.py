"""Every error the product knows, as values and as exceptions.

The tree::

    ProxyError(status, kind, message, …)        what a client may see
    ├ BadRequest            decode failed, capability missing, validation
    ├ Unauthorized          client key missing or wrong
    ├ Forbidden
    ├ NotFound              no such route or resource
    ├ ModelNotFound         no credential serves the model
    ├ NothingReady          every candidate is cooling down; carries the earliest time
    ├ UpstreamError         final outcome of the attempts; keeps the list of failures
    └ LimitExceeded         body, concurrency, queue, time
    AttemptFailed(failure)  one attempt ended without an answer; caught by the attempt loop
    AnswerCut(failure)      an answer broke off after the client had begun to receive it
    TransportError          the connection to an upstream failed; becomes a Failure by ``routing.classify``
    FrameError              malformed byte framing (sans-IO rooms)
    DialectError            a body that a dialect cannot read (sans-IO rooms)
    ConfigError             a configuration that cannot be used; a list of located problems
    CredentialError         a credential file or entry that cannot be used
    StoreError              a configuration or credential store failed
    LoginError              a login or refresh flow ended without tokens

``Failure`` is a value, not an exception: the classified result of one failed attempt. ``Kind`` is the closed
vocabulary every dialect maps to its own error words; no other place maps a status to text.

This module imports nothing of ours.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from attrs import field, frozen


class Kind(StrEnum):
    """What went wrong, independent of any dialect's vocabulary."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    UPSTREAM = "upstream"
    INTERNAL = "internal"
    CANCELLED = "cancelled"


class Scope(StrEnum):
    """How far a failure reaches, narrowest first: what must be avoided by the next attempt."""

    REQUEST = "request"
    """The request itself is at fault: no other credential would do better, nothing cools down."""
    CONTRACT = "contract"
    """This way of reaching the upstream is not available to the credential; its next contract may be."""
    MODEL = "model"
    """This upstream model on this credential."""
    CREDENTIAL = "credential"
    """Everything this credential serves."""
    HOST = "host"
    """The upstream host, for every credential that uses it."""


class Treatment(StrEnum):
    """What an owner wants done about an error of an upstream, whatever it would mean by itself."""

    STOP = "stop"
    STOP_AND_COOL = "stop-and-cooldown"
    GO_ON = "continue"
    GO_ON_AND_COOL = "continue-and-cooldown"

    @property
    def stops(self) -> bool:
        """The client gets the error; nobody else is tried."""
        return self in {Treatment.STOP, Treatment.STOP_AND_COOL}

    @property
    def cools(self) -> bool:
        """The credential rests, even where credentials usually do not."""
        return self in {Treatment.STOP_AND_COOL, Treatment.GO_ON_AND_COOL}


LAST_STATUS: Final = 599

STATUS_OF_KIND: dict[Kind, int] = {
    Kind.INVALID_REQUEST: 400,
    Kind.AUTHENTICATION: 401,
    Kind.PERMISSION: 403,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMIT: 429,
    Kind.QUOTA: 429,
    Kind.OVERLOADED: 529,
    Kind.UNAVAILABLE: 503,
    Kind.TIMEOUT: 504,
    Kind.UPSTREAM: 502,
    Kind.INTERNAL: 500,
    Kind.CANCELLED: 499,
}

KIND_OF_STATUS: dict[int, Kind] = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    402: Kind.QUOTA,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    406: Kind.INVALID_REQUEST,
    408: Kind.TIMEOUT,
    409: Kind.INVALID_REQUEST,
    411: Kind.INVALID_REQUEST,
    413: Kind.TOO_LARGE,
    414: Kind.TOO_LARGE,
    415: Kind.INVALID_REQUEST,
    422: Kind.INVALID_REQUEST,
    425: Kind.UNAVAILABLE,
    429: Kind.RATE_LIMIT,
    431: Kind.TOO_LARGE,
    451: Kind.PERMISSION,
    499: Kind.CANCELLED,
    500: Kind.UPSTREAM,
    502: Kind.UPSTREAM,
    503: Kind.UNAVAILABLE,
    504: Kind.TIMEOUT,
    521: Kind.UNAVAILABLE,
    522: Kind.TIMEOUT,
    523: Kind.UNAVAILABLE,
    524: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}

_CLASS_OF_ERRORS: Final = re.compile(r"[A-Z][A-Z0-9_]*|(?!(?:internal_)?server_error\Z)[a-z_]+_error")
"""Anthropic's words and OpenAI's types; Google's words. OpenAI has two codes that look like a type."""


def kind_of_status(status: int) -> Kind:
    """Return the kind an HTTP status of an upstream stands for when its body says nothing better."""
    known = KIND_OF_STATUS.get(status)
    if known is not None:
        return known
    is_client_fault = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Kind.INVALID_REQUEST if is_client_fault else Kind.UPSTREAM


def telling_code(code: str | None) -> str | None:
    """Return the code of an error unless it only names a class of errors, such as ``rate_limit_error``.

    Upstreams without codes are read with their word for the class in its place, which records are to show.
    For clients of the dialects that have codes it is no code, and the word of another vendor: what the class
    is called there follows from the kind.
    """
    return None if code is None or _CLASS_OF_ERRORS.fullmatch(code) else code


@frozen
class NativeBody:
    """An error body exactly as an upstream sent it, and the dialect it is written in.

    A client of the same dialect receives it unchanged.
    """

    dialect: str
    body: bytes = field(repr=False)


@frozen(kw_only=True)
class Failure:
    """One failed attempt, classified."""

    kind: Kind
    scope: Scope
    message: str
    """For people; never contains a secret."""
    status: int = 0
    """HTTP status of the upstream; 0 when there was no answer."""
    retry_after: float | None = None
    """Seconds after which the upstream says it can be asked again."""
    code: str | None = None
    """The upstream's own machine-readable code, when it gave one."""
    native: NativeBody | None = None
    treatment: Treatment | None = None
    """What the owner wants done about it; ``None``: what follows from the rest."""

    @property
    def ends_exchange(self) -> bool:
        """Whether nobody else is to be tried."""
        return self.scope is Scope.REQUEST if self.treatment is None else self.treatment.stops


class ProxyError(Exception):
    """An error that a client may see, rendered by the client's own dialect.

    ``status`` is the HTTP status while the response head is not yet sent. ``message`` names the cause and,
    where there is one, the state and the time; it never contains a secret. ``retry_after`` is in seconds.
    ``code`` and ``param`` fill the slots of those names in dialects that have them.
    """

    kind: Kind = Kind.INTERNAL

    def __init__(  # noqa: PLR0913 - one slot for each field of the widest dialect's error object
        self,
        message: str,
        *,
        kind: Kind | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        code: str | None = None,
        param: str | None = None,
        detail: dict[str, object] | None = None,
        native: NativeBody | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or type(self).kind
        self.status = status or STATUS_OF_KIND[self.kind]
        self.retry_after = retry_after
        self.code = code
        self.param = param
        self.detail = detail or {}
        self.native = native

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status} {self.kind}: {self.message})"


class BadRequest(ProxyError):
    """The request cannot be understood or carried; repeating it unchanged is useless."""

    kind = Kind.INVALID_REQUEST


class Unauthorized(ProxyError):
    """The client key is missing or wrong."""

    kind = Kind.AUTHENTICATION


class Forbidden(ProxyError):
    """The client is known and not allowed."""

    kind = Kind.PERMISSION


class NotFound(ProxyError):
    """There is no such route or resource."""

    kind = Kind.NOT_FOUND


class ModelNotFound(NotFound):
    """No configured credential serves the requested model."""

    def __init__(self, model: str, hint: str = "") -> None:
        message = f"The model `{model}` does not exist or no configured account serves it."
        super().__init__(f"{message} {hint}".rstrip(), code="model_not_found", param="model")


class NothingReady(ProxyError):
    """Candidates exist and none can be used now."""

    kind = Kind.UNAVAILABLE


class UpstreamError(ProxyError):
    """The last word of the attempts: what the upstreams answered."""

    kind = Kind.UPSTREAM

    def __init__(
        self,
        failures: Sequence[Failure],
        message: str | None = None,
        *,
        detail: dict[str, object] | None = None,
    ) -> None:
        last = failures[-1]
        super().__init__(
            message or last.message,
            kind=last.kind,
            status=last.status if HTTPStatus.BAD_REQUEST <= last.status <= LAST_STATUS else None,
            retry_after=last.retry_after,
            code=last.code,
            native=last.native,
            detail=detail,
        )
        self.failures = tuple(failures)


class LimitExceeded(ProxyError):
    """A limit of this server was reached: body size, concurrency, queue or time."""

    kind = Kind.TOO_LARGE


class AttemptFailed(Exception):
    """One attempt on one credential failed before anything reached the client."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class AnswerCut(Exception):
    """An answer broke off after the client had begun to receive it. It counts against the account, and the
    exchange is over: nobody else can take it up."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TransportError(Exception):
    """The connection to an upstream failed: no complete answer, no status.

    ``phase`` is ``connect``, ``send``, ``head`` or ``body``; ``kind`` tells a time-out from a refusal.
    """

    def __init__(self, message: str, *, kind: Kind, phase: str) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.phase = phase


class FrameError(ValueError):
    """Bytes that are not a legal frame of their transport format, or a frame over the size limit."""


class DialectError(ValueError):
    """A body that a dialect cannot read. ``param`` names the field, in the dialect's own spelling."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


@frozen
class Problem:
    """One located finding in a configuration: where, what, and whether it stops the program."""

    message: str
    path: str = ""
    """Key path such as ``gitlab-api-key[0].base-url``; empty for the whole file."""
    line: int | None = None
    """1-based line in the file."""
    fatal: bool = True

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        what = f"{self.path}: " if self.path else ""
        return f"{where}{what}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used; ``problems`` says where and why."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class CredentialError(Exception):
    """A credential file or entry that cannot be used; the message names it and says why."""


class StoreError(Exception):
    """A store of configuration or credentials failed; the message names the path and the reason."""


class LoginError(Exception):
    """A login or refresh ended without tokens.

    ``code`` is stable (``denied``, ``timeout``, ``state_mismatch``, ``port_in_use``, ``invalid_grant``,
    ``missing_scope``, ``no_seat``, ``unreachable``, ``bad_answer``, …); ``hint`` says what the owner can do.
    ``retry_after`` is the number of seconds in which asking again is pointless, where that is known.
    """

    def __init__(
        self, message: str, *, code: str, hint: str = "", status: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.status = status
        self.retry_after = retry_after

    @property
    def explained(self) -> str:
        """The message with the hint behind it, as one text."""
        return f"{self.message.rstrip('.')}. {self.hint}" if self.hint else self.message
