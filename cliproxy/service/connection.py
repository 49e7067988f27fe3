"""The ASGI server's connections, corrected in two things.

**Patience.** The server lets an idle connection wait for the next request under a timer that is a task of its
own, ended and begun anew with every request. That costs more than a whole message to the client. And when a
client closes at the very moment its answer ends, as short-lived clients do, the timer is begun after the end
of the input was read, and the connection then waits with nobody at the other side: a descriptor lost for more
than a minute with nearly every request. Here the patience is the deadline of the scope around the reading.
The one task that remains waits for the end of the server, and ends a connection that is idle then.

**Writing.** The server writes the head of a response, its body and its end each for itself, the end even
where there is nothing to write. Here the head waits for what follows it, and ASGI demands that something
does: an answer in one piece is one packet, and a stream begins with one.
"""

from math import inf

import h11
import trio
from hypercorn import protocol
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio import run
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.typing import H11SendableEvent


class Connection(TCPServer):
    """A connection that ends when its client has closed it, or was idle for too long."""

    _patience: trio.CancelScope

    async def run(self) -> None:
        """Serve the connection to its end."""
        self._patience = trio.CancelScope(deadline=self._idle_until())
        await super().run()

    def _idle_until(self) -> float:
        return trio.current_time() + self.config.keep_alive_timeout

    async def _read_data(self) -> None:
        with self._patience:
            while True:
                try:
                    data = await self.stream.receive_some(MAX_RECV)
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    break
                await self.protocol.handle(RawData(bytes(data)))
                if not data:
                    break
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        """Wait for the end of the server. The parent starts this once; busy connections end by themselves."""
        await self.context.terminated.wait()
        if self._patience.deadline < inf:
            self._patience.cancel(reason="the server is stopping")

    async def protocol_send(self, event: Event) -> None:  # noqa: ASYNC910 - the parent waits, or nobody does
        """Send on; what is no data may change how long the next request is waited for."""
        if isinstance(event, Updated):
            self._patience.deadline = self._idle_until() if event.idle else inf
        else:
            await super().protocol_send(event)


class Http1(H11Protocol):
    """HTTP/1.1 that writes no head without what follows it, and nothing where there is nothing to write."""

    _head = b""

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
    protocol.H11Protocol = Http1  # type: ignore[attr-defined]  # imported there, not declared
