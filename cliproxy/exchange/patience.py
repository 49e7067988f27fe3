"""An upstream answer whose silence has a limit."""

import trio

from cliproxy.errors import Kind, TransportError
from cliproxy.net.http import UpstreamStream
from cliproxy.net.rest import read_rest


class Patient:
    """Reads an open answer and gives up when nothing comes for too long.

    A cancel scope for each read is the simple form; where there is a loop, one scope whose deadline moves is
    cheaper.
    """

    def __init__(self, stream: UpstreamStream, silence_s: float) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._stream = stream
        self._silence_s = silence_s

    async def read(self) -> bytes:
        """Return what came next. Raises :class:`~cliproxy.errors.TransportError`, also after the silence."""
        with trio.move_on_after(self._silence_s):
            return await self._stream.read()
        raise self._silent()

    async def read_all(self, limit: int) -> bytes:
        """Return the rest. Raises :class:`~cliproxy.errors.TransportError`, also when it exceeds the
        limit."""
        with trio.CancelScope() as scope:

            async def read() -> bytes:
                scope.deadline = trio.current_time() + self._silence_s
                return await self._stream.read()

            return await read_rest(read, limit, "the upstream's answer")
        raise self._silent()

    def _silent(self) -> TransportError:
        return TransportError(silent_for(self._silence_s), kind=Kind.TIMEOUT, phase="body")


def silent_for(seconds: float) -> str:
    """Say how long nothing came."""
    return f"the upstream was silent for {seconds:g} s in the middle of its answer"
