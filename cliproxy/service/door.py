"""How many connections of clients may be open, and how one too many is told.

Whoever comes when the house is full gets an answer rather than a closed connection, which a client would take
for a broken network: the status 503 with the time after which to come back. The request is received before
it is answered, because a system that closes a connection with something unread in it takes back what was
written. What the request wants stays unread: nobody knows its dialect, and the error has the shape that most
clients understand. Telling costs connections too, so only some are told at a time; the others are closed.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

from cliproxy.wire.jsontext import JsonObject, dumps

logger = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 1
REFUSING_S: Final = 2.0
"""How long a connection that is refused may stay."""
REFUSED_AT_ONCE: Final = 64
READ_BYTES: Final = 65536
MESSAGE: Final = "the server has as many connections as it may have; try again in a moment"


def _refusal() -> bytes:
    error: JsonObject = {"message": MESSAGE, "type": "server_error", "code": "too_many_connections"}
    body = dumps({"error": error})
    return (
        b"HTTP/1.1 503 Service Unavailable\r\n"
        b"content-type: application/json\r\n"
        b"retry-after: %d\r\n"
        b"connection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (RETRY_AFTER_S, len(body), body)
    )


REFUSAL: Final = _refusal()


@define(eq=False)
class Door:
    """Counts the connections that are open."""

    open: int = field(default=0, init=False)
    refusing: int = field(default=0, init=False)
    """Connections that are being told that there are too many."""
    refused: int = field(default=0, init=False)
    """Connections refused since the start."""
    _is_full: bool = field(default=False, init=False)

    @contextmanager
    def entered(self, most: int) -> Iterator[bool]:
        """Count a connection as open for the length of the block; give ``False`` if there are ``most``
        already (0: any number)."""
        if most and self.open >= most:
            self._refuse(most)
            yield False
            return
        self._is_full = False
        self.open += 1
        try:
            yield True
        finally:
            self.open -= 1

    def _refuse(self, most: int) -> None:
        self.refused += 1
        if not self._is_full:
            self._is_full = True
            logger.warning("connections are refused: %d are open, as many as `limits.connections` says", most)

    async def refuse(self, stream: trio.abc.Stream) -> None:
        """Tell a client that there are too many. The connection is for the caller to close."""
        if self.refusing >= REFUSED_AT_ONCE:
            await trio.lowlevel.checkpoint()
            return
        self.refusing += 1
        try:
            with trio.move_on_after(REFUSING_S):
                await _tell(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()
        finally:
            self.refusing -= 1


async def _tell(stream: trio.abc.Stream) -> None:
    """Answer a request without having read it, and wait until the client has taken that."""
    if await stream.receive_some(READ_BYTES):
        await stream.send_all(REFUSAL)
        await say_goodbye(stream)
        while await stream.receive_some(READ_BYTES):
            pass


async def say_goodbye(stream: trio.abc.Stream) -> None:
    """Say that nothing more will come, where the kind of connection has a way to say it."""
    if not isinstance(stream, trio.abc.HalfCloseableStream):
        await trio.lowlevel.checkpoint()
        return
    try:
        await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
        await trio.lowlevel.checkpoint()
