"""Limits at work: what requests are thought to cost, what they have cost, and who is refused."""

from contextlib import ExitStack
from math import inf

import pytest
import trio
from attrs import evolve

from cliproxy.config.entries import ClientKey, ModelPrice
from cliproxy.config.model import Config
from cliproxy.dialects.base import Action, ClientRequest
from cliproxy.errors import LimitExceeded, ModelNotFound, UpstreamError
from cliproxy.exchange.answer import answer_exchange, count_exchange, stream_exchange
from cliproxy.exchange.record import Outcome
from cliproxy.routing.budget import Span
from cliproxy.service.clientkeys import ClientKeys
from cliproxy.stores.rows import CounterRow
from cliproxy.wire.formdata import FormData, Part
from support.exchange import (
    ANSWER,
    REFUSED,
    WHOLE,
    Bottle,
    Reply,
    bottle,
    chat,
    chunk,
    json_reply,
    request,
)

PRICED = Config(request_retry=0, model_prices={"p": (ModelPrice(name="m", input=1000.0, output=100_000.0),)})
ALICE = ClientKey(name="Alice", tokens_per_day=5000)


def used(keys: ClientKeys, entry: ClientKey = ALICE) -> tuple[int, int, int]:
    """Requests, tokens and micro-dollars of this day, with nothing reserved."""
    [day] = [each for each in keys.account(entry).sums() if each.span is Span.DAY]
    return day.requests, day.tokens, day.micros


async def ask(world: Bottle, keys: ClientKeys, entry: ClientKey = ALICE, **members: object) -> None:
    wanted = chat(stream=False, **members)
    with keys.metered(entry, wanted, world.deps) as deps:
        await answer_exchange(wanted, deps)


async def test_what_was_used_takes_the_place_of_the_estimate() -> None:
    world, keys = bottle(json_reply(WHOLE), config=PRICED), ClientKeys()
    await ask(world, keys)
    assert used(keys) == (1, 5, 3 * 1000 + 2 * 100_000)
    assert [record.outcome for record in world.records] == [Outcome.OK]


async def test_requests_under_way_cannot_share_what_is_left() -> None:
    world, keys = bottle(), ClientKeys()
    wanted = chat(stream=False, max_tokens=2000)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(keys.metered(ALICE, wanted, world.deps))
        with pytest.raises(LimitExceeded) as caught, keys.metered(ALICE, wanted, world.deps):
            pass
    error = caught.value
    assert (error.status, error.code, error.retry_after) == (429, None, 1.0)
    assert (error.detail["limit"], error.detail["allowed"], error.detail["used"]) == (
        "tokens-per-day",
        5000,
        0,
    )
    assert "reserved by requests under way" in error.message
    with keys.metered(ALICE, wanted, world.deps):
        pass
    assert used(keys) == (3, 0, 0)


async def test_attempts_that_failed_cost_what_they_used() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 1, "total_tokens": 31}
    cut = Reply(body=(chunk("a"), chunk(usage=usage, choices=[])))
    world, keys = bottle(cut, config=Config(request_retry=0)), ClientKeys()
    wanted = chat()
    with keys.metered(ALICE, wanted, world.deps) as deps:
        async with trio.open_nursery() as nursery:
            head = await nursery.start(stream_exchange, wanted, deps)
            async for _ in head.body:
                pass
    assert world.records[0].outcome is Outcome.ERROR
    assert used(keys) == (1, 31, 0)


async def test_a_refusal_of_the_upstream_costs_nothing() -> None:
    world, keys = bottle(json_reply(REFUSED, 500)), ClientKeys()
    with pytest.raises(UpstreamError):
        await ask(world, keys)
    assert used(keys) == (1, 0, 0)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_who_leaves_before_the_price_is_told_pays_the_estimate(has_begun: bool) -> None:
    """As soon as the upstream has taken the request; before that there is nothing to pay for."""
    pieces = (chunk("a"), inf) if has_begun else (chunk(""), inf)
    world, keys = bottle(Reply(body=pieces, refuses=None)), ClientKeys()
    wanted = chat(max_tokens=100)
    with trio.CancelScope() as scope, keys.metered(ALICE, wanted, world.deps) as deps:
        async with trio.open_nursery() as nursery:
            if has_begun:
                await nursery.start(stream_exchange, wanted, deps)
            else:
                world.upstreams.on_operation = lambda _: scope.cancel()
                nursery.start_soon(stream_exchange, wanted, deps)
            scope.cancel()
    assert [record.outcome for record in world.records] == [Outcome.CANCELLED]
    requests, tokens, _ = used(keys)
    assert (requests, 100 <= tokens <= 150) == (1, has_begun)


async def test_an_answer_without_usage_costs_the_estimate() -> None:
    silent = {name: value for name, value in WHOLE.items() if name != "usage"}
    world, keys = bottle(json_reply(silent)), ClientKeys()
    await ask(world, keys, max_tokens=100)
    assert 100 <= used(keys)[1] <= 150


async def test_counting_tokens_is_a_request_and_takes_no_tokens() -> None:
    world, keys = bottle(), ClientKeys()
    entry = evolve(ALICE, requests_per_minute=1, tokens_per_day=1)
    wanted = request({"messages": [{"role": "user", "content": "hi"}]}, "claude", action=Action.COUNT)
    with keys.metered(entry, wanted, world.deps) as deps:
        await count_exchange(wanted, deps)
    assert used(keys, entry) == (1, 0, 0)
    with pytest.raises(LimitExceeded, match="requests-per-minute"), keys.metered(entry, wanted, world.deps):
        pass


async def test_money_is_reserved_by_the_price_of_the_model() -> None:
    """Ten tokens of an answer cost a dollar here."""
    world, keys = bottle(json_reply(WHOLE), config=PRICED), ClientKeys()
    entry = ClientKey(name="bob", money_per_day=1.5)
    with keys.metered(entry, chat(max_tokens=10), world.deps):
        with pytest.raises(LimitExceeded, match=r"1.50 USD in a day.* reserved") as caught:
            await ask(world, keys, entry, max_tokens=10)
        assert caught.value.detail["allowed"] == 1.5
    await ask(world, keys, entry, max_tokens=10)
    assert used(keys, entry)[2] == 203_000


async def test_a_model_without_a_price_takes_no_money() -> None:
    world, keys = bottle(json_reply(WHOLE)), ClientKeys()
    await ask(world, keys, ClientKey(name="bob", money_per_day=0))


async def test_a_model_that_does_not_exist_is_the_first_thing_said() -> None:
    world, keys = bottle(), ClientKeys()
    entry = evolve(ALICE, requests_per_minute=1)
    with keys.metered(entry, chat(), world.deps):
        pass
    with pytest.raises(LimitExceeded), keys.metered(entry, chat(), world.deps):
        pass
    with pytest.raises(ModelNotFound), keys.metered(entry, evolve(chat(), model="x"), world.deps):
        pass


async def test_minutes_slide(autojump_clock: trio.testing.MockClock) -> None:
    world, keys = bottle(), ClientKeys()
    entry = ClientKey(name="a", requests_per_minute=1)
    with keys.metered(entry, chat(), world.deps):
        pass
    with pytest.raises(LimitExceeded) as caught, keys.metered(entry, chat(), world.deps):
        pass
    assert caught.value.retry_after is not None
    await trio.sleep(caught.value.retry_after)
    with keys.metered(entry, chat(), world.deps):
        pass


async def test_an_account_belongs_to_a_name() -> None:
    """Another key, other limits, other spelling: what was used stays."""
    world, keys = bottle(json_reply(WHOLE)), ClientKeys()
    await ask(world, keys)
    assert keys.account(ClientKey(name="ALICE", tokens_per_day=1)) is keys.account(ALICE)
    with pytest.raises(LimitExceeded, match=r"1 in a day \(UTC\): 5 used"):
        await ask(world, keys, ClientKey(name="ALICE", tokens_per_day=1))


async def test_accounts_go_on_after_a_restart() -> None:
    kept: list[CounterRow] = []
    world, keys = bottle(json_reply(WHOLE)), ClientKeys(kept.extend)
    await ask(world, keys)
    assert {(each.key, each.period, each.tokens) for each in kept} == {
        ("alice", Span.DAY, 5),
        ("alice", Span.MONTH, 5),
    }
    later: list[CounterRow] = []
    again = ClientKeys(later.extend)
    again.restore([*kept, CounterRow(key="alice", period="week", start=0, tokens=1000)])
    assert used(again) == (1, 5, 0)
    assert later == []


async def test_counts_that_come_late_are_added_and_kept() -> None:
    kept: list[CounterRow] = []
    world, keys = bottle(json_reply(WHOLE), json_reply(WHOLE)), ClientKeys(kept.extend)
    await ask(world, keys)
    early, late = tuple(kept), list[CounterRow]()
    again = ClientKeys(late.extend)
    await ask(world, again)
    again.restore(early)
    assert used(again) == (2, 10, 0)
    assert [each.tokens for each in late] == [5, 5, 10, 10]


async def test_the_record_reaches_the_others_as_well() -> None:
    world, keys = bottle(Reply(body=ANSWER)), ClientKeys()
    wanted = chat()
    with keys.metered(ALICE, wanted, world.deps) as deps:
        async with trio.open_nursery() as nursery:
            head = await nursery.start(stream_exchange, wanted, deps)
            async for _ in head.body:
                pass
    assert len(world.records) == 1


async def test_an_owner_may_want_nothing_served_that_cannot_be_saved() -> None:
    strict = Config(request_retry=0, client_keys_when_unsaved="refuse")
    world, keys = bottle(*[json_reply(WHOLE)] * 3, config=strict), ClientKeys(is_kept=lambda: False)
    with pytest.raises(LimitExceeded, match="cannot be saved") as caught:
        await ask(world, keys)
    assert (caught.value.status, caught.value.code) == (503, "counts_unsaved")
    await ask(world, keys, ClientKey(name="minutes", tokens_per_minute=1000))
    await ask(world, ClientKeys())
    await ask(bottle(json_reply(WHOLE)), keys)


async def test_files_of_a_form_are_pictures() -> None:
    """Not text of the same size."""
    world, keys = bottle(), ClientKeys()
    picture = Part(name="image", data=b"x" * 4_000_000, filename="a.png", mime="image/png")
    form = FormData.of([Part(name="prompt", data=b"a cat"), picture])
    wanted = evolve(chat(), action=Action.IMAGE, document=form)
    with keys.metered(ALICE, wanted, world.deps):
        reserved = reserved_when_refused(keys, chat(max_tokens=4000), world)
    assert 1200 <= reserved <= 1220


def reserved_when_refused(keys: ClientKeys, wanted: ClientRequest, world: Bottle) -> float:
    """What others have reserved, as a request is told that is too much."""
    with pytest.raises(LimitExceeded) as caught, keys.metered(ALICE, wanted, world.deps):
        pass
    reserved = caught.value.detail["reserved"]
    assert isinstance(reserved, float)
    return reserved
