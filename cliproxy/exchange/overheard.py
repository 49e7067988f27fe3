"""Upstream calls that are written down, where the owner wants requests in full.

Where he does not, which is nearly always, this costs one look at a variable for each call.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cliproxy.errors import AnswerCut, AttemptFailed, TransportError
from cliproxy.exchange.record import Attempted
from cliproxy.net.http import UpstreamStream
from cliproxy.observe.transcript import Transcript, current
from cliproxy.wire.http import HttpCall, UpstreamCall
from cliproxy.wire.veil import confidential_in

Opening = AbstractAsyncContextManager[UpstreamStream]


class _Overheard:
    """An answer whose pieces are written down as they are read."""

    def __init__(self, stream: UpstreamStream, transcript: Transcript, number: int) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._stream = stream
        self._transcript = transcript
        self._number = number

    async def read(self) -> bytes:
        """Return what came next."""
        data = await self._stream.read()
        self._transcript.came(self._number, data)
        return data

    async def read_all(self, limit: int) -> bytes:
        """Return the rest."""
        data = await self._stream.read_all(limit)
        self._transcript.came(self._number, data)
        return data


def overheard(opening: Opening, call: UpstreamCall, at: Attempted) -> Opening:
    """Return a call that is written down as well, if that is wanted of this request."""
    transcript = current.get()
    return opening if transcript is None else _overheard(opening, transcript, call, at)


@asynccontextmanager
async def _overheard(
    opening: Opening, transcript: Transcript, call: UpstreamCall, at: Attempted
) -> AsyncIterator[UpstreamStream]:
    who = f"provider={at.provider}, auth_id={at.credential}, contract={at.contract}, model={at.model}"
    line = (call.method, call.url) if isinstance(call, HttpCall) else ("-", f"memory:{call.target}")
    transcript.covers(confidential_in(call))
    number = transcript.asked(who, line, call.headers, call.body)
    try:
        async with opening as stream:
            transcript.answered(number, stream.status, stream.headers)
            yield _Overheard(stream, transcript, number)
    except (TransportError, AttemptFailed, AnswerCut) as exc:
        transcript.failed(number, str(exc))
        raise
    finally:
        transcript.over(number)
