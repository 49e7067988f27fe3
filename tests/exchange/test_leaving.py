"""Clients that leave, at any moment: the cancel sweep over exchanges of every kind.

Each exchange has everything in it that takes time: an account that has rested and is tried by this request
alone, and fails; another whose token is refused and renewed; and an answer. It is cancelled at its first I/O
operation, then, begun anew, at its second, and so on until it is over before.
"""

from typing import Final

import pytest
import trio
import trio.testing
from attrs import evolve, frozen

from cliproxy.dialects.base import Action, ClientRequest, Framing
from cliproxy.errors import Kind
from cliproxy.exchange.answer import answer_exchange, count_exchange, stream_exchange
from cliproxy.exchange.record import Outcome
from cliproxy.routing.cooldown import RuntimeState
from support.exchange import (
    ANSWER,
    REFUSED,
    WHOLE,
    Bottle,
    FakeContract,
    Reply,
    bottle,
    chat,
    json_reply,
    request,
)

Clock = trio.testing.MockClock

LONGEST: Final = 100
"""No exchange here has as many operations."""
LATE: Final = 2
"""A stream whose terminal event is delivered is complete, whoever leaves then."""
CLAUDE: Final = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
GEMINI: Final = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
CHAT: Final = FakeContract()
STREAM: Final = Reply(body=ANSWER)
EMBEDDED: Final = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "model": "up",
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}


@frozen(kw_only=True)
class Sort:
    """One kind of exchange."""

    wanted: ClientRequest
    last: Reply
    contract: FakeContract = CHAT

    @property
    def is_aside(self) -> bool:
        """Whether a failure says nothing about the model."""
        return self.wanted.action is not Action.GENERATE


EMBED: Final = request({"input": "hi"}, action=Action.EMBED)
EMBEDS: Final = FakeContract(actions=(Action.EMBED,))
SORTS: Final = {
    "stream": Sort(wanted=chat(), last=STREAM),
    "whole": Sort(wanted=chat(stream=False), last=json_reply(WHOLE)),
    "translated stream": Sort(wanted=request({**CLAUDE, "stream": True}, "claude"), last=STREAM),
    "translated whole": Sort(wanted=request(CLAUDE, "claude"), last=json_reply(WHOLE)),
    "translated array": Sort(
        wanted=request(GEMINI, "gemini", stream=True, framing=Framing.JSON_ARRAY), last=STREAM
    ),
    "collected": Sort(wanted=chat(stream=False), last=STREAM, contract=FakeContract(streams_only=True)),
    "translated and collected": Sort(
        wanted=request(CLAUDE, "claude"), last=STREAM, contract=FakeContract(streams_only=True)
    ),
    "a stream of a whole": Sort(wanted=chat(), last=json_reply(WHOLE)),
    "count": Sort(
        wanted=request(CLAUDE, "claude", action=Action.COUNT),
        last=json_reply({"input_tokens": 3}),
        contract=FakeContract("claude", actions=(Action.COUNT,)),
    ),
    "translated count": Sort(
        wanted=request(CLAUDE, "claude", action=Action.COUNT),
        last=json_reply({"totalTokens": 3}),
        contract=FakeContract("gemini", actions=(Action.COUNT,)),
    ),
    "embeddings": Sort(wanted=EMBED, last=json_reply(EMBEDDED), contract=EMBEDS),
    "translated embeddings": Sort(
        wanted=EMBED,
        last=json_reply({"embedding": {"values": [0.5]}}),
        contract=evolve(EMBEDS, dialect="gemini"),
    ),
}


def world_of(sort: Sort, *replies: Reply) -> Bottle:
    """A world in which the model of the first account may be tried again, by one."""
    first = (Reply(status=503, body=(b"{}",)), json_reply(REFUSED, 401), sort.last)
    world = bottle(*(replies or first), names="ab", contracts=(sort.contract,))
    rested = RuntimeState(until=trio.current_time(), failures=1, kind=Kind.UNAVAILABLE, cause="before")
    world.runtime.put(("a", "m"), rested)
    return world


async def run(world: Bottle, wanted: ClientRequest) -> None:
    """Run an exchange to its end."""
    if not wanted.stream:
        exchange = count_exchange if wanted.action is Action.COUNT else answer_exchange
        await exchange(wanted, world.deps)
        return
    async with trio.open_nursery() as nursery:
        head = await nursery.start(stream_exchange, wanted, world.deps)
        async with head.body:
            async for _ in head.body:
                pass


async def left_at(operation: int, world: Bottle, sort: Sort) -> bool:
    """Run an exchange and leave at its n-th I/O operation; tell whether it got that far."""
    reached = False
    with trio.CancelScope() as client:

        def leave(number: int) -> None:
            nonlocal reached
            if number == operation:
                reached = True
                client.cancel()

        world.upstreams.on_operation = leave
        await run(world, sort.wanted)
    return reached


def check_nothing_is_left(world: Bottle, tasks: int) -> None:
    """No stream, no place with an account, no trial, nobody who waits, no task."""
    assert world.upstreams.open_streams == 0
    statistics = world.runtime.statistics()
    assert (statistics["busy"], statistics["probes"], len(world.deps.places)) == (0, 0, 0)
    assert trio.lowlevel.current_statistics().tasks_living == tasks


@pytest.mark.parametrize("name", SORTS)
async def test_leaving_anywhere_leaves_nothing_behind(name: str, autojump_clock: Clock) -> None:
    sort, outcomes = SORTS[name], []
    await trio.sleep(1)
    for operation in range(1, LONGEST):
        world = world_of(sort)
        tasks = trio.lowlevel.current_statistics().tasks_living
        reached = await left_at(operation, world, sort)
        check_nothing_is_left(world, tasks)
        [record] = world.records
        outcomes.append(record.outcome)
        assert record.status == (200 if record.outcome is Outcome.OK else 499)
        check_health(world, sort)
        if not reached:
            break
    assert [note.credential for note in record.attempts] == ["a", "b"]
    left = outcomes.index(Outcome.OK)
    assert outcomes[:left] == [Outcome.CANCELLED] * left
    assert outcomes[left:] == [Outcome.OK] * (len(outcomes) - left)
    assert left >= 7
    assert len(outcomes) - left <= LATE


def check_health(world: Bottle, sort: Sort) -> None:
    """What was known of the accounts is known still, and a cancelled attempt adds nothing."""
    [record] = world.records
    failed = [note for note in record.attempts if note.failure is not None]
    assert [note.outcome for note in record.attempts[len(failed) :]] in (
        [Outcome.CANCELLED],
        [Outcome.OK],
        [],
    )
    state = world.runtime.state(("a", "m"))
    assert state.failures == (2 if failed and not sort.is_aside else 1)
    assert world.runtime.state(("b", "m")).failures == 0


async def test_a_trial_goes_to_the_next_when_who_made_it_leaves(autojump_clock: Clock) -> None:
    """Again and again: the place is never lost, and in the end somebody is served."""
    sort, leavers = SORTS["stream"], 20
    await trio.sleep(1)
    world = world_of(sort, *[Reply(body=(1e6,))] * leavers, STREAM)
    before = world.runtime.state(("a", "m"))
    world.runtime.put(("b", "m"), RuntimeState(until=1e9, failures=1, kind=Kind.QUOTA, cause="before"))
    for _ in range(leavers):
        with trio.move_on_after(1):
            await run(world, sort.wanted)
    assert world.runtime.state(("a", "m")) == before
    await run(world, sort.wanted)
    assert world.runtime.state(("a", "m")).failures == 0
    assert [record.outcome for record in world.records] == [Outcome.CANCELLED] * leavers + [Outcome.OK]
