"""A stop ends every exchange in a form its client understands."""

import math
from collections.abc import Callable

import pytest
import trio
import trio.testing

from cliproxy.errors import Kind, NothingReady, ProxyError
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.exchange.ending import STOPPING, Ending
from cliproxy.exchange.record import Outcome
from support.exchange import ANSWER, Reply, bottle, chat

Clock = trio.testing.MockClock


async def test_the_scope_named_last_is_the_one_that_is_cancelled() -> None:
    ending = Ending()
    exchange = object()
    with trio.CancelScope() as outer, ending.by(exchange, outer):
        with trio.CancelScope() as inner, ending.by(exchange, inner):
            ending.end()
            await trio.lowlevel.checkpoint()
        assert inner.cancelled_caught
        await trio.lowlevel.checkpoint()
    assert not outer.cancelled_caught


async def test_a_block_that_was_left_is_not_interrupted_any_more() -> None:
    ending = Ending()
    exchange = object()
    with trio.CancelScope() as outer, ending.by(exchange, outer):
        with trio.CancelScope() as inner, ending.by(exchange, inner):
            await trio.lowlevel.checkpoint()
        ending.end()
        await trio.lowlevel.checkpoint()
    assert outer.cancelled_caught


async def test_what_begins_after_the_end_is_over_at_once() -> None:
    ending = Ending()
    ending.end()
    with trio.CancelScope() as scope, ending.by(object(), scope):
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


@pytest.mark.parametrize("body", [(math.inf,), (*ANSWER[:1], math.inf)])
async def test_a_stop_before_the_answer_is_an_error(
    autojump_clock: Clock, body: tuple[bytes | float, ...]
) -> None:
    """Nobody is blamed for it."""
    world = bottle(Reply(body=body), names="ab")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, world.deps.ending.end)
        with pytest.raises(ProxyError, match=STOPPING) as caught:
            await answer_exchange(chat(stream=False), world.deps)
    assert (caught.value.status, caught.value.kind) == (503, Kind.UNAVAILABLE)
    assert world.upstreams.open_streams == 0
    assert world.runtime.statistics()["states"] == 0
    assert [record.outcome for record in world.records] == [Outcome.ERROR]


async def test_a_stop_while_waiting_for_another_round_is_an_error(autojump_clock: Clock) -> None:
    world = bottle()
    world.deps.ending.end()
    with pytest.raises(NothingReady, match=STOPPING):
        await answer_exchange(chat(stream=False), world.deps)


async def test_a_stop_after_the_answer_has_begun_is_an_error_frame(autojump_clock: Clock) -> None:
    world = bottle(Reply(body=(*ANSWER[:2], math.inf)), names="ab")
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, chat(), world.deps)
        nursery.start_soon(after, 5, world.deps.ending.end)
        received = b"".join([piece async for piece in head.body])
    assert STOPPING.encode() in received.splitlines()[-2]
    assert world.upstreams.open_streams == 0
    assert world.runtime.statistics()["states"] == 0
    assert [(record.outcome, record.status) for record in world.records] == [(Outcome.ERROR, 503)]


async def after(seconds: float, do: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    do()
