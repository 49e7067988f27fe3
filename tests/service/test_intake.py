"""A request on its way to the application: in few messages, none of it lost."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.events import Body, EndBody, Request, StreamClosed
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from cliproxy.service.intake import Intake, at_once

REQUEST = Request(
    stream_id=1,
    headers=[(b"host", b"x")],
    http_version="1.1",
    method="POST",
    raw_path=b"/",
    state=ConnectionState({}),
)


@asynccontextmanager
async def asked(read: Callable[[], Awaitable[None]] | None = None) -> AsyncIterator[tuple[Intake, list[Any]]]:
    """A request that has begun, and what the application has received of it."""
    received: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if read is not None:
            await read()
        while not received or received[-1]["type"] != "http.disconnect":
            received.append(await receive())

    async def sent(event: Any) -> None:
        await trio.lowlevel.checkpoint()

    async with TaskGroup() as group:
        intake = Intake(
            ASGIWrapper(app), Config(), WorkerContext(None), group, False, None, None, sent, stream_id=1
        )
        await intake.handle(REQUEST)
        yield intake, received
        await intake.handle(StreamClosed(stream_id=1))


def bodies(received: list[Any]) -> list[tuple[bytes, bool]]:
    return [(each["body"], each["more_body"]) for each in received if each["type"] == "http.request"]


async def test_a_request_that_has_come_as_a_whole_is_one_message() -> None:
    async with asked() as (intake, received):
        await intake.handle(Body(stream_id=1, data=b"all of it"))
        await intake.handle(EndBody(stream_id=1))
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(received) == [(b"all of it", False)]


async def test_so_is_one_without_a_body() -> None:
    async with asked() as (intake, received):
        await intake.handle(EndBody(stream_id=1))
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(received) == [(b"", False)]


async def test_of_a_body_in_pieces_only_the_last_waits() -> None:
    async with asked() as (intake, received):
        for piece in (b"a", b"b", b"c"):
            await intake.handle(Body(stream_id=1, data=piece))
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(received) == [(b"a", True), (b"b", True)]
        await intake.handle(EndBody(stream_id=1))
        await trio.testing.wait_all_tasks_blocked()
        assert bodies(received)[2:] == [(b"c", False)]


async def test_what_a_client_has_sent_before_it_left_arrives() -> None:
    async with asked() as (intake, received):
        await intake.handle(Body(stream_id=1, data=b"half"))
    assert bodies(received) == [(b"half", True)]
    assert received[-1]["type"] == "http.disconnect"


async def test_an_application_that_does_not_read_holds_the_client_back() -> None:
    may_read = trio.Event()
    count = 3 * Config().max_app_queue_size
    handed_over = 0

    async with asked(may_read.wait) as (intake, received), trio.open_nursery() as nursery:

        async def upload() -> None:
            nonlocal handed_over
            for number in range(count):
                await intake.handle(Body(stream_id=1, data=b"%d," % number))
                handed_over += 1
            await intake.handle(EndBody(stream_id=1))

        nursery.start_soon(upload)
        await trio.testing.wait_all_tasks_blocked()
        assert handed_over <= Config().max_app_queue_size + 1
        may_read.set()
        await trio.testing.wait_all_tasks_blocked()
        whole = b"".join(body for body, _ in bodies(received))
        assert whole == b"".join(b"%d," % number for number in range(count))


async def test_nothing_more_is_taken_once_the_request_is_over() -> None:
    async with asked() as (intake, received):
        await intake.handle(EndBody(stream_id=1))
        await intake.handle(StreamClosed(stream_id=1))
        await intake.handle(Body(stream_id=1, data=b"late"))
        await intake.handle(EndBody(stream_id=1))
    assert bodies(received) == [(b"", False)]


async def test_another_way_to_hand_over_is_noticed() -> None:
    async def put(_message: Any) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="a channel's method"):
        at_once(put)
