"""Pages for whoever looks after the server: is it alive, is it ready and why not, what has it done.

Anybody may ask whether the server lives and is ready: load balancers have no keys. Numbers of accounts, names
of files and figures are for programs on this machine and for holders of a client key.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from attrs import frozen
from quart import Response, request

from cliproxy.dialects import by_id
from cliproxy.errors import NotFound, ProxyError
from cliproxy.observe.metrics import Family, counter, exposition, gauge
from cliproxy.server.local import admit_observer
from cliproxy.server.render import error_response, json_response
from cliproxy.server.world import World, headers_of, query_of
from cliproxy.wire.jsontext import JsonObject

UNAVAILABLE: Final = 503


@frozen
class Monitor:
    """Answers the pages."""

    world: World

    async def alive(self) -> Response:
        """Say that the process answers."""
        return json_response({"status": "ok"})

    async def ready(self) -> Response:
        """Say whether requests can be served, and if not, why."""
        reasons = self.world.obstacles()
        body = self._state_in_short(reasons)
        with suppress(ProxyError):
            self._admit()
            body |= self.world.details()
        return json_response(body, UNAVAILABLE if reasons else 200)

    def _state_in_short(self, reasons: Sequence[str]) -> JsonObject:
        return {"status": "not ready" if reasons else "ready", "reasons": [*reasons]}

    async def metrics(self) -> Response:
        """Show the figures."""
        if not self.world.shows_metrics():
            error = NotFound("Metrics are switched off here (`metrics.enable`).", code="not_found")
            return error_response(error, by_id("openai"))
        try:
            self._admit()
        except ProxyError as exc:
            return error_response(exc, by_id("openai"))
        families, accept = self.world.figures(), request.headers.get("Accept", "")
        content_type, text = await trio.to_thread.run_sync(exposition, families, accept)
        return Response(text, content_type=content_type)

    def _admit(self) -> None:
        admit_observer(self.world, request, headers_of(request), query_of(request))


def queues(world: World) -> tuple[Family, ...]:
    """Return how many requests are served, how many of them wait for an account, and how all have ended."""
    what = "Finished requests of all kinds, also of those that nobody let in."
    return (
        counter("cliproxy_responses", what, ("status",), dict(world.responses.values)),
        gauge("cliproxy_requests_in_flight", "Requests for a model that are served now.", len(world.gate)),
        gauge("cliproxy_requests_waiting", "Those that wait for a place.", len(world.deps.places)),
    )
