"""The one handler of all generation endpoints.

The endpoint's dialect reads the body just far enough to route it; the exchange does the rest; errors and
answers are rendered in the same dialect. A streamed answer is started in the request's nursery and the
handler waits for its commit point, so that everything that goes wrong before the first byte is an ordinary
error response.
"""

from collections.abc import Collection, Mapping
from functools import partial

import trio
from attrs import evolve, frozen
from quart import Request, Response

from cliproxy.dialects.base import Action, ClientRequest, Dialect, Endpoint, Framing, PathFacts
from cliproxy.errors import BadRequest, DialectError, NotFound, ProxyError
from cliproxy.exchange.answer import answer_exchange, count_exchange, stream_exchange
from cliproxy.exchange.pump import StreamHead
from cliproxy.server.access import CREDENTIAL_HEADERS, KEY_QUERY, Client
from cliproxy.server.asgi import nursery_of
from cliproxy.server.blanks import with_blanks
from cliproxy.server.body import ChannelBody, read_form, read_json
from cliproxy.server.local import admit
from cliproxy.server.render import JSON_TYPE, SSE_TYPE, error_response, forwarded, json_response
from cliproxy.server.rules import request_id_of
from cliproxy.server.world import World, headers_of, query_of
from cliproxy.wire.formdata import is_form


@frozen
class Generate:
    """Serves one endpoint of a dialect."""

    world: World
    dialect: Dialect
    endpoint: Endpoint

    async def __call__(self, request: Request, path_arguments: dict[str, str]) -> Response:
        """Handle a request."""
        headers, query = headers_of(request), query_of(request)
        try:
            client = admit(self.world, request, headers, query, is_local=self.endpoint.is_local)
            facts = PathFacts(args=path_arguments, query=without(KEY_QUERY, query), headers=headers)
            wanted = await self._read(request, facts, client)
            if wanted.stream and wanted.action is not Action.COUNT:
                return await self._stream(request, client, wanted)
        except (DialectError, ProxyError) as exc:
            return self._refusal(exc)
        interval = self.world.blanks_s()
        if not interval:
            return await self._answer(client, wanted)
        return await with_blanks(nursery_of(request), interval, partial(self._answer, client, wanted))

    def _refusal(self, error: DialectError | ProxyError) -> Response:
        forget_frames(error)
        if isinstance(error, DialectError):
            error = BadRequest(error.message, param=error.param)
        return error_response(error, self.dialect)

    async def _read(self, request: Request, facts: PathFacts, client: Client) -> ClientRequest:
        wanted = await self._wanted(request, facts)
        if wanted.action is Action.IMAGE and not self.world.makes_images():
            raise NotFound("Images are switched off here (`disable-image-generation`).", code="not_found")
        return evolve(
            wanted,
            headers=without(CREDENTIAL_HEADERS, facts.headers),
            query=facts.query,
            request_id=request_id_of(request),
            client=client.name,
            client_id=client.id,
        )

    async def _wanted(self, request: Request, facts: PathFacts) -> ClientRequest:
        limit = self.world.body_limit()
        if self.endpoint.read_form is not None and is_form(request.headers.get("Content-Type", "")):
            return self.endpoint.read_form(await read_form(request, limit), facts)
        return self.endpoint.read(await read_json(request, limit), facts)

    async def _answer(self, client: Client, wanted: ClientRequest) -> Response:
        exchange = count_exchange if wanted.action is Action.COUNT else answer_exchange
        try:
            with self.world.serving(client, wanted) as deps:
                answer = await exchange(wanted, deps)
        except (DialectError, ProxyError) as exc:
            return self._refusal(exc)
        headers = forwarded(answer.veil.headers(answer.headers)) if self.world.passes_headers() else {}
        return json_response(answer.body, answer.status, headers)

    async def _pump(  # noqa: ASYNC128 - the task status is handed on
        self, client: Client, wanted: ClientRequest, *, task_status: trio.TaskStatus[StreamHead]
    ) -> None:
        """Run a streamed exchange; its place is held to the end of the stream."""
        with self.world.serving(client, wanted) as deps:
            await stream_exchange(wanted, deps, task_status=task_status)

    async def _stream(self, request: Request, client: Client, wanted: ClientRequest) -> Response:
        head = await nursery_of(request).start(self._pump, client, wanted, name=f"pump {wanted.request_id}")
        headers = forwarded(head.veil.headers(head.headers)) if self.world.passes_headers() else {}
        response = Response(b"", headers=headers)
        is_array = wanted.framing is Framing.JSON_ARRAY
        response.content_type = JSON_TYPE if is_array else SSE_TYPE
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Accel-Buffering"] = "no"
        del response.headers["Content-Length"]
        response.response = body = ChannelBody(head.body)
        sign = b"\n" if is_array else head.keepalive
        if sign and (interval := self.world.keepalive_s()) > 0:
            nursery_of(request).start_soon(body.keep_alive, head.way, sign, interval, name="signs of life")
        return response


def forget_frames(error: BaseException | None) -> None:
    """Let go of the places an error has come through: they hold the request, which may be large, and often
    the error itself, so that both would wait for the garbage collector."""
    seen = set[int]()
    # What was kept and raised again may lead back to itself.
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def without(names: Collection[str], values: Mapping[str, str]) -> dict[str, str]:
    """Return what has none of some names."""
    return {name: value for name, value in values.items() if name not in names}
