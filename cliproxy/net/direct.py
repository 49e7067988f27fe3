"""Calls that no proxy has a part in: nearly all, and therefore by the short way.

The HTTP library comes in two layers. The upper one is a client for people: it builds and merges objects for
each request. The lower one keeps connections and speaks the protocol, and takes a request as it is; using it
alone costs half as much. Both share their kinds of error, which :mod:`cliproxy.net.faults` reads.

The library writes the head of a request and its body one after the other. That makes two packets, and the
upstream wakes up twice; :class:`JoinedStream` lets what is written wait until somebody wants to read. It is
put in by the library's own socket for such things, the network backend.
"""

import ssl
from collections.abc import Iterable
from typing import Final

import httpcore2
import trio
from attrs import frozen

from cliproxy.net.faults import no_answer
from cliproxy.net.sockets import SocketOption, connect
from cliproxy.wire.http import HttpCall

SEND_LIMIT_S: Final = 60.0
JOINED_BYTES: Final = 256 * 1024
"""What is longer is not copied for being sent together."""
UNLIMITED_BYTES: Final = 8 * 1024
"""What the system takes at once: sending it needs no time limit, which costs more than sending."""
READ_BYTES: Final = 16 * 1024
"""How much is received at a time. Several layers keep what they were given last; where the client is slow,
that is as long as it takes."""
MAX_IDLE: Final = 20
IDLE_S: Final = 90.0


@frozen(kw_only=True)
class Target:
    """Where a URL leads, as the library wants to have it."""

    url: httpcore2.URL
    authority: str
    """Value of the ``Host`` field."""

    @property
    def host(self) -> str:
        """The host, as errors name it."""
        return self.url.host.decode("ascii")


class JoinedStream(httpcore2.AsyncNetworkStream):
    """A stream that sends what was written when somebody reads, in as few pieces as possible."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._written = b""
        self._limit: float | None = None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the library's name
        """Take bytes to be sent."""
        self._limit = timeout
        if len(self._written) + len(buffer) <= JOINED_BYTES:
            self._written += buffer
            return  # noqa: ASYNC910 - nothing is sent yet
        await self._send()
        await self._stream.write(buffer, timeout)

    async def _send(self) -> None:
        written, self._written = self._written, b""
        limit = self._limit if len(written) > UNLIMITED_BYTES else None
        await self._stream.write(written, limit)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Send what waits, and receive."""
        if self._written:
            try:
                await self._send()
            except httpcore2.WriteError:
                # Who closes early may have answered before; that is there to be read.
                await trio.lowlevel.checkpoint()
        return await self._stream.read(min(max_bytes, READ_BYTES), timeout)

    async def aclose(self) -> None:
        """Close; what was not sent is of no use any more."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Go on inside TLS."""
        return JoinedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> object:
        """Return facts about the stream below."""
        return self._stream.get_extra_info(info)


class JoiningBackend(httpcore2.TrioBackend):
    """Makes connections whose writes are joined."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect; nobody has asked for an address of our own."""
        assert local_address is None
        return JoinedStream(await connect(host, port, timeout, socket_options or ()))


class DirectConnections:
    """The library's pool of connections, for calls that need no client around it."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=IDLE_S,
            network_backend=JoiningBackend(),
        )

    async def ask(
        self, call: HttpCall, target: Target, fields: list[tuple[bytes, bytes]]
    ) -> httpcore2.Response:
        """Send a call and return its answer when the head has come; it has to be closed.

        Raises the library's errors, and :class:`~cliproxy.errors.TransportError` when the first byte is late.
        """
        limits = {"connect": call.limits.connect, "read": None, "write": SEND_LIMIT_S, "pool": None}
        request = httpcore2.Request(
            call.method, target.url, headers=fields, content=call.body, extensions={"timeout": limits}
        )
        first_byte = call.limits.first_byte
        if first_byte is None:
            return await self._pool.handle_async_request(request)
        with trio.move_on_after(first_byte):
            return await self._pool.handle_async_request(request)
        raise no_answer(target.host, first_byte)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
