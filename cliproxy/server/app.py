"""The application: routes from the dialects' records, a few pages of its own, and the rules that hold for all
of them.

Routes that nobody declared are answered 404, also for a known path with the wrong method. Every response
carries the request id. ``OPTIONS`` is answered with 204 everywhere; cross-origin headers are sent only to
origins the owner allows.
"""

import logging
import re
import secrets
import time
from collections import defaultdict
from http import HTTPStatus
from typing import Final, cast

from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from cliproxy import __version__
from cliproxy.config.model import Config
from cliproxy.dialects import DIALECTS
from cliproxy.dialects.base import Dialect
from cliproxy.errors import Kind, LimitExceeded, NotFound, ProxyError
from cliproxy.observe.access import access_line
from cliproxy.observe.logs import request_id as log_id
from cliproxy.server.access import KeyRing
from cliproxy.server.asgi import HttpConnection
from cliproxy.server.generate import Generate
from cliproxy.server.listing import ShowModels
from cliproxy.server.render import error_response, json_response
from cliproxy.server.world import Gate, World, new_request_id
from cliproxy.service.service import Service

logger = logging.getLogger(__name__)

API_PREFIXES: Final = ("/v1/", "/v1beta/", "/v1internal:")
ALLOWED_METHODS: Final = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
_ARGUMENT: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")
REQUEST_ID: Final = "cliproxy.request_id"
STARTED: Final = "cliproxy.started"


class App(QuartTrio):
    """Quart-Trio with our connection class."""

    asgi_http_class = HttpConnection


def create_app(world: World) -> App:
    """Build the application around a service."""
    app = App("cliproxy", static_folder=None)
    app.config["RESPONSE_TIMEOUT"] = None
    app.config["BODY_TIMEOUT"] = world.deps.snapshot().config.timeouts.body_seconds
    app.config["MAX_CONTENT_LENGTH"] = world.body_limit()
    app.url_map.strict_slashes = False
    _add_generation(app, world)
    _add_lists(app, world)
    _add_pages(app, world)
    _add_rules(app, world)
    return app


def rule_of(path: str) -> str:
    """Turn an endpoint's path into the framework's spelling: ``{name:path}`` → ``<path:name>``."""
    return _ARGUMENT.sub(lambda match: f"<{match[2]}:{match[1]}>" if match[2] else f"<{match[1]}>", path)


def _add_generation(app: App, world: World) -> None:
    for dialect in DIALECTS:
        for number, endpoint in enumerate(dialect.endpoints):
            app.add_url_rule(
                rule_of(endpoint.path),
                endpoint=f"{dialect.id}-{number}",
                view_func=Generate(world, dialect, endpoint).__call__,
                methods=[endpoint.method],
                provide_automatic_options=False,
            )


def _add_lists(app: App, world: World) -> None:
    sharing: dict[str, list[Dialect]] = defaultdict(list)
    for dialect in DIALECTS:
        for path in dialect.models.paths if dialect.models is not None else ():
            sharing[path].append(dialect)
    for path, dialects in sharing.items():
        # The dialect whose claim is unconditional is asked last.
        ordered = sorted(dialects, key=lambda d: d.models is not None and d.models.claims({}, {}))
        shown = ShowModels(world, tuple(ordered))
        for rule, view in ((path, shown.every), (f"{path}/<path:model>", shown.one)):
            app.add_url_rule(
                rule,
                endpoint=f"models-{rule}",
                view_func=view,
                methods=["GET", "HEAD"],
                provide_automatic_options=False,
            )


def _add_pages(app: App, world: World) -> None:
    async def banner() -> Response:
        endpoints = [
            f"{endpoint.method} {endpoint.path}" for dialect in DIALECTS for endpoint in dialect.endpoints
        ]
        return json_response(
            {
                "message": "CLI Proxy API Server",
                "server": "cliproxy",
                "version": world.version,
                "endpoints": [*endpoints, "GET /v1/models", "GET /v1beta/models"],
            }
        )

    async def healthy() -> Response:
        return json_response({"status": "ok"})

    async def ready() -> Response:
        is_ready = world.is_ready()
        return json_response({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)

    async def telemetry() -> Response:
        return json_response({"status": "ok"})

    pages = (("/", banner), ("/healthz", healthy), ("/readyz", ready))
    for path, page in pages:
        app.add_url_rule(path, view_func=page, methods=["GET", "HEAD"], provide_automatic_options=False)
    # Claude Code reports usage here; it is accepted and forgotten.
    app.add_url_rule("/api/event_logging/batch", view_func=telemetry, methods=["POST"])


def dialect_of_path(path: str) -> Dialect:
    """Guess whose error shape a path without a route wants."""
    by_id = {dialect.id: dialect for dialect in DIALECTS}
    for dialect in DIALECTS:
        for endpoint in dialect.endpoints:
            fixed = endpoint.path.partition("{")[0].rstrip("/")
            if len(fixed) > len("/v1/models") and path.startswith(fixed):
                return dialect
    return by_id["gemini"] if path.startswith("/v1beta/") else by_id["openai"]


def _add_rules(app: App, world: World) -> None:
    @app.before_request
    async def begin() -> Response | None:
        scope = request.scope
        scope[REQUEST_ID] = new_request_id(request.headers.get("X-Request-Id"))  # type: ignore[typeddict-unknown-key]  # the scope is open
        log_id.set(secrets.token_hex(4))
        scope[STARTED] = time.monotonic()  # type: ignore[typeddict-unknown-key]  # the scope is open
        size = sum(len(name) + len(value) for name, value in request.headers.items())
        limit = world.deps.snapshot().config.limits.header_kb
        if size > limit * 1024:
            error = LimitExceeded(f"the request headers exceed the limit of {limit} KB", status=431)
            return error_response(error, dialect_of_path(request.path))
        return Response(b"", status=204) if request.method == "OPTIONS" else None

    @app.after_request
    async def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = request.scope.get(REQUEST_ID, "")
        _allow_origin(world, response)
        seconds = time.monotonic() - cast("float", request.scope.get(STARTED, time.monotonic()))
        logger.info(
            access_line(
                response.status_code,
                seconds,
                request.remote_addr or "",
                request.method,
                request.full_path.rstrip("?"),
            )
        )
        return response

    @app.errorhandler(HTTPException)
    async def refused(exc: HTTPException) -> Response:
        if has_websocket_context():
            return _no_websocket()
        status = exc.code or 500
        if status in {404, 405}:
            if not request.path.startswith(API_PREFIXES):
                return Response(b"404 page not found", status=404, content_type="text/plain; charset=utf-8")
            error: ProxyError = NotFound(
                f"There is no route {request.method} {request.path}.", code="not_found"
            )
        else:
            kind = Kind.TOO_LARGE if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else Kind.INVALID_REQUEST
            error = ProxyError(exc.description or exc.name, kind=kind, status=status)
        return error_response(error, dialect_of_path(request.path))

    @app.errorhandler(Exception)
    async def failed(exc: Exception) -> Response:
        request_id = request.scope.get(REQUEST_ID, "")
        logger.exception("request failed request_id=%s path=%s", request_id, request.path, exc_info=exc)
        error = ProxyError(f"The server failed to handle the request (id {request_id}).", kind=Kind.INTERNAL)
        return error_response(error, dialect_of_path(request.path))


def _no_websocket() -> Response:
    """Refuse a websocket, of which there is none, with the status that makes Codex use HTTP at once."""
    error = ProxyError("There are no websockets here; send the request with POST.", status=426)
    return error_response(error, dialect_of_path(websocket.path))


def _allow_origin(world: World, response: Response) -> None:
    origins = world.deps.snapshot().config.cors_allowed_origins
    origin = request.headers.get("Origin")
    if not origins or not origin or not ("*" in origins or origin in origins):
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
    response.headers["Vary"] = "Origin"
    response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
    asked = request.headers.get("Access-Control-Request-Headers", "")
    response.headers["Access-Control-Allow-Headers"] = asked or "*, Authorization"


def app_for(service: Service) -> App:
    """Build the application of a service."""
    return create_app(
        World(
            deps=service.deps(),
            keys=RingOf(service),
            gate=Gate(lambda: _bounds(service.config)),
            is_ready=service.is_ready,
            is_usable=service.is_usable,
            version=__version__,
        )
    )


def _bounds(config: Config) -> tuple[int, int]:
    return config.limits.concurrent_requests, config.limits.concurrent_requests_per_key


class RingOf:
    """The key ring of the current configuration, remade only when the keys have changed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys: object = None
        self._ring = KeyRing(())

    def __call__(self) -> KeyRing:
        """Return the ring."""
        keys = self._service.config.api_keys
        if keys is not self._keys:
            self._keys, self._ring = keys, KeyRing(keys)
        return self._ring
