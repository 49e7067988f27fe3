"""The application: routes from the dialects' records, and a few pages of its own.

Routes that nobody declared are answered 404, also for a known path with the wrong method. Every response
carries the request id. ``OPTIONS`` is answered with 204 everywhere; cross-origin headers are sent only to
origins the owner allows.

Requests for generation, nearly all the traffic, go straight to their handlers: :class:`App` finds the route
in the framework's own table, and the same rules hold (:mod:`cliproxy.server.rules`), but the contexts,
signals and sessions that the framework prepares for each request are not made, as nobody looks at them.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import Final

from quart import Request, Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter
from werkzeug.wrappers import Response as WerkzeugResponse

from cliproxy import __version__
from cliproxy.config.model import Config
from cliproxy.dialects import DIALECTS
from cliproxy.dialects.base import Dialect
from cliproxy.errors import ProxyError
from cliproxy.server import rules
from cliproxy.server.access import KeyRing
from cliproxy.server.asgi import HttpConnection
from cliproxy.server.generate import Generate
from cliproxy.server.listing import ShowModels
from cliproxy.server.monitor import Monitor, queues
from cliproxy.server.render import error_response, json_response
from cliproxy.server.sidecalls import AnswerHere
from cliproxy.server.world import MEGABYTE, Gate, World
from cliproxy.service.metrics import Metrics
from cliproxy.service.readiness import details, obstacles
from cliproxy.service.service import Service

_ARGUMENT: Final = re.compile(r"\{(\w+)(?::(\w+))?\}")

Handler = Callable[[Request, dict[str, str]], Awaitable[Response]]


class App(QuartTrio):
    """Quart-Trio with our connection class, and a short way for what most requests want."""

    asgi_http_class = HttpConnection

    def __init__(self, world: World) -> None:
        super().__init__("cliproxy", static_folder=None)
        self._world = world
        self._short: dict[str, Handler] = {}
        """Handlers that need nothing of the framework, by the names of their endpoints."""
        self._fixed: dict[tuple[str, str], Handler] = {}
        """Those of paths without anything variable, by method and path: there is nothing to be matched."""

    def set_bounds(self, config: Config) -> None:
        """Bound the bodies of requests; the framework wants to know before it has one."""
        self.config["BODY_TIMEOUT"] = config.timeouts.body_seconds
        self.config["MAX_CONTENT_LENGTH"] = config.limits.body_mb * MEGABYTE

    @cached_property
    def _table(self) -> MapAdapter:
        """The framework's routes, bound to any host once and for all; it would do this for every request."""
        return self.url_map.bind("")

    def add_short_way(self, path: str, name: str, method: str, handler: Handler) -> None:
        """Add a route whose handler is called without the framework's contexts."""

        async def view(**arguments: str) -> Response:
            return await handler(request, arguments)

        self._short[name] = handler
        if "<" not in path:
            self._fixed[method, path] = handler
        self.add_url_rule(
            path, endpoint=name, view_func=view, methods=[method], provide_automatic_options=False
        )

    async def handle_request(self, request: Request) -> Response | WerkzeugResponse:
        """Answer a request: by the short way if there is one, else as the framework does."""
        found = self._find(request)
        if found is None:
            return await super().handle_request(request)
        handler, arguments = found
        try:
            response = rules.begin(self._world, request) or await handler(request, arguments)
        except HTTPException as exc:
            response = rules.refused(request, exc)
        except Exception as exc:
            response = rules.failed(request, exc)
        return rules.end(self._world, request, response)

    def _find(self, request: Request) -> tuple[Handler, dict[str, str]] | None:
        if fixed := self._fixed.get((request.method, request.path)):
            return fixed, {}
        try:
            name, arguments = self._table.match(request.path, request.method)
        except HTTPException:
            return None
        handler = self._short.get(name)
        return None if handler is None else (handler, dict(arguments))


def create_app(world: World) -> App:
    """Build the application around a service."""
    app = App(world)
    app.config["RESPONSE_TIMEOUT"] = None
    app.config[rules.COUNTS] = world.responses
    app.set_bounds(world.deps.snapshot().config)
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
            handler = Generate(world, dialect, endpoint)
            app.add_short_way(rule_of(endpoint.path), f"{dialect.id}-{number}", endpoint.method, handler)
        for call in dialect.side_calls:
            app.add_short_way(
                call.path, f"{dialect.id}-{call.path}", call.method, AnswerHere(world, dialect, call)
            )


def _add_lists(app: App, world: World) -> None:
    sharing = defaultdict[str, list[Dialect]](list)
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

    async def telemetry() -> Response:
        return json_response({"status": "ok"})

    monitor = Monitor(world)
    pages = (
        ("/", banner),
        ("/healthz", monitor.alive),
        ("/readyz", monitor.ready),
        ("/metrics", monitor.metrics),
    )
    for path, page in pages:
        app.add_url_rule(path, view_func=page, methods=["GET", "HEAD"], provide_automatic_options=False)
    # Claude Code reports usage here; it is accepted and forgotten.
    app.add_url_rule("/api/event_logging/batch", view_func=telemetry, methods=["POST"])


def _add_rules(app: App, world: World) -> None:
    @app.before_request
    async def begin() -> Response | None:
        return rules.begin(world, request)

    @app.after_request
    async def end(response: Response) -> Response:
        return rules.end(world, request, response)

    @app.errorhandler(HTTPException)
    async def refused(exc: HTTPException) -> Response:
        return _no_websocket() if has_websocket_context() else rules.refused(request, exc)

    @app.errorhandler(Exception)
    async def failed(exc: Exception) -> Response:
        return rules.failed(request, exc)


def _no_websocket() -> Response:
    """Refuse a websocket, of which there is none, with the status that makes Codex use HTTP at once."""
    error = ProxyError("There are no websockets here; send the request with POST.", status=426)
    return error_response(error, rules.dialect_of_path(websocket.path))


def app_for(service: Service) -> App:
    """Build the application of a service."""
    metrics = Metrics(service)
    service.listeners.append(metrics.take)
    world = World(
        deps=service.deps(),
        keys=RingOf(service),
        gate=Gate(lambda: _bounds(service.config)),
        obstacles=partial(obstacles, service),
        is_usable=service.is_usable,
        client_keys=service.client_keys,
        version=__version__,
        details=partial(details, service),
        figures=metrics.families,
    )
    service.figures.append(partial(queues, world))
    app = create_app(world)
    app.config[rules.SCRIBE] = lambda: service.scribe
    service.on_config.append(app.set_bounds)
    return app


def _bounds(config: Config) -> tuple[int, int]:
    return config.limits.concurrent_requests, config.limits.concurrent_requests_per_key


class RingOf:
    """The key ring of the current configuration, remade only when the keys have changed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys: tuple[object, object] = (None, None)
        self._ring = KeyRing(())

    def __call__(self) -> KeyRing:
        """Return the ring."""
        config = self._service.config
        plain, entries = self._keys
        if config.api_keys is not plain or config.client_keys is not entries:
            self._keys = config.api_keys, config.client_keys
            self._ring = KeyRing(config.api_keys, config.client_keys)
        return self._ring
