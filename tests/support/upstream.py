"""A small HTTP server on a real socket, which answers with whatever a test wants, HTTP or not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

Handler = Callable[[trio.SocketStream, bytes], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Reads one request a connection at a time and answers with a handler."""

    def __init__(self, handler: Handler, port: int) -> None:
        self.handler = handler
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            try:
                while True:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        piece = await stream.receive_some(65536)
                        if not piece:
                            return
                        head += piece
                    self.requests.append(head)
                    await self.handler(stream, head)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            finally:
                self.gone.set()


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    """Run a server on a free port."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Server(handler, listener.socket.getsockname()[1])
        nursery.start_soon(partial(trio.serve_listeners, server.serve, [listener]))
        yield server
        nursery.cancel_scope.cancel()


def sends(*pieces: bytes, then_close: bool = False) -> Handler:
    """Answer every request with these pieces, each a packet of its own."""

    async def handler(stream: trio.SocketStream, _head: bytes) -> None:
        for piece in pieces:
            await stream.send_all(piece)
        if then_close:
            await stream.aclose()

    return handler


def body(content: bytes, *headers: bytes) -> bytes:
    """A complete answer."""
    return (
        OK
        + b"".join(header + b"\r\n" for header in headers)
        + b"content-length: %d\r\n\r\n" % len(content)
        + content
    )
