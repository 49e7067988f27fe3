"""Sockets of this program's event loop, for the HTTP library to speak its protocol over.

The library has such an adapter of its own, the network backend, and takes another one in its place. Its own
opens a cancel scope, two context managers and a table of errors for every read and write, with or without a
time limit; for a stream that comes event by event that is a tenth of all the work. Here the caller's scope is
the limit, and one is opened only where the library asks for it.

The library also writes the head of a request and its body one after the other. That makes two packets, and
the upstream wakes up twice; here what is written waits until somebody wants to read.
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

JOINED_BYTES: Final = 256 * 1024
"""What is longer is not copied for being sent together."""
UNLIMITED_BYTES: Final = 8 * 1024
"""What the system takes at once: sending it needs no time limit, which costs more than sending."""
READ_BYTES: Final = 16 * 1024
"""How much is received at a time. Several layers keep what they were given last; where the client is slow,
that is as long as it takes."""
LOOK_S: Final = 0.005
"""How long it counts that nothing has come."""
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
    """A connection, plain or inside TLS, that sends what was written when somebody wants to read, in as few
    pieces as possible."""

    def __init__(self, stream: trio.SocketStream | TlsStream) -> None:
        self._stream = stream
        self._written = b""
        self._limit: float | None = None
        self._quiet_until = -inf
        self._is_assumed_quiet = False

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the library's name
        """Take bytes to be sent. Where it was only assumed that the other side is still there, nothing has
        been sent yet, and the pool takes another connection."""
        if self._is_assumed_quiet and self._look():
            raise httpcore2.ConnectionNotAvailable
        self._limit = timeout
        if len(self._written) + len(buffer) <= JOINED_BYTES:
            self._written += buffer
            return  # noqa: ASYNC910 - nothing is sent yet
        await self._send()
        await self._write(buffer)

    async def _send(self) -> None:
        written, self._written = self._written, b""
        await self._write(written)

    async def _write(self, data: bytes) -> None:
        try:
            if self._limit is None or len(data) <= UNLIMITED_BYTES:
                return await self._stream.send_all(data)
            with trio.fail_after(self._limit):
                return await self._stream.send_all(data)
        except trio.TooSlowError as exc:
            raise httpcore2.WriteTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.WriteError(str(exc)) from exc

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        """Send what waits, and receive; empty at the end."""
        if self._written:
            try:
                await self._send()
            except httpcore2.WriteError:
                # Who closes early may have answered before; that is there to be read.
                await trio.lowlevel.checkpoint()
        self._quiet_until = -inf
        most = min(max_bytes, READ_BYTES)
        try:
            if timeout is None:
                return bytes(await self._stream.receive_some(most))
            with trio.fail_after(timeout):
                return bytes(await self._stream.receive_some(most))
        except trio.TooSlowError as exc:
            raise httpcore2.ReadTimeout(str(exc)) from exc
        except _BROKEN as exc:
            raise httpcore2.ReadError(str(exc)) from exc

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
        return self._is_readable() if info == "is_readable" else None

    def _is_readable(self) -> bool:
        """Look, unless that was done a moment ago: the pool asks all that are idle with each request."""
        self._is_assumed_quiet = trio.current_time() < self._quiet_until
        return not self._is_assumed_quiet and self._look()

    def _look(self) -> bool:
        self._is_assumed_quiet = False
        stream = self._stream
        plain = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        is_readable = plain.socket.is_readable()
        self._quiet_until = -inf if is_readable else trio.current_time() + LOOK_S
        return is_readable


async def connect(host: str, port: int, limit: float | None, options: Iterable[SocketOption]) -> SocketStream:
    """Open a connection. Raises the library's errors."""
    with _connecting(limit):
        stream = await trio.open_tcp_stream(host, port)
    for option in options:
        stream.setsockopt(*option)
    return SocketStream(stream)
