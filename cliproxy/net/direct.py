"""Calls that no proxy has a part in: nearly all, and therefore by the short way.

The HTTP library comes in two layers. The upper one is a client for people: it builds and merges objects for
each request. The lower one keeps connections and speaks the protocol, and takes a request as it is; using it
alone costs half as much. Both share their kinds of error, which :mod:`cliproxy.net.faults` reads.

The connections are those of :mod:`cliproxy.net.sockets`, put in by the library's own means for such things,
the network backend.
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


class Backend(httpcore2.TrioBackend):
    """Makes connections of our own."""

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
        return await connect(host, port, timeout, socket_options or ())


class DirectConnections:
    """The library's pool of connections, for calls that need no client around it."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            max_keepalive_connections=MAX_IDLE,
            keepalive_expiry=IDLE_S,
            network_backend=Backend(),
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
