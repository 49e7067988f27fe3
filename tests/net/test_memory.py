"""Upstreams inside the process are read like any other."""

import pytest
import trio
import trio.testing
from attrs import field, frozen

from cliproxy.errors import TransportError
from cliproxy.net.http import Upstreams
from cliproxy.net.memory import MemoryStream
from cliproxy.wire.http import Headers, MemoryCall


@frozen
class Answer:
    status: int = 200
    headers: Headers = field(factory=lambda: Headers({"content-type": "text/plain"}))
    chunks: tuple[tuple[float, bytes], ...] = ((0.0, b"a"), (2.0, b"b"))


async def test_pieces_come_after_their_pauses(autojump_clock: trio.testing.MockClock) -> None:
    stream = MemoryStream(Answer())
    start = trio.current_time()
    assert [await stream.read(), await stream.read(), await stream.read()] == [b"a", b"b", b""]
    assert trio.current_time() - start == pytest.approx(2.0)


async def test_a_cancelled_read_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    stream = MemoryStream(Answer(chunks=((5.0, b"late"),)))
    with trio.move_on_after(1):
        await stream.read()
    assert await stream.read() == b"late"


async def test_reading_everything_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    assert await MemoryStream(Answer()).read_all(2) == b"ab"
    with pytest.raises(TransportError, match="exceeds"):
        await MemoryStream(Answer()).read_all(1)


async def test_calls_find_their_upstream_by_name() -> None:
    async with (
        Upstreams({"x": lambda call: Answer(chunks=((0.0, call.body),))}) as upstreams,
        upstreams.open(MemoryCall(target="x", body=b"echo")) as stream,
    ):
        assert (stream.status, await stream.read()) == (200, b"echo")
        assert stream.headers.get("Content-Type") == "text/plain"
