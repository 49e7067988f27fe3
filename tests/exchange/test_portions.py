"""Answers in portions: the rest is asked for, a few at a time, and everything is joined in order."""

import json
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from cliproxy.dialects.base import ClientRequest, Portions
from cliproxy.errors import BadRequest, ProxyError, UpstreamError
from cliproxy.exchange.portions import AT_ONCE, Answer, completed
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import JsonObject, dumps, items
from support.exchange import request

PORTIONS = Portions(
    wanted=lambda body: len(items(body, "input")),
    given=lambda answer: len(items(answer, "data")),
    only=lambda body, start, size: {"input": items(body, "input")[start : start + size]},
    joined=lambda answers: {"data": [entry for answer in answers for entry in items(answer, "data")]},
)


def answer(*data: int, portions: Portions | None = PORTIONS, usage: Usage | None = None) -> Answer:
    return Answer(
        body=dumps({"data": list(data)}), portions=portions, usage=usage or Usage(fresh_input=len(data))
    )


def wanted(count: int) -> ClientRequest:
    return request({"input": list(range(count))})


async def echo(asked: ClientRequest) -> Answer:
    """Answer the last first, so that order is not a matter of luck."""
    data = items(asked.document.value, "input")
    await trio.sleep(100 - data[0])
    return answer(*data)


async def unasked(_request: ClientRequest) -> Answer:
    raise AssertionError("nothing is missing")


def data_of(whole: Answer) -> JsonObject:
    return json.loads(whole.body)["data"]


@pytest.mark.parametrize("first", [answer(0, 1, 2), answer(0, portions=None), answer()])
async def test_an_answer_that_is_whole_stays_as_it_is(first: Answer) -> None:
    assert await completed(wanted(3), first, unasked) is first


@pytest.mark.parametrize(("size", "count"), [(1, 4), (2, 5), (3, 4), (10, 11), (1, 30)])
async def test_the_rest_is_asked_for_and_joined_in_order(
    size: int, count: int, autojump_clock: trio.testing.MockClock
) -> None:
    whole = await completed(wanted(count), answer(*range(size)), echo)
    assert data_of(whole) == list(range(count))
    assert whole.usage == Usage(fresh_input=count)
    assert whole.portions is None


async def test_only_a_few_are_asked_for_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    under_way = most = 0

    async def ask(asked: ClientRequest) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        found = await echo(asked)
        under_way -= 1
        return found

    await completed(wanted(20), answer(0), ask)
    assert most == AT_ONCE


def failing(error: ProxyError) -> Callable[[ClientRequest], Awaitable[Answer]]:
    async def ask(asked: ClientRequest) -> Answer:
        await trio.lowlevel.checkpoint()
        if asked.document.value["input"] == [2]:
            raise error
        return await echo(asked)

    return ask


async def test_a_portion_that_fails_fails_the_whole_at_once(autojump_clock: trio.testing.MockClock) -> None:
    start = trio.current_time()
    with pytest.raises(BadRequest, match="no"):
        await completed(wanted(4), answer(0), failing(BadRequest("no")))
    assert trio.current_time() == start


async def test_a_portion_of_another_size_is_a_broken_answer() -> None:
    async def ask(_request: ClientRequest) -> Answer:
        await trio.lowlevel.checkpoint()
        return answer(1, 2)

    with pytest.raises(UpstreamError, match="another number"):
        await completed(wanted(3), answer(0), ask)


async def test_what_nobody_counted_stays_unknown() -> None:
    async def ask(_request: ClientRequest) -> Answer:
        await trio.lowlevel.checkpoint()
        return answer(1, usage=Usage(output=2))

    whole = await completed(wanted(2), answer(0, usage=Usage(output=1)), ask)
    assert whole.usage == Usage(output=3)
