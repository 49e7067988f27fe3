"""An in-memory ASGI client: no sockets, so it works with the clock that jumps.

The framework's own test client waits for ever when a client leaves in mid-stream, and the HTTP library's
transport collects whole bodies; both are what our tests are about.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field
from hypercorn.typing import ASGIFramework


@define(eq=False)
class Response:
    """An answer as it arrives."""

    status: int
    headers: dict[str, str]
    messages: trio.MemoryReceiveChannel[bytes] = field(repr=False)
    leave: trio.Event = field(repr=False)
    sent: list[bytes] = field(factory=list)
    """The messages received so far: what one write to the connection would be."""
    is_complete: bool = False
    """Whether the application ended its answer, rather than break off."""

    async def read(self) -> bytes:
        """Return the whole body."""
        async for piece in self.messages:
            self.sent.append(piece)
        return b"".join(self.sent)

    async def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(await self.read())


@define(eq=False)
class Client:
    """Calls an application."""

    app: ASGIFramework
    nursery: trio.Nursery
    peer: str = "127.0.0.1"
    """The address the connection comes from."""
    _answers: list[trio.MemoryReceiveChannel[bytes]] = field(factory=list, init=False)

    def hang_up(self) -> None:
        """Read nothing more of any answer. What is sent from now on is lost, as on a closed connection."""
        for messages in self._answers:
            messages.close()

    async def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, object] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return once the head of the answer is there."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"host": "test", **({} if isinstance(body, bytes) else {"content-type": "application/json"})}
        given |= {name.lower(): value for name, value in (headers or {}).items()}
        response: Response = await self.nursery.start(self._run, method, path, raw, given)
        return response

    async def _run(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        task_status: trio.TaskStatus[Response],
    ) -> None:
        send, messages = trio.open_memory_channel[bytes](0)
        self._answers.append(messages)
        leave = trio.Event()
        requests = [{"type": "http.request", "body": body, "more_body": False}]
        responses: list[Response] = []

        async def receive() -> Any:
            if requests:
                return requests.pop()
            await leave.wait()
            return {"type": "http.disconnect"}

        async def forward(message: Any) -> None:
            if message["type"] == "http.response.start":
                fields = {k.decode().lower(): v.decode() for k, v in message["headers"]}
                responses.append(Response(message["status"], fields, messages, leave))
                task_status.started(responses[0])
                return
            if message["body"]:
                with contextlib.suppress(trio.BrokenResourceError):
                    await send.send(message["body"])
            if not message["more_body"]:
                responses[0].is_complete = True
                send.close()
                leave.set()
                await trio.lowlevel.checkpoint()

        path_only, _, query = path.partition("?")
        scope: Any = {
            "type": "http",
            "asgi": {"spec_version": "2.3", "version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path_only,
            "raw_path": path_only.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": (self.peer, 1234),
            "server": ("test", 80),
            "extensions": {},
            "state": {},
        }
        with send:
            await self.app(scope, receive, forward)


@asynccontextmanager
async def client_of(app: ASGIFramework, peer: str = "127.0.0.1") -> AsyncIterator[Client]:
    """Offer a client; whatever is still running at the end is cancelled."""
    async with trio.open_nursery() as nursery:
        client = Client(app, nursery, peer)
        try:
            yield client
        finally:
            client.hang_up()
            nursery.cancel_scope.cancel()
