"""HTTP/1.1 over connections of our own, for upstreams that are reached without a proxy.

Nearly all calls are of this kind, and the general client is dear: for each request it builds and merges
objects of three layers and asks a pool that looks at all its connections, and each piece of a body climbs
through six generators. Nothing of that is needed here. h11 knows the protocol, trio the sockets; this module
keeps connections and moves bytes between the two, in a quarter of the time.

Three things a reader may wonder about:

* head and body of a request leave in one piece, and :meth:`Connection.read` returns everything that has
  arrived, however many chunks the upstream has cut it into: an upstream that flushes every event costs one
  step of the pump for each packet, not for each event;
* an idle connection that has become readable was closed by the upstream, or is out of step; either way it is
  not used again. One that is closed in the very moment it is used fails the call, as it would anywhere;
* closing never waits, so that nothing here needs a limit for cleaning up. Over TLS this leaves out the
  farewell, which tells the other side only what the end of the connection tells it, too.
"""

import ssl
from collections.abc import Iterable
from math import inf
from typing import Final

import h11
import trio
from attrs import frozen

from cliproxy.errors import TransportError
from cliproxy.net.faults import (
    CONNECT_FAILED,
    CONNECT_SLOW,
    ILLEGAL,
    NOT_HTTP,
    READ_FAILED,
    SEND_SLOW,
    no_answer,
    transport_error,
)
from cliproxy.wire.http import Headers, HttpCall

MAX_HEAD_BYTES: Final = 100 * 1024
READ_BYTES: Final = 64 * 1024
JOINED_BYTES: Final = 256 * 1024
"""A longer body is not copied for being sent together with the head."""
SEND_LIMIT_S: Final = 60.0
MAX_IDLE: Final = 20
IDLE_S: Final = 90.0

_BROKEN: Final = (trio.BrokenResourceError, trio.ClosedResourceError)

Origin = tuple[bool, str, int]
"""What a connection can be used again for: TLS or not, host, port."""


@frozen(kw_only=True)
class Target:
    """Where a URL leads, and what of it stands in a request."""

    origin: Origin
    authority: str
    """Value of the ``Host`` field."""
    path: str
    """Path and query."""

    @property
    def host(self) -> str:
        """The host, as errors name it."""
        return self.origin[1]


class Connection:
    """One connection and the answer it brings at present. After a cancelled or failed exchange it is of no
    use."""

    status: int
    headers: Headers

    def __init__(self, origin: Origin, stream: trio.abc.Stream, socket: trio.socket.SocketType) -> None:
        self.origin = origin
        self.idle_until = inf
        self._host = origin[1]
        self._stream = stream
        self._socket = socket
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._is_over = False
        self._fault: TransportError | None = None

    def begin(self, call: HttpCall, target: Target, fields: list[tuple[str, str]]) -> bytes:
        """Begin an exchange; return the head of its request as it is sent, before the body."""
        request = h11.Request(method=call.method, target=target.path, headers=fields)
        head = self._http.send(request)
        self._is_over = False
        if call.body:
            self._http.send_with_data_passthrough(h11.Data(data=call.body))
        self._http.send(h11.EndOfMessage())
        return head

    async def send(self, head: bytes, body: bytes) -> None:
        """Send a request.

        An upstream may answer, and even close, before it has read everything; therefore a broken connection
        is noticed where the answer is read.
        """
        try:
            if len(body) <= JOINED_BYTES:
                await self._stream.send_all(head + body)
            else:
                await self._stream.send_all(head)
                await self._stream.send_all(body)
        except _BROKEN:
            await trio.lowlevel.checkpoint()

    async def receive_head(self) -> None:
        """Receive status and headers of the answer; provisional ones are passed over."""
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response):
                self.status, self.headers = event.status_code, Headers(_as_text(event.headers))
                return  # noqa: ASYNC910 - there is nothing before the first wait
            if event is h11.NEED_DATA:
                if not await self._receive():
                    raise transport_error(self._host, NOT_HTTP)
            elif not isinstance(event, h11.InformationalResponse):
                # Somebody switched protocols without being asked.
                raise transport_error(self._host, NOT_HTTP)

    async def read(self) -> bytes:
        """Return what has come of the body, waiting for it if need be; empty at the end. Raises
        :class:`~cliproxy.errors.TransportError`."""
        pieces: list[bytes] = []
        while not self._is_over:
            try:
                event = self._next_event()
            except TransportError as exc:
                if not pieces:
                    raise
                # What came before a fault is delivered before the fault.
                self._fault = exc
                break
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif event is not h11.NEED_DATA:
                self._is_over = True
            elif pieces:
                break
            else:
                await self._receive()
        return b"".join(pieces)  # noqa: ASYNC910 - what is there is not waited for

    def _next_event(self) -> object:
        if self._fault is not None:
            raise self._fault
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as exc:
            raise transport_error(self._host, NOT_HTTP, exc) from exc

    async def _receive(self) -> int:
        try:
            data = await self._stream.receive_some(READ_BYTES)
        except _BROKEN as exc:
            raise transport_error(self._host, READ_FAILED, exc) from exc
        self._http.receive_data(bytes(data))
        return len(data)

    def recycle(self) -> bool:
        """Make ready for another exchange; false if that is not possible, for example because the last one
        did not come to its end."""
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        if not is_done or self._http.trailing_data != (b"", False):
            return False
        self._http.start_next_cycle()
        return True

    def is_usable(self, now: float) -> bool:
        """Tell whether an idle connection can be used again."""
        return now < self.idle_until and not self._socket.is_readable()

    def close(self) -> None:
        """Close at once."""
        self._socket.close()


def _as_text(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Decode header fields: nearly always ASCII, else what servers commonly mean."""
    try:
        return [(name.decode(), value.decode()) for name, value in fields]
    except UnicodeDecodeError:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


class DirectConnections:
    """Makes connections and keeps those that can be used again, a few for all hosts together."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: list[Connection] = []
        """In the order in which they became idle."""

    async def ask(self, call: HttpCall, target: Target, fields: list[tuple[str, str]]) -> Connection:
        """Send a call and return the connection when the head of the answer has come; it is to be given to
        :meth:`release`. Raises :class:`~cliproxy.errors.TransportError`.

        One cancel scope serves all limits: its deadline is moved from one phase to the next.
        """
        limits = call.limits
        begin = trio.current_time()
        answer_at = inf if limits.first_byte is None else begin + limits.first_byte
        slow = CONNECT_SLOW
        with trio.CancelScope(deadline=min(begin + limits.connect, answer_at)) as scope:
            connection = self._take(target.origin) or await self._connect(target)
            try:
                head = connection.begin(call, target, fields)
                slow = SEND_SLOW
                scope.deadline = min(trio.current_time() + SEND_LIMIT_S, answer_at)
                await connection.send(head, call.body)
                scope.deadline = answer_at
                await connection.receive_head()
                return connection
            except (h11.LocalProtocolError, UnicodeEncodeError):
                connection.close()
                # What is illegal would be quoted, and that may be a key.
                raise transport_error(target.host, ILLEGAL) from None
            except BaseException:
                connection.close()
                raise
        if limits.first_byte is not None and trio.current_time() >= answer_at:
            raise no_answer(target.host, limits.first_byte)
        raise transport_error(target.host, slow)

    def _take(self, origin: Origin) -> Connection | None:
        """Return the connection to an origin that was used last, and close those that nobody can use."""
        now = trio.current_time()
        for index in range(len(self._idle) - 1, -1, -1):
            connection = self._idle[index]
            if connection.origin == origin:
                del self._idle[index]
                if connection.is_usable(now):
                    return connection
                connection.close()
        return None

    async def _connect(self, target: Target) -> Connection:
        is_tls, host, port = target.origin
        try:
            transport = await trio.open_tcp_stream(host, port)
        except OSError as exc:
            raise transport_error(host, CONNECT_FAILED, exc) from exc
        if not is_tls:
            return Connection(target.origin, transport, transport.socket)
        stream = trio.SSLStream(transport, self._tls, server_hostname=host, https_compatible=True)
        try:
            await stream.do_handshake()
        except _BROKEN as exc:
            transport.socket.close()
            raise transport_error(host, CONNECT_FAILED, exc.__cause__ or exc) from exc
        except BaseException:
            transport.socket.close()
            raise
        return Connection(target.origin, stream, transport.socket)

    def release(self, connection: Connection) -> None:
        """Keep a connection, or close it if its exchange was not carried to the end."""
        if not connection.recycle():
            connection.close()
            return
        connection.idle_until = trio.current_time() + IDLE_S
        self._idle.append(connection)
        if len(self._idle) > MAX_IDLE:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close all idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
