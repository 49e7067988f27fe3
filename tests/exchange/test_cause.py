"""How an exchange ended is told by what has happened to it."""

import math
from collections.abc import Callable

import pytest
import trio
import trio.testing
from attrs import evolve

from cliproxy.config.groups import Routing
from cliproxy.config.model import Config
from cliproxy.dialects.base import ClientRequest
from cliproxy.errors import (
    AnswerCut,
    BadRequest,
    Failure,
    Kind,
    LimitExceeded,
    ModelNotFound,
    NothingReady,
    ProxyError,
    Scope,
    TransportError,
    UpstreamError,
)
from cliproxy.exchange.answer import answer_exchange, stream_exchange
from cliproxy.exchange.cause import STOPPED, EndedBy, ended_by
from support.exchange import ANSWER, REFUSED, WHOLE, Bottle, Reply, bottle, chat, json_reply

Clock = trio.testing.MockClock
STUCK = Reply(body=(math.inf,))
HALF = Reply(body=(*ANSWER[:2], math.inf))
CONNECT = TransportError("no route", kind=Kind.UNAVAILABLE, phase="connect")
BROKEN = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")


def failure(kind: Kind, **facts: object) -> Failure:
    return Failure(kind=kind, scope=Scope.MODEL, message="x", **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "who"),
    [
        (BadRequest("x"), EndedBy.LIMIT),
        (ModelNotFound("x"), EndedBy.LIMIT),
        (LimitExceeded("x"), EndedBy.LIMIT),
        (NothingReady("x", code="model_cooldown"), EndedBy.LIMIT),
        (NothingReady("x", code=STOPPED), EndedBy.SERVER),
        (UpstreamError([failure(Kind.QUOTA)]), EndedBy.UPSTREAM),
        (UpstreamError([failure(Kind.INTERNAL)]), EndedBy.SERVER),
        (AnswerCut(failure(Kind.TIMEOUT)), EndedBy.UPSTREAM),
        (AnswerCut(failure(Kind.UNAVAILABLE, code=STOPPED)), EndedBy.SERVER),
        (ProxyError("x", kind=Kind.INTERNAL), EndedBy.SERVER),
        (ValueError("x"), EndedBy.SERVER),
        (KeyboardInterrupt(), EndedBy.SERVER),
    ],
    ids=repr,
)
def test_who_is_behind_an_error(error: BaseException, who: EndedBy) -> None:
    assert ended_by(error) is who


async def run(world: Bottle, wanted: ClientRequest | None = None) -> str:
    """Stream an exchange to its end, whatever that is; how it ended."""
    try:
        async with trio.open_nursery() as nursery:
            head = await nursery.start(stream_exchange, wanted or chat(), world.deps)
            async with head.body:
                async for _ in head.body:
                    pass
    except* ProxyError:
        pass
    return world.records[-1].cause


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (Reply(body=ANSWER), "--"),
        (json_reply(REFUSED, 400), "UB"),
        (Reply(refuses=CONNECT), "UH"),
        (Reply(body=(BROKEN,)), "UB"),
        (Reply(body=(*ANSWER[:2], BROKEN)), "UD"),
    ],
)
async def test_what_the_upstream_does_shows(autojump_clock: Clock, reply: Reply, cause: str) -> None:
    assert await run(bottle(reply)) == cause


async def test_what_nobody_serves_ends_with_the_request(autojump_clock: Clock) -> None:
    assert await run(bottle(), evolve(chat(), model="nobody's")) == "LR"


async def test_who_comes_while_everybody_rests_ends_in_the_queue(autojump_clock: Clock) -> None:
    world = bottle(json_reply(REFUSED, 429, retry_after="100"))
    assert await run(world) == "UB"
    assert await run(world) == "LQ"


@pytest.mark.parametrize(
    ("script", "cause"),
    [((STUCK,), "CB"), ((HALF,), "CD"), ((json_reply(REFUSED, 503, retry_after="20"),), "CQ")],
)
async def test_a_client_that_leaves_is_the_cause(
    autojump_clock: Clock, script: tuple[Reply, ...], cause: str
) -> None:
    world = bottle(*script, config=Config(request_retry=3, max_retry_interval=30))
    with trio.move_on_after(5):
        await run(world)
    assert [record.cause for record in world.records] == [cause]


@pytest.mark.parametrize(("reply", "cause"), [(STUCK, "SB"), (HALF, "SD")])
async def test_a_stop_is_the_servers(autojump_clock: Clock, reply: Reply, cause: str) -> None:
    world = bottle(reply)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(after, 5, world.deps.ending.end)
        await run(world)
    assert [record.cause for record in world.records] == [cause]


async def test_what_is_cancelled_after_the_stop_is_the_servers_too(autojump_clock: Clock) -> None:
    world = bottle(HALF)
    with trio.move_on_after(5):
        world.deps.ending.is_over = True
        await run(world)
    assert world.records[-1].ended_by is EndedBy.SERVER


async def test_who_leaves_while_waiting_for_a_place(autojump_clock: Clock) -> None:
    world = bottle(Reply(body=(60.0, *ANSWER)), config=Config(routing=Routing(max_concurrent=1)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, world)
        await trio.sleep(1)
        with trio.move_on_after(1):
            await run(world)
        assert [record.cause for record in world.records] == ["CQ"]


async def test_an_answer_in_one_piece_is_complete(autojump_clock: Clock) -> None:
    world = bottle(json_reply(WHOLE))
    await answer_exchange(chat(stream=False), world.deps)
    assert world.records[-1].cause == "--"


async def test_the_waits_for_the_pieces_of_a_stream_are_measured(autojump_clock: Clock) -> None:
    """From the first piece on: until then the upstream thinks."""
    world = bottle(Reply(body=(9.0, *ANSWER[:2], 1.0, ANSWER[2], 4.0, *ANSWER[3:])))
    await run(world)
    [record] = world.records
    assert record.pace.longest == 4.0
    assert record.pace.total == 5.0
    assert record.pace.mean == 5.0 / record.pace.count


async def after(seconds: float, do: Callable[[], None]) -> None:
    await trio.sleep(seconds)
    do()
