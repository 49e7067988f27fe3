"""Blanks before an answer that takes long: only when wanted, only when it does, and never instead of it."""

import json

import pytest
import trio.testing

from cliproxy.exchange.record import Outcome
from support.application import application
from support.asgi import client_of
from support.exchange import REFUSED, WHOLE, Reply, bottle, json_reply

Clock = trio.testing.MockClock
PATH = "/v1/chat/completions"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json"}


def slow(value: object, status: int = 200) -> Reply:
    """An answer whose body takes 50 seconds."""
    return Reply(status=status, headers=JSON, body=(b" ", 50.0, json.dumps(value).encode()))


async def test_without_the_wish_there_are_none(autojump_clock: Clock) -> None:
    async with client_of(application(bottle(slow(WHOLE)))) as client:
        response = await client("POST", PATH, CHAT)
        assert trio.current_time() >= 50
        assert await response.json() == WHOLE
        assert not b"".join(response.sent).startswith(b"\n")


async def test_an_answer_that_takes_long_begins_with_blanks(autojump_clock: Clock) -> None:
    world = bottle(slow(WHOLE))
    async with client_of(application(world, nonstream_keepalive_interval=15)) as client:
        response = await client("POST", PATH, CHAT)
        assert trio.current_time() == pytest.approx(15)
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert "content-length" not in response.headers
        body = await response.read()
    assert body.startswith(b"\n" * 3)
    assert not body.startswith(b"\n" * 4)
    assert body.lstrip(b"\n").lstrip() == json.dumps(WHOLE).encode()
    assert json.loads(body) == WHOLE
    assert response.is_complete
    assert world.records[0].outcome is Outcome.OK


async def test_an_answer_that_is_soon_there_is_an_ordinary_one(autojump_clock: Clock) -> None:
    async with client_of(application(bottle(json_reply(WHOLE)), nonstream_keepalive_interval=15)) as client:
        response = await client("POST", PATH, CHAT)
        assert int(response.headers["content-length"]) == len(await response.read())


async def test_an_error_that_is_soon_there_has_its_status(autojump_clock: Clock) -> None:
    world = bottle(json_reply(REFUSED, 400))
    async with client_of(application(world, nonstream_keepalive_interval=15)) as client:
        assert (await client("POST", PATH, CHAT)).status == 400


async def test_an_error_that_comes_late_is_the_dialects_object(autojump_clock: Clock) -> None:
    world = bottle(
        Reply(headers=JSON, body=(b" ", 50.0, json.dumps({"error": {"message": "busy"}}).encode()))
    )
    async with client_of(application(world, nonstream_keepalive_interval=15)) as client:
        response = await client("POST", PATH, CHAT)
        assert response.status == 200
        assert "busy" in (await response.json())["error"]["message"]


async def test_a_client_that_leaves_ends_the_work(autojump_clock: Clock) -> None:
    world = bottle(slow(WHOLE))
    async with client_of(application(world, nonstream_keepalive_interval=15)) as client:
        response = await client("POST", PATH, CHAT)
        response.leave.set()
        await trio.testing.wait_all_tasks_blocked()
        assert [record.outcome for record in world.records] == [Outcome.CANCELLED]
    assert world.upstreams.open_streams == 0
