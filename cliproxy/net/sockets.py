"""Sockets of this program's event loop, for the HTTP library to speak its protocol over.

The library has such an adapter of its own, the network backend, and takes another one in its place. Its own
opens a cancel scope, two context managers and a table of errors for every read and write, with or without a
time limit; for a stream that comes event by event that is a tenth of all the work. Here the caller's scope is
the limit, and one is opened only where the library asks for it.
"""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import httpcore2
import trio

SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
TlsStream = trio.SSLStream[trio.SocketStream]

_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


@contextmanager
def _connecting(limit: float | None) -> Iterator[None]:
    """Raise what goes wrong meanwhile as the library's errors."""
    try:
        with trio.fail_after(inf if limit is None else limit):
            yield
    except trio.TooSlowError as exc:
        raise httpcore2.ConnectTimeout(str(exc)) from exc
    except (OSError, *_BROKEN) as exc:
        raise httpcore2.ConnectError(str(exc)) from exc


class SocketStream(httpcore2.AsyncNetworkStream):
    """A connection, plain or inside TLS."""

    def __init__(self, stream: trio.SocketStream | TlsStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's name
        """Receive; empty at the end."""
        try:
            if timeout is None:
                return bytes(await self._stream.receive_some(max_bytes))
            with trio.fail_after(timeout):
                return bytes(await self._stream.receive_some(max_bytes))
        except trio.TooSlowError as exc:
            raise httpcore2.ReadTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.ReadError(str(exc)) from exc

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send all of it."""
        try:
            if timeout is None:
                return await self._stream.send_all(buffer)
            with trio.fail_after(timeout):
                return await self._stream.send_all(buffer)
        except trio.TooSlowError as exc:
            raise httpcore2.WriteTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.WriteError(str(exc)) from exc

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Go on inside TLS. A handshake that fails closes the connection."""
        assert isinstance(self._stream, trio.SocketStream), "there is no TLS inside TLS without a proxy"
        stream = TlsStream(self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True)
        shaken = False
        try:
            with _connecting(timeout):
                await stream.do_handshake()
            shaken = True
        finally:
            if not shaken:
                await trio.aclose_forcefully(self._stream)
        return SocketStream(stream)

    def get_extra_info(self, info: str) -> object:
        """Return what the library's pool asks for: whether the other side has closed, or said something,
        while nothing was asked of it."""
        if info != "is_readable":
            return None
        stream = self._stream
        return (
            stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        ).socket.is_readable()


async def connect(host: str, port: int, limit: float | None, options: Iterable[SocketOption]) -> SocketStream:
    """Open a connection. Raises the library's errors."""
    with _connecting(limit):
        stream = await trio.open_tcp_stream(host, port)
    for option in options:
        stream.setsockopt(*option)
    return SocketStream(stream)
