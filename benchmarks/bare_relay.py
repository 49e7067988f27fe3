"""The yardstick: the least that a relay on this stack can do.

hypercorn with its trio worker, a plain ASGI application, one shared httpx2 client; the same versions and, as
far as the libraries have them, the same settings as the server's. No framework, no routing, no keys, no
translation, no log. Each upstream read becomes one ASGI message. What the server costs beyond this is ours.

``python -m benchmarks.bare_relay http://127.0.0.1:PORT`` relays to that upstream; it prints its address and
serves until it is stopped or its standard input ends.
"""

import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2 as httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

BACKLOG: Final = 1024
IDLE_CONNECTIONS: Final = 20
KEEPALIVE_S: Final = 75.0
NO_LIMIT: Final = 2**31 - 1
CARRIED: Final = (b"content-type", b"authorization")


def relay_to(base: str, client: httpx.AsyncClient) -> Handler:
    """Return the application."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        request = client.build_request(
            "POST",
            f"{base}{scope['path']}{query}",
            headers=[(name, value) for name, value in scope["headers"] if name in CARRIED],
            content=await body_of(receive),
        )
        async with opened(client, request) as response:
            if "content-length" in response.headers:
                await answer_whole(response, send)
            else:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(leave_with_client, receive, nursery.cancel_scope)
                    await answer_stream(response, send)
                    nursery.cancel_scope.cancel()

    return app


async def live(receive: Receive, send: Send) -> None:
    """Take part in the server's start and stop."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def body_of(receive: Receive) -> bytes:
    """Read a request's body."""
    pieces: list[bytes] = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


@asynccontextmanager
async def opened(client: httpx.AsyncClient, request: httpx.Request) -> AsyncIterator[httpx.Response]:
    """Send a request and hold its response."""
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        with trio.move_on_after(2, shield=True):
            await response.aclose()


async def leave_with_client(receive: Receive, scope: trio.CancelScope) -> None:
    """Give the upstream up when the client is gone: without this a stream would outlive its reader."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def head_of(response: httpx.Response) -> dict[str, Any]:
    """Return the message that begins an answer."""
    names = ("content-type", "content-length")
    headers = [(name.encode(), response.headers[name].encode()) for name in names if name in response.headers]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


async def answer_whole(response: httpx.Response, send: Send) -> None:
    """Hand on a response in one piece."""
    body = await response.aread()
    await send(head_of(response))
    await send({"type": "http.response.body", "body": body})


async def answer_stream(response: httpx.Response, send: Send) -> None:
    """Hand on a response read by read."""
    await send(head_of(response))
    async for data in response.aiter_raw():
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def settings(listener: socket.socket) -> Config:
    """Return what the server sets, too."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.graceful_timeout = 1.0
    config.keep_alive_timeout = KEEPALIVE_S
    config.keep_alive_max_requests = NO_LIMIT
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    return config


async def main(base: str) -> None:
    """Serve on a free port of the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS, keepalive_expiry=KEEPALIVE_S
    )

    async def stopped() -> None:
        await trio.lowlevel.wait_readable(sys.stdin)

    async with httpx.AsyncClient(limits=limits, timeout=None) as client:
        print(f"bare relay on {address}", flush=True)
        await serve(relay_to(base, client), settings(listener), shutdown_trigger=stopped, mode="asgi")  # type: ignore[arg-type]  # its ASGI types are closed dictionaries


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
