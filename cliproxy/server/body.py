"""Bodies, in and out.

Out: :class:`ChannelBody` writes what the pump sends. It joins everything that is ready into one message, so
that a slow client costs few writes. When nothing comes for a while, the dialect's sign of life takes the same
way; who sends it looks at the clock once in an interval, so that no event pays for a timer of its own.

In: :func:`read_json` and :func:`read_form` read a request body within its limits and undo compression,
bounded *after* decompression.
"""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, cast

import trio
from quart import Request
from quart.wrappers.response import ResponseBody
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from cliproxy.errors import BadRequest, Kind, LimitExceeded
from cliproxy.server.asgi import body_received
from cliproxy.wire.compression import CODINGS, CompressionError, Inflater, TooLarge, is_known, is_plain
from cliproxy.wire.formdata import FormData, FormError
from cliproxy.wire.jsontext import Document, JsonError

JOIN_BYTES: Final = 16 * 1024
"""A message is not made longer than about this; the layers below copy it."""
DISCARD_S: Final = 10.0
"""How long a client may go on sending a body that is too large before it is answered."""


class ChannelBody(ResponseBody):
    """A response body fed by a channel."""

    def __init__(self, channel: trio.MemoryReceiveChannel[bytes]) -> None:
        self._channel = channel
        self._since = trio.current_time()
        """When what came last was written, or the client still takes it."""

    async def __aenter__(self) -> "ChannelBody":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._channel.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._since = trio.current_time()
        try:
            first = await self._channel.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        return self._with_ready(first)

    async def keep_alive(self, way: trio.MemorySendChannel[bytes], sign: bytes, interval_s: float) -> None:
        """Send a sign of life down the channel whenever nothing else has come for so long; to be cancelled.

        A client that is slow needs none. Who waits for the channel is between two messages, so the sign never
        comes into the middle of one.
        """
        while True:
            await trio.sleep_until(self._since + interval_s)
            while trio.current_time() >= self._since + interval_s:
                if self._channel.statistics().tasks_waiting_receive:
                    way.send_nowait(sign)
                await trio.sleep(interval_s)

    def _with_ready(self, first: bytes) -> bytes:
        pieces = [first]
        size = len(first)
        while size < JOIN_BYTES:
            try:
                pieces.append(self._channel.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                break
            size += len(pieces[-1])
        return b"".join(pieces) if len(pieces) > 1 else first


async def read_json(request: Request, limit: int) -> Document:
    """Read a JSON object. Raises :class:`~cliproxy.errors.ProxyError` with a 4xx status for anything else."""
    kind = request.mimetype
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise BadRequest(f"the content type is `{kind}`; send `Content-Type: application/json`", status=415)
    raw = decompressed(await _received(request, limit), request.headers.get("Content-Encoding", ""), limit)
    try:
        return Document.parse(raw)
    except JsonError as exc:
        raise BadRequest(f"the body is not a JSON object: {exc}") from exc


async def read_form(request: Request, limit: int) -> FormData:
    """Read a form with files, within the limits of any body."""
    raw = decompressed(await _received(request, limit), request.headers.get("Content-Encoding", ""), limit)
    try:
        return FormData.parse(raw, request.headers.get("Content-Type", ""))
    except FormError as exc:
        raise BadRequest(f"the body is not a form: {exc}") from exc


async def _received(request: Request, limit: int) -> bytes:
    """Return the body as it came. One that is too large is read to its end before it is refused."""
    try:
        return cast("bytes", await request.get_data(cache=False, as_text=False))
    except RequestTimeout as exc:
        raise LimitExceeded("the request body did not arrive in time", kind=Kind.TIMEOUT, status=408) from exc
    except RequestEntityTooLarge:
        pass
    with trio.move_on_after(DISCARD_S):
        await body_received(request)
    raise too_large(limit)


def too_large(limit: int) -> LimitExceeded:
    """Say that a body is over the limit, in bytes."""
    return LimitExceeded(f"the request body exceeds the limit of {limit // (1024 * 1024)} MB", status=413)


def decompressed(raw: bytes, coding: str, limit: int) -> bytes:
    """Undo a content coding without ever holding more than the limit."""
    coding = coding.strip().lower()
    if is_plain(coding):
        return raw
    if not is_known(coding):
        known = ", ".join(CODINGS)
        raise BadRequest(f"the content encoding `{coding}` is not supported; use one of {known}", status=415)
    inflater = Inflater(coding)
    try:
        data = inflater.feed(raw, limit)
    except TooLarge as exc:
        raise too_large(limit) from exc
    except CompressionError as exc:
        raise BadRequest(str(exc)) from exc
    if not inflater.is_complete:
        raise BadRequest(f"the {coding} body is cut off")
    return data
