"""A request on its way from the connection to the application, in as few steps as possible.

The server hands over each piece of a body as it comes, then an empty one that says it was the last, and lets
all other tasks have a turn after each of them. A request that has come as a whole is one message here, and
who reads it goes on.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from hypercorn.protocol.events import Body, EndBody, Event, Request
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.typing import ASGIReceiveEvent

_BODIES: Final = (Body, EndBody)

Put = Callable[[ASGIReceiveEvent], Awaitable[None]]


class Intake(HTTPStream):
    """One request and its response. The last piece of a body is held until it is known to be the last."""

    _held = b""

    async def handle(self, event: Event) -> None:  # noqa: ASYNC910 - waits only where there is no room
        """Take what has come of the request."""
        if self.closed:
            return  # noqa: ASYNC910 - nobody listens any more
        held, self._held = self._held, bytes(event.data) if isinstance(event, Body) else b""
        is_last = isinstance(event, EndBody)
        if held or is_last:
            await self.app_put({"type": "http.request", "body": held, "more_body": not is_last})
        if not isinstance(event, _BODIES):
            await super().handle(event)
        if isinstance(event, Request) and self.app_put is not None:
            self.app_put = at_once(self.app_put)


def at_once(put: Put) -> Put:
    """Return a way to put messages into the application's channel that waits only where that is full."""
    channel = getattr(put, "__self__", None)
    assert isinstance(channel, trio.MemorySendChannel), "the server has always handed over a channel's method"

    async def put_at_once(message: ASGIReceiveEvent) -> None:  # noqa: ASYNC910 - as it is called
        try:
            channel.send_nowait(message)
        except trio.WouldBlock:
            await channel.send(message)

    return put_at_once
