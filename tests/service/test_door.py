"""How many connections may be open: counted, told, and given back."""

import json
import logging

import pytest
import trio
import trio.testing

from cliproxy.service.door import REFUSED_AT_ONCE, REFUSING_S, RETRY_AFTER_S, Door, say_goodbye


def test_places_are_counted_and_given_back() -> None:
    door = Door()
    with door.entered(2) as first, door.entered(2) as second, door.entered(2) as third:
        assert (first, second, third) == (True, True, False)
        assert (door.open, door.refused) == (2, 1)
    assert door.open == 0
    with door.entered(2) as again:
        assert again


def test_a_place_is_given_back_whatever_happens() -> None:
    door = Door()
    with pytest.raises(RuntimeError), door.entered(1):
        raise RuntimeError
    assert door.open == 0


def test_without_a_limit_everybody_comes_in() -> None:
    door = Door()
    with door.entered(0) as first, door.entered(0) as second:
        assert first
        assert second


def test_it_is_logged_once_for_each_time_that_it_is_full(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    for _ in range(2):
        with door.entered(1):
            for _ in range(3):
                with door.entered(1):
                    pass
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert "limits.connections" in said[0]


async def test_a_client_is_told_why_and_for_how_long() -> None:
    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Door().refuse, near)
        await far.send_all(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        async for piece in far:
            answer += piece
            if b"}}" in answer:
                break
        await far.aclose()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: %d\r\n" % RETRY_AFTER_S in head
    assert b"\r\nconnection: close" in head
    assert b"content-length: %d" % len(body) in head
    assert "connections" in json.loads(body)["error"]["message"]


async def test_who_says_nothing_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    near, _ = trio.testing.memory_stream_pair()
    await Door().refuse(near)
    assert trio.current_time() == pytest.approx(REFUSING_S)


async def test_only_some_are_told_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    door = Door()
    ends = [trio.testing.memory_stream_pair() for _ in range(REFUSED_AT_ONCE + 1)]
    async with trio.open_nursery() as nursery:
        for near, _ in ends[:-1]:
            nursery.start_soon(door.refuse, near)
        await trio.testing.wait_all_tasks_blocked()
        assert door.refusing == REFUSED_AT_ONCE
        before = trio.current_time()
        await door.refuse(ends[-1][0])
        assert trio.current_time() == before
    assert door.refusing == 0


async def test_who_has_gone_already_is_no_fault() -> None:
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(b"GET / HTTP/1.1\r\n\r\n")
    await far.aclose()
    door = Door()
    await door.refuse(near)
    assert door.refusing == 0


@pytest.mark.parametrize("is_open", [True, False])
async def test_goodbye_is_said_where_it_can_be(is_open: bool) -> None:
    near, far = trio.testing.memory_stream_pair()
    if not is_open:
        await near.aclose()
    await say_goodbye(near)
    assert await far.receive_some() == b""


class OneWay(trio.abc.Stream):
    """A stream that ends both ways at once, as TLS does."""

    async def aclose(self) -> None:
        raise AssertionError

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise AssertionError

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise AssertionError


async def test_where_it_cannot_be_said_nothing_is_done() -> None:
    await say_goodbye(OneWay())
