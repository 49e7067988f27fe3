"""Strategies, conversations and limits, seen from the whole loop of attempts."""

import pytest
import trio
import trio.testing

from cliproxy.config.groups import Routing
from cliproxy.config.model import Config
from cliproxy.errors import Kind, NothingReady, UpstreamError
from cliproxy.exchange.attempts import Attempts
from cliproxy.exchange.plan import Plan
from cliproxy.net.http import UpstreamStream
from support.exchange import REFUSED, WHOLE, Bottle, Reply, bottle, json_reply, recorder_of, request

GOOD = json_reply(WHOLE)
SLOW = Reply(headers=GOOD.headers, body=(5.0, *GOOD.body))


def config(retry: int = 0, interval: int = 30, most: int = 0, **routing: object) -> Config:
    return Config(
        request_retry=retry,
        max_retry_interval=interval,
        max_retry_credentials=most,
        routing=Routing(**routing),  # type: ignore[arg-type]
    )


async def everything(stream: UpstreamStream, _plan: Plan) -> bytes:
    return await stream.read_all(1_000_000)


async def ask(world: Bottle, said: str = "hi", client: str = "") -> bytes:
    """Send one request of a conversation that begins with some words."""
    wanted = request({"messages": [{"role": "user", "content": said}]}, client_id=client)
    return await Attempts(wanted, world.deps, recorder_of(world, wanted), everything).run()


@pytest.mark.parametrize(
    ("strategy", "hosts"),
    [("round-robin", "abcabc"), ("fill-first", "aaaaaa"), ("weighted-round-robin", "babbab")],
)
async def test_the_strategy_says_who_is_asked(strategy: str, hosts: str) -> None:
    weights = {"a": {"weight": 1}, "b": {"weight": 2}, "c": {"weight": 0}}
    world = bottle(*[GOOD] * 6, names="abc", config=config(strategy=strategy), own=weights)
    for _ in range(6):
        await ask(world)
    assert "".join(world.hosts) == hosts


async def test_the_least_busy_is_asked(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(SLOW, GOOD, GOOD, names="ab", config=config(strategy="least-busy"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, world)
        await trio.sleep(1)
        await ask(world)
        await ask(world)
    assert world.hosts == ["a", "b", "b"]
    assert world.runtime.statistics()["busy"] == 0


async def test_a_conversation_stays_with_its_account() -> None:
    world = bottle(*[GOOD] * 5, names="ab", caches_prompts=True)
    for said in ("one", "two", "one", "one", "two"):
        await ask(world, said)
    assert world.hosts == ["a", "b", "a", "a", "b"]


@pytest.mark.parametrize(
    ("caches", "routing"),
    [
        (False, {}),
        (True, {"session_affinity": False}),
        (True, {"session_affinity_ttl": "0"}),
    ],
)
async def test_nobody_stays_where_it_is_no_use_or_not_wanted(
    caches: bool, routing: dict[str, object]
) -> None:
    world = bottle(GOOD, GOOD, names="ab", caches_prompts=caches, config=config(**routing))
    await ask(world)
    await ask(world)
    assert world.hosts == ["a", "b"]


async def test_conversations_of_other_clients_are_others() -> None:
    world = bottle(*[GOOD] * 3, names="ab", caches_prompts=True)
    for client in ("k1", "k2", "k1"):
        await ask(world, client=client)
    assert world.hosts == ["a", "b", "a"]


async def test_a_conversation_moves_when_its_account_fails_and_stays_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limited = json_reply(REFUSED, 429, retry_after="60")
    world = bottle(GOOD, limited, GOOD, GOOD, GOOD, names="ab", caches_prompts=True)
    await ask(world)
    await ask(world)
    await ask(world)
    await trio.sleep(100)
    await ask(world)
    assert world.hosts == ["a", "a", "b", "b", "b"]


async def test_a_fault_of_the_request_moves_nothing() -> None:
    world = bottle(GOOD, json_reply(REFUSED, 400), GOOD, names="ab", caches_prompts=True)
    await ask(world)
    with pytest.raises(UpstreamError):
        await ask(world)
    await ask(world)
    assert world.hosts == ["a", "a", "a"]


async def test_no_more_accounts_are_tried_in_a_round_than_allowed() -> None:
    world = bottle(*[json_reply(REFUSED, 500)] * 2, names="abc", config=config(most=2))
    with pytest.raises(UpstreamError):
        await ask(world)
    assert world.hosts == ["a", "b"]


async def test_a_full_account_is_waited_for_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """Three requests, one place: one after the other, none refused."""
    world = bottle(SLOW, SLOW, SLOW, config=config(max_concurrent=1))
    ended: list[tuple[str, float]] = []

    async def one(name: str) -> None:
        await ask(world, name)
        ended.append((name, trio.current_time()))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for name in "xyz":
            nursery.start_soon(one, name)
            await trio.sleep(0.1)
    assert [name for name, _ in ended] == ["x", "y", "z"]
    assert ended[-1][1] - start == pytest.approx(15.0)
    assert len(world.deps.places) == 0


async def test_waiting_for_a_place_ends_in_a_refusal_that_says_when_to_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = bottle(SLOW, names="a", config=config(interval=2, max_concurrent=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, world)
        await trio.sleep(1)
        start = trio.current_time()
        with pytest.raises(NothingReady) as caught:
            await ask(world)
        assert trio.current_time() - start == pytest.approx(2.0)
    assert (caught.value.code, caught.value.kind) == ("accounts_busy", Kind.RATE_LIMIT)
    assert caught.value.retry_after == 1.0


async def test_a_place_is_given_back_by_who_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(SLOW, GOOD, config=config(max_concurrent=1))
    with trio.move_on_after(1):
        await ask(world)
    assert world.runtime.statistics()["busy"] == 0
    await ask(world)
    assert len(world.hosts) == 2


async def test_the_end_of_a_rest_is_not_missed_while_waiting_for_a_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limited = json_reply(REFUSED, 429, retry_after="2")
    slow = Reply(headers=GOOD.headers, body=(50.0, *GOOD.body))
    world = bottle(limited, slow, GOOD, names="ab", config=config(max_concurrent=1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, world)
        await trio.sleep(1)
        await ask(world)
        nursery.cancel_scope.cancel(reason="seen enough")
    assert world.hosts == ["a", "b", "a"]


async def test_an_own_limit_goes_before_the_general_one(autojump_clock: trio.testing.MockClock) -> None:
    world = bottle(SLOW, SLOW, GOOD, config=config(max_concurrent=1), max_concurrent=2)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, world)
        nursery.start_soon(ask, world)
    assert trio.current_time() - start == pytest.approx(5.0)
