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
    async with ChannelBody(receive) as body:
        for piece in (b"a", b"b", b"c"):
            send.send_nowait(piece)
        assert await anext(body) == b"abc"
        send.send_nowait(b"d")
        send.close()
        assert [piece async for piece in body] == [b"d"]


async def test_joining_is_bounded() -> None:
    send, receive = trio.open_memory_channel[bytes](4)
    async with ChannelBody(receive) as body:
        for _ in range(3):
            send.send_nowait(b"x" * JOIN_BYTES)
        assert len(await anext(body)) == JOIN_BYTES


async def test_silence_is_filled_and_nothing_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    send, receive = trio.open_memory_channel[bytes](0)

    async def late() -> None:
        async with send:
            await trio.sleep(50)
            await send.send(b"late")

    async with ChannelBody(receive) as body, trio.open_nursery() as nursery:
        nursery.start_soon(late)
        nursery.start_soon(body.keep_alive, send, b": k\n\n", 15)
        assert [piece async for piece in body] == [b": k\n\n"] * 3 + [b"late"]
        assert trio.current_time() == 50
        nursery.cancel_scope.cancel()


async def test_a_sign_of_life_comes_a_whole_interval_after_the_last_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    send, receive = trio.open_memory_channel[bytes](4)

    async def events() -> None:
        for _ in range(4):
            await trio.sleep(10)
            await send.send(b"x")
        await trio.sleep(31)
        send.close()

    async with ChannelBody(receive) as body, trio.open_nursery() as nursery:
        nursery.start_soon(events)
        nursery.start_soon(body.keep_alive, send, b"k", 15)
        came = [(trio.current_time(), piece) async for piece in body]
        nursery.cancel_scope.cancel()
    assert came == [(10, b"x"), (20, b"x"), (30, b"x"), (40, b"x"), (55, b"k"), (70, b"k")]


async def test_a_client_that_does_not_read_gets_no_signs_of_life(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They would come all at once when it does."""
    send, receive = trio.open_memory_channel[bytes](4)
    async with ChannelBody(receive) as body, trio.open_nursery() as nursery:
        nursery.start_soon(body.keep_alive, send, b"k", 15)
        send.send_nowait(b"x")
        assert await anext(body) == b"x"
        await trio.sleep(100)
        send.send_nowait(b"y")
        assert await anext(body) == b"y"
        assert await anext(body) == b"k"
        assert trio.current_time() == pytest.approx(115, abs=15)
        nursery.cancel_scope.cancel()


async def test_signs_of_life_end_with_the_answer(autojump_clock: trio.testing.MockClock) -> None:
    send, receive = trio.open_memory_channel[bytes](4)
    async with ChannelBody(receive) as body, trio.open_nursery() as nursery:
        nursery.start_soon(body.keep_alive, send, b"k", 15)
        send.close()
        assert [piece async for piece in body] == []
        await trio.sleep(100)
        nursery.cancel_scope.cancel()


async def test_leaving_closes_the_channel() -> None:
    send, receive = trio.open_memory_channel[bytes](0)
    async with ChannelBody(receive):
        pass
    with pytest.raises(trio.BrokenResourceError):
        await send.send(b"x")
