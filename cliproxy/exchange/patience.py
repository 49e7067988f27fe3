"""An upstream answer whose silence has a limit."""

from math import inf

import trio

from cliproxy.errors import Kind, TransportError
from cliproxy.net.http import UpstreamStream
from cliproxy.net.rest import read_rest


class Patient:
    """Reads an open answer and gives up when nothing comes for too long.

    A cancel scope for each read is the simple form; where there is a loop, one scope whose deadline moves is
    cheaper. ``total_s`` limits the whole answer, from now on.
    """

    def __init__(self, stream: UpstreamStream, silence_s: float, total_s: float = inf) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._stream = stream
        self._silence_s = silence_s
        self._total_s = total_s
        self._end = trio.current_time() + total_s

    async def read(self) -> bytes:
        """Return what came next. Raises :class:`~cliproxy.errors.TransportError`, also after the silence."""
        with trio.CancelScope(deadline=self._deadline()):
            return await self._stream.read()
        raise self._late()

    async def read_all(self, limit: int) -> bytes:
        """Return the rest. Raises :class:`~cliproxy.errors.TransportError`, also when it exceeds the
        limit."""
        with trio.CancelScope() as scope:

            async def read() -> bytes:
                scope.deadline = self._deadline()
                return await self._stream.read()

            return await read_rest(read, limit, "the upstream's answer")
        raise self._late()

    def _deadline(self) -> float:
        return min(trio.current_time() + self._silence_s, self._end)

    def _late(self) -> TransportError:
        is_over = trio.current_time() >= self._end
        reason = incomplete_after(self._total_s) if is_over else silent_for(self._silence_s)
        return TransportError(reason, kind=Kind.TIMEOUT, phase="body")


def incomplete_after(seconds: float) -> str:
    """Say how long an answer took without coming to its end."""
    return f"the upstream's answer was not complete after {seconds:g} s"


def silent_for(seconds: float) -> str:
    """Say how long nothing came."""
    return f"the upstream was silent for {seconds:g} s in the middle of its answer"
