"""Upstreams inside this process: the built-in demo model, and scripted ones in tests.

A memory upstream is a function from a request to a :class:`~cliproxy.wire.http.MemoryReply`: status, headers,
and the pieces of the body with the pause before each. It is read through the same interface as an HTTP
response, pauses and all, so that the exchange cannot tell the difference.
"""

from collections import deque
from collections.abc import Mapping

import trio

from cliproxy.net.rest import read_rest
from cliproxy.wire.http import MemoryCall, MemoryReply, MemoryUpstream


class MemoryStream:
    """The answer of a memory upstream, read piece by piece."""

    def __init__(self, answer: MemoryReply) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._chunks = deque(answer.chunks)

    async def read(self) -> bytes:
        """Return the next piece after its pause; empty at the end."""
        if not self._chunks:
            await trio.lowlevel.checkpoint()
            return b""
        pause, data = self._chunks[0]
        await trio.sleep(pause)
        self._chunks.popleft()
        return data

    async def read_all(self, limit: int) -> bytes:
        """Return the rest. Raises :class:`~cliproxy.errors.TransportError` when it exceeds the limit."""
        return await read_rest(self.read, limit, "the answer")


def answer_from(upstreams: Mapping[str, MemoryUpstream], call: MemoryCall) -> MemoryStream:
    """Ask a memory upstream by name."""
    return MemoryStream(upstreams[call.target](call))
