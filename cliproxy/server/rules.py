"""The rules that hold for every request, whichever way it takes through the framework.

It gets an id and a time; headers that are too large and questions about cross-origin requests are answered at
once; the response carries the id; when the last of its body is sent, or the client has left, a line goes to
the log, so that status and time are those of the whole. What fails is told in the shape of the dialect that
its path belongs to. Facts about a request live in its ASGI scope, which is an open dictionary by
specification.
"""

import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from quart import Request, Response
from werkzeug.exceptions import HTTPException

from cliproxy import __version__
from cliproxy.config.groups import Limits
from cliproxy.dialects import DIALECTS, by_id
from cliproxy.dialects.base import Dialect
from cliproxy.errors import Kind, LimitExceeded, NotFound, ProxyError
from cliproxy.observe.access import log_access
from cliproxy.observe.logs import request_id as log_id
from cliproxy.observe.metrics import Counts
from cliproxy.observe.transcript import Scribe, current
from cliproxy.server.render import error_response
from cliproxy.server.world import World, new_request_id

logger = logging.getLogger(__name__)

API_PREFIXES: Final = ("/v1/", "/v1beta/", "/v1internal:")
ALLOWED_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
VERSIONED: Final = frozenset(
    {"/v1/models", *(endpoint.path for dialect in DIALECTS for endpoint in dialect.endpoints)}
)
VERSIONED_TWICE: Final = ("/v1/v1/", "/v1/v1beta/", "/v1beta/v1/", "/v1beta/v1beta/")
_REQUEST_ID: Final = "cliproxy.request_id"
_STARTED: Final = "cliproxy.started"
_STATUS: Final = "cliproxy.status"
CLIENT_LEFT: Final = 499
SCRIBE: Final = "CLIPROXY_SCRIBE"
"""Where the application's configuration says who writes requests down."""
COUNTS: Final = "CLIPROXY_COUNTS"
"""Where it says who counts responses by their status."""
UNWRITTEN: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods of what is not written down: they ask for lists and pages."""


def begin(world: World, request: Request) -> Response | None:
    """Take a request in; return a response if there is nothing more to be done."""
    facts = _facts(request)
    facts[_REQUEST_ID] = new_request_id(request.headers.get("X-Request-Id"))
    facts[_STARTED] = time.monotonic()
    log_id.set(secrets.token_hex(4))
    excess = _excess(request, world.deps.snapshot().config.limits)
    if excess:
        error = LimitExceeded(f"the request headers exceed the limit of {excess}", status=431)
        return error_response(error, dialect_of_path(request.path))
    return Response(b"", status=204) if request.method == "OPTIONS" else None


def _excess(request: Request, limits: Limits) -> str:
    """Return the limit that the headers of a request exceed; empty: none."""
    fields = request.scope["headers"]
    if sum(len(name) + len(value) for name, value in fields) > limits.header_kb * 1024:
        return f"{limits.header_kb} KB"
    count = len(list(fields))
    return f"{limits.header_count} headers" if count > limits.header_count else ""


def end(world: World, request: Request, response: Response) -> Response:
    """Finish the head of a response."""
    response.headers["X-Request-Id"] = request_id_of(request)
    _allow_origin(world, request, response)
    _facts(request)[_STATUS] = response.status_code
    return response


def write_down(request: Request, scribe: Callable[[], Scribe | None] | None) -> None:
    """Begin to write a request down, if the owner wants that and it is one to an API of models."""
    writer = scribe() if scribe is not None else None
    if writer is None or request.method in UNWRITTEN or not request.path.startswith(API_PREFIXES):
        return
    if (transcript := writer.begin()) is None:
        return
    path = request.full_path.rstrip("?") if request.query_string else request.path
    fields = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"])
    transcript.request(request.method, path, fields, __version__)
    current.set(transcript)


def over(request: Request, counts: Counts) -> None:
    """Log and count a request that is over, however it ended. One that had no head of a response by then was
    given up by its client."""
    if (transcript := current.get()) is not None:
        transcript.end(log_id.get())
    facts = _facts(request)
    started = facts.get(_STARTED)
    if isinstance(started, float):
        status = cast("int", facts.get(_STATUS, CLIENT_LEFT))
        counts.add((str(status),))
        path = request.full_path.rstrip("?") if request.query_string else request.path
        log_access(
            logger, status, time.monotonic() - started, request.remote_addr or "", (request.method, path)
        )


def refused(request: Request, exc: HTTPException) -> Response:
    """Tell what the framework refused."""
    status = exc.code or 500
    if status in {404, 405}:
        remedy = _base_url(request.path)
        if not remedy and not request.path.startswith(API_PREFIXES):
            return Response(b"404 page not found", status=404, content_type="text/plain; charset=utf-8")
        message = f"There is no route {request.method} {request.path}.{remedy}"
        error: ProxyError = NotFound(message, code="not_found")
    else:
        kind = Kind.TOO_LARGE if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else Kind.INVALID_REQUEST
        error = ProxyError(exc.description or exc.name, kind=kind, status=status)
    return error_response(error, dialect_of_path(request.path))


def _base_url(path: str) -> str:
    """Say what is wrong with the base URL that made such a path: some packages add the version themselves."""
    if path.startswith(VERSIONED_TWICE):
        return " The base URL of this client has a version too many."
    return " The base URL of this client has to end in `/v1`." if f"/v1{path}" in VERSIONED else ""


def failed(request: Request, exc: Exception) -> Response:
    """Log a fault of ours, and say no more than that there was one."""
    request_id = request_id_of(request)
    logger.error("request failed request_id=%s path=%s", request_id, request.path, exc_info=exc)
    error = ProxyError(f"The server failed to handle the request (id {request_id}).", kind=Kind.INTERNAL)
    return error_response(error, dialect_of_path(request.path))


def request_id_of(request: Request) -> str:
    """Return the id given to a request when it came in."""
    return str(_facts(request).get(_REQUEST_ID, ""))


def dialect_of_path(path: str) -> Dialect:
    """Guess whose error shape a path without a route wants."""
    for dialect in DIALECTS:
        for endpoint in dialect.endpoints:
            fixed = endpoint.path.partition("{")[0].rstrip("/")
            if len(fixed) > len("/v1/models") and path.startswith(fixed):
                return dialect
    return by_id("gemini" if path.startswith("/v1beta/") else "openai")


def _facts(request: Request) -> dict[str, object]:
    return cast("dict[str, object]", request.scope)


def _allow_origin(world: World, request: Request, response: Response) -> None:
    origins = world.deps.snapshot().config.cors_allowed_origins
    origin = request.headers.get("Origin")
    if not origins or not origin or not ("*" in origins or origin in origins):
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
    response.headers["Vary"] = "Origin"
    response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    asked = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Headers"] = asked or "*, Authorization"
