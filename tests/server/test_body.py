"""Bodies: joined, kept alive, bounded after decompression."""

import gzip
import zlib

import pytest
import trio
import trio.testing

from cliproxy.errors import BadRequest, LimitExceeded
from cliproxy.server.body import JOIN_BYTES, ChannelBody, decompressed

LIMIT = 1000


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP ", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
def test_codings_are_undone(coding: str, encode: object) -> None:
    assert decompressed(encode(b"x" * 500), coding, LIMIT) == b"x" * 500  # type: ignore[operator]


def test_the_limit_holds_after_decompression() -> None:
    with pytest.raises(LimitExceeded) as caught:
        decompressed(gzip.compress(b"x" * 10_000_000), "gzip", LIMIT)
    assert caught.value.status == 413


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_unknown_codings_are_named(coding: str) -> None:
    with pytest.raises(BadRequest, match=coding) as caught:
        decompressed(b"x", coding, LIMIT)
    assert caught.value.status == 415


@pytest.mark.parametrize("raw", [b"no gzip", gzip.compress(b"x" * 500)[:20]], ids=["not gzip", "cut off"])
def test_broken_compression_is_the_clients_fault(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decompressed(raw, "gzip", LIMIT)
    assert caught.value.status == 400


async def test_what_is_ready_goes_out_as_one_message() -> None:
    send, receive = trio.open_memory_channel[bytes](4)
    async with ChannelBody(receive, b": k\n\n", 0) as body:
        for piece in (b"a", b"b", b"c"):
            send.send_nowait(piece)
        assert await anext(body) == b"abc"
        send.send_nowait(b"d")
        send.close()
        assert [piece async for piece in body] == [b"d"]


async def test_joining_is_bounded() -> None:
    send, receive = trio.open_memory_channel[bytes](4)
    async with ChannelBody(receive, b"", 0) as body:
        for _ in range(3):
            send.send_nowait(b"x" * JOIN_BYTES)
        assert len(await anext(body)) == JOIN_BYTES


async def test_silence_is_filled_and_nothing_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    """The timer surrounds a receive that survives being cancelled: three signs of life, then the item."""
    send, receive = trio.open_memory_channel[bytes](0)

    async def late() -> None:
        async with send:
            await trio.sleep(50)
            await send.send(b"late")

    async with ChannelBody(receive, b": k\n\n", 15) as body, trio.open_nursery() as nursery:
        nursery.start_soon(late)
        assert [piece async for piece in body] == [b": k\n\n"] * 3 + [b"late"]
    assert trio.current_time() >= 50


async def test_leaving_closes_the_channel() -> None:
    send, receive = trio.open_memory_channel[bytes](0)
    async with ChannelBody(receive, b"", 0):
        pass
    with pytest.raises(trio.BrokenResourceError):
        await send.send(b"x")
