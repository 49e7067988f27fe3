"""The time a request as a whole may take: over all attempts, rounds and waits, until its answer begins."""

import pytest
import trio.testing

from cliproxy.config.groups import Timeouts
from cliproxy.config.model import Config
from cliproxy.errors import Kind, NothingReady
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.exchange.record import Outcome
from support.exchange import (
    ANSWER,
    REFUSED,
    WHOLE,
    Bottle,
    Reply,
    attempt,
    bottle,
    chat,
    json_reply,
    refused,
)

Clock = trio.testing.MockClock
CONFIG = Config(timeouts=Timeouts(request_seconds=10))
SILENT = Reply(body=(1e6,))
SLOW = Reply(status=503, body=(4.0, b"{}"))
GOOD = json_reply(WHOLE)


def world_of(*replies: Reply, names: str = "abc") -> Bottle:
    return bottle(*replies, names=names, config=CONFIG)


async def test_an_attempt_ends_when_the_time_is_over(autojump_clock: Clock) -> None:
    world = world_of(SILENT)
    error = await refused(world)
    assert (error.status, error.kind, trio.current_time()) == (504, Kind.TIMEOUT, 10)
    assert "no answer within 10 s" in error.message
    assert world.hosts == ["a"]


async def test_all_attempts_share_it(autojump_clock: Clock) -> None:
    world = world_of(SLOW, SLOW, SILENT)
    error = await refused(world)
    assert trio.current_time() == 10
    assert world.hosts == ["a", "b", "c"]
    assert sorted(failure.kind for failure in error.failures) == [
        Kind.TIMEOUT,
        Kind.UNAVAILABLE,
        Kind.UNAVAILABLE,
    ]


async def test_nobody_waits_for_what_comes_too_late(autojump_clock: Clock) -> None:
    """The answer is given at once, with the time to come back."""
    world = world_of(json_reply(REFUSED, 429, retry_after="20"), names="a")
    error = await refused(world)
    assert (error.status, trio.current_time()) == (429, 0)
    with pytest.raises(NothingReady) as caught:
        await attempt(world)
    assert trio.current_time() == 0
    assert caught.value.retry_after == pytest.approx(21, abs=1.1)


async def test_what_comes_soon_enough_is_waited_for(autojump_clock: Clock) -> None:
    world = world_of(json_reply(REFUSED, 429, retry_after="5"), GOOD, names="a")
    await attempt(world)
    assert trio.current_time() == pytest.approx(5.25, abs=0.3)


async def test_an_answer_in_one_piece_must_be_complete(autojump_clock: Clock) -> None:
    late = Reply(headers=GOOD.headers, body=(11.0, *GOOD.body))
    world = world_of(late)
    with pytest.raises(Exception, match="no answer within 10 s"):
        await answer_exchange(chat(stream=False), world.deps)
    assert world.records[0].status == 504


async def test_a_stream_that_has_begun_takes_its_time(autojump_clock: Clock) -> None:
    world = world_of(Reply(body=(9.0, *ANSWER[:2], 100.0, *ANSWER[2:])))
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        async with head.body:
            assert b"".join([piece async for piece in head.body]) == b"".join(ANSWER)
    assert trio.current_time() == pytest.approx(109)
    assert world.records[0].outcome is Outcome.OK


async def test_a_stream_must_begin_in_time(autojump_clock: Clock) -> None:
    world = world_of(Reply(body=(11.0, *ANSWER)))
    async with trio.open_nursery() as nursery:
        with pytest.raises(Exception, match="no answer within 10 s"):
            await nursery.start(stream_exchange, chat(), world.deps)
    assert (world.records[0].status, trio.current_time()) == (504, 10)
