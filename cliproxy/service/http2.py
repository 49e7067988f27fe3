"""HTTP/2 as the ASGI server speaks it, corrected where a whole connection depends on one request.

A request may be answered before all of it has come: a key is wrong, a body too large. The server has
forgotten it by then, and fails over what still comes of it; all other requests of the connection would end
with it. Here that is passed over, so that the client can send to its end and read its answer.

A client may take a request back. The server notes that a connection is idle when an answer is complete, and
such a request has none; its connection would never be idle again. Here it is, at once.

What is to be sent waits until there is room for it, and the server forgets those who wait when the connection
ends, the reader of the connection among them. Here they go on then.
"""

import trio
from h2.events import DataReceived, StreamReset
from h2.events import Event as H2Event
from hypercorn.events import Closed, Event
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol


class Http2(H2Protocol):
    """HTTP/2 that passes over what comes of a request that is answered already, and knows when it is idle."""

    async def handle(self, event: Event) -> None:  # noqa: ASYNC910 - as the parent
        """Take what has come, or that nothing comes any more."""
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in tuple(self.stream_buffers.values()):
                await buffer.close()

    async def stream_send(self, event: StreamEvent) -> None:  # noqa: ASYNC910 - as the parent
        """Send a piece of an answer, while there is somebody to send it to."""
        if self.closed:
            await trio.lowlevel.checkpoint()
        else:
            await super().stream_send(event)

    async def _handle_events(self, events: list[H2Event]) -> None:  # noqa: ASYNC910 - as the parent
        for event in events:
            if self.closed:
                return  # noqa: ASYNC910 - as above
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # The client may send as much of something else.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                await super()._handle_events([event])
            if isinstance(event, StreamReset):
                await self.stream_send(StreamClosed(stream_id=event.stream_id))
        await self._flush()
