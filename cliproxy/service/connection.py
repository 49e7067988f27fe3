"""The ASGI server's connections, corrected where a server that strangers may reach needs it.

**Patience.** The server lets an idle connection wait for the next request under a timer that is a task of its
own, ended and begun anew with every request. That costs more than a whole message to the client. And when a
client closes at the very moment its answer ends, as short-lived clients do, the timer is begun after the end
of the input was read, and the connection then waits with nobody at the other side: a descriptor lost for more
than a minute with nearly every request. Here the patience is the deadline of the scope around the reading.
The one task that remains waits for the end of the server, and ends a connection that is idle then. The same
deadline bounds the head of a request, which the server would wait for as long as its bytes trickle: it starts
with the first byte, no later byte extends it, and who is too slow is told so.

**Faults.** What fails in one connection would be the end of the server, and an address that is not ASCII is
enough where HTTP/2 lets it through. Here it is the end of the connection.

**Numbers.** Who comes when there are too many connections is told so and not served
(:mod:`cliproxy.service.door`).

**Writing.** The server writes the head of a response, its body and its end each for itself, the end even
where there is nothing to write. Here the head waits for what follows it, and ASGI demands that something
does: an answer in one piece is one packet, and a stream begins with one.

**Versions.** HTTP/2 is agreed on inside TLS or not at all. The server would let any client without TLS change
to it, past all that is said here about the head; such a wish is passed over, as HTTP allows.

**Reading on.** A client may send its next request before it has the answer to the one before. The server
stops reading then, so that nobody notices when that client leaves. Here reading goes on, within bounds. And
a client that is answered before it has sent all of its request goes on sending; a connection closed under
it takes the answer back. Here it is read from a little longer.
"""

import logging
from http import HTTPStatus
from math import inf
from typing import Final

import h11
import trio
from hypercorn import protocol
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio import run
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import H11SendableEvent

from cliproxy.service.door import Door, say_goodbye
from cliproxy.service.http2 import Http2
from cliproxy.service.intake import Intake

logger = logging.getLogger(__name__)

VERSIONS: Final = frozenset({b"1.0", b"1.1"})
LINGER_S: Final = 5.0
"""How long a client may go on sending what nobody wants to read any more."""
TURN_S: Final = 0.05
"""How long a request that came before its turn waits for it before more is read."""
AHEAD_BYTES: Final = 64 * 1024
"""How much of the next requests is received before their turn."""


class Terms(HypercornConfig):
    """What the server goes by; the members added here are ours."""

    header_timeout: float = inf
    """Seconds for the head of a request."""
    most_connections: int = 0
    """0: any number."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Door()


class Connection(TCPServer):
    """A connection that ends when its client has closed it, was too slow, or was idle for too long."""

    config: Terms
    _patience: trio.CancelScope
    _is_in_head: bool = False
    """A part of a request's head has come and not all of it."""
    _is_lingering: bool = False
    """Everything is said; what still comes is passed over."""
    _has_read: bool = False
    """Nothing is read any more."""
    _is_over: bool = False
    """Nothing can be said any more, so that no request has its turn."""
    _turn: trio.Event | None = None
    """Set when the next request has its turn, of which something is here already."""
    _reading: trio.CancelScope | None = None
    """Cancelled then, too: around the reading on meanwhile."""

    async def run(self) -> None:  # noqa: ASYNC910 - one of both waits
        """Serve the connection to its end, unless there are too many."""
        door = self.config.door
        with door.entered(self.config.most_connections) as is_in:
            if is_in:
                first = min(self.config.header_timeout, self.config.keep_alive_timeout)
                self._patience = trio.CancelScope(deadline=trio.current_time() + first)
                await self._serve()
        if not is_in:
            await door.refuse(self.stream)

    async def _serve(self) -> None:  # noqa: ASYNC910 - the parent waits
        try:
            await super().run()
        except* Exception as group:
            logger.error("a connection was cut by a fault", exc_info=group)

    async def _read_data(self) -> None:
        with self._patience:
            while await self._take():
                pass
        self._has_read = True
        if self._is_in_head and trio.current_time() >= self._patience.deadline:
            await self._http1().give_up()
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _take(self) -> bool:
        """Read once and let the protocol have it; tell whether there may be more."""
        try:
            data = await self._received()
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return False
        if self._is_lingering:
            return bool(data)
        if data != b"":
            self._begin_head()
        if data is None:
            await self._http1().go_on()
            return True
        await self.protocol.handle(RawData(bytes(data)))
        return bool(data)

    async def _received(self) -> bytes | bytearray | None:
        """Return what came; ``None`` when it is the turn of what is here already.

        Mostly that is at once: the answer before it is at its end, and the client was quick.
        """
        spoken = self.protocol.protocol
        ahead = spoken.ahead if isinstance(spoken, Http1) else 0
        if not ahead:
            return await self.stream.receive_some(MAX_RECV)
        self._turn = trio.Event()
        if not self._is_over:
            with trio.move_on_after(inf if ahead > AHEAD_BYTES else TURN_S):
                await self._turn.wait()
        if self._is_over:
            raise trio.ClosedResourceError
        if self._turn.is_set():
            return None
        try:
            with trio.CancelScope() as self._reading:
                return await self.stream.receive_some(MAX_RECV)
        finally:
            self._reading = None
        return None

    def _http1(self) -> "Http1":
        spoken = self.protocol.protocol
        assert isinstance(spoken, Http1)
        return spoken

    def _begin_head(self) -> None:
        """Bound the time for a request's head from its first byte. The frames of HTTP/2 may be anything;
        until one begins a request, the connection is idle."""
        is_idle = self._patience.deadline < inf
        if is_idle and not self._is_in_head and isinstance(self.protocol.protocol, Http1):
            self._is_in_head = True
            self._patience.deadline = trio.current_time() + self.config.header_timeout

    async def _close(self) -> None:
        """Close, or let the reader do it when the client has nothing more to send."""
        wrapper = getattr(self, "protocol", None)
        spoken = None if wrapper is None else wrapper.protocol
        if self._has_read or not isinstance(spoken, Http1) or not spoken.is_receiving:
            self._give_no_turn()
            await super()._close()
        elif not self._is_lingering:
            self._is_lingering = True
            self._patience.deadline = trio.current_time() + LINGER_S
            await say_goodbye(self.stream)

    async def _idle_timeout(self) -> None:
        """Wait for the end of the server. The parent starts this once; busy connections end by themselves."""
        await self.context.terminated.wait()
        if self._patience.deadline < inf:
            self._patience.cancel(reason="the server is stopping")

    async def protocol_send(self, event: Event) -> None:  # noqa: ASYNC910 - the parent waits, or nobody does
        """Send on; what is no data may change how long the next request is waited for."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated):
            self._go_by(event)
        else:
            await super().protocol_send(event)

    async def _send(self, data: bytes) -> None:
        """Send, after whoever is sending. The parent does so too, and gives way to all other tasks before."""
        if self.send_lock.locked():
            await self.send_lock.acquire()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self.send_lock.acquire_nowait()
        try:
            with trio.CancelScope(shield=True):
                await self.stream.send_all(data)
                return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.send_lock.release()
        # The reader tells everybody. The parent has it done here, by a request that may be the first to be
        # told, and end before the others are.
        self._patience.cancel(reason="nobody is there to be answered")
        await trio.lowlevel.checkpoint()

    def _give_no_turn(self) -> None:
        """Let nobody wait for a turn that never comes: what is received so far ahead that reading has stopped
        would keep a connection for ever."""
        self._is_over = True
        if self._turn is not None:
            self._turn.set()

    def _go_by(self, event: Updated) -> None:
        """Wait for the next request as long as fits what the protocol is doing."""
        self._is_in_head = False
        idle_until = trio.current_time() + self.config.keep_alive_timeout
        self._patience.deadline = idle_until if event.idle else inf
        if event.idle and self._turn is not None:
            self._turn.set()
            if self._reading is not None:
                self._reading.cancel(reason="the next request has its turn")


class Http1Connection(h11.Connection):
    """HTTP/1.1 that asks for more instead of for a pause: what comes before its turn is kept."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, or that there is none yet."""
        event = super().next_event()
        return h11.NEED_DATA if event is h11.PAUSED else event


class Http1(H11Protocol):
    """HTTP/1.1 and nothing else, that writes no head without what follows it, and nothing where there is
    nothing to write."""

    _head = b""
    connection: Http1Connection

    async def initiate(self) -> None:  # noqa: ASYNC910 - nothing is said at the beginning
        """Prepare for the first request."""
        most = self.config.h11_max_incomplete_size
        self.connection = Http1Connection(h11.SERVER, max_incomplete_event_size=most)

    @property
    def ahead(self) -> int:
        """How many bytes have come before their turn."""
        is_early = self.connection.their_state is h11.DONE
        return len(self.connection.trailing_data[0]) if is_early else 0

    @property
    def is_receiving(self) -> bool:
        """Whether the client is in the middle of a request's body."""
        return self.connection.their_state is h11.SEND_BODY

    async def go_on(self) -> None:
        """Begin with the next request, of which something is here already."""
        await self._handle_events()

    async def give_up(self) -> None:
        """Tell the client that the head of its request took too long."""
        await self._send_error_response(HTTPStatus.REQUEST_TIMEOUT)

    async def _check_protocol(self, event: h11.Request) -> None:  # noqa: ASYNC910 - decides nothing
        """Stay with HTTP/1.1, whatever the client would rather speak."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version in VERSIONS:
            await super()._create_stream(request)
        else:
            await self._send_error_response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            await self.send(Closed())

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data))


def install() -> None:
    """Let the server use these classes; it offers no other way to name one's own."""
    run.TCPServer = Connection  # type: ignore[attr-defined]  # imported there, not declared
    protocol.H2Protocol = Http2  # type: ignore[attr-defined]  # imported there, not declared
    protocol.H11Protocol = Http1  # type: ignore[attr-defined]  # imported there, not declared
    protocol.h11.HTTPStream = Intake  # type: ignore[attr-defined]  # imported there, not declared
