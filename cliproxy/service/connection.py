"""One correction to the ASGI server's connections.

The server lets an idle connection wait for the next request under a timer. When a client closes at the very
moment its answer ends, as short-lived clients do, the end of the input is read before the timer is started,
and the connection then waits with nobody at the other side: a descriptor lost for more than a minute with
nearly every request. Here the end of the input ends the waiting, and none begins afterwards.
"""

from hypercorn.events import Event, Updated
from hypercorn.trio import run
from hypercorn.trio.tcp_server import TCPServer


class Connection(TCPServer):
    """A connection that ends when its client has closed it."""

    _is_read_out = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._is_read_out = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:  # noqa: ASYNC910 - the parent waits, or nobody does
        """Send on, and start no timer for a client that has left."""
        if not (self._is_read_out and isinstance(event, Updated)):
            await super().protocol_send(event)


def install() -> None:
    """Let the server use these connections; it offers no other way to name a class of one's own."""
    run.TCPServer = Connection  # type: ignore[attr-defined]  # imported there, not declared
