"""Thousands of clients that leave while the upstream is silent: all that was theirs goes with them.

The server runs in this process, so that its tasks and open files can be counted. The upstream, and the
clients, are a few lines on plain sockets: the upstream takes a request, says nothing or the beginning of an
answer, and waits until it is left alone. Nobody would notice a departure by writing.
"""

import contextlib
import json
import os
import random
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import trio
from attrs import define, field

from cliproxy.exchange.record import Outcome
from support.inside import Inside, inside, yaml_of
from support.plainly import WAYS, Way

AT_ONCE: Final = 40
MANY: Final = 10_000
FEW: Final = 300
WITHIN_MS: Final = 1000.0
"""The upstream is let go so soon after its client has left, on a machine that has time."""
SETTLED_S: Final = 10.0
RESET: Final = struct.pack("ii", 1, 0)
NUMBER: Final = re.compile(rb"number (\d+)\.")
EVENT: Final = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}]}\n\n'  # noqa: E501
BEGINNING: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENING: Final = BEGINNING + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
EMBED: Final = {"model": "m", "input": "Hello"}
LEAVING: Final = ("closes", "resets", "half-closes")


@define(eq=False)
class Upstream:
    """Takes requests, and keeps silent."""

    arrived: dict[int, trio.Event] = field(factory=dict)
    left: dict[int, trio.Event] = field(factory=dict)
    open: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Take one request, and wait for its end."""
        self.open += 1
        data, number = b"", None
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                while piece := await stream.receive_some():
                    data += piece
                    if number is None and (found := NUMBER.search(data)):
                        number = int(found[1])
                        if b'"stream":true' in data.replace(b" ", b"") and number % 2:
                            await stream.send_all(OPENING)
                        self.arrived[number].set()
        self.open -= 1
        if number is not None:
            self.left[number].set()


@define(eq=False)
class Crowd:
    """Clients that ask, and leave."""

    server: Inside
    upstream: Upstream
    rng: random.Random
    waits: list[float] = field(factory=list)
    """How long after each departure the upstream was left alone."""

    async def come_and_go(self, number: int) -> None:
        """Ask as one kind of client, and leave in one of the ways there are."""
        way, how = self.rng.choice((*WAYS, None)), self.rng.choice(LEAVING)
        is_begun = way is not None and way.stream and number % 2
        self.upstream.arrived[number], self.upstream.left[number] = trio.Event(), trio.Event()
        stream = await trio.open_tcp_stream(*self.server.address)
        async with stream:
            await stream.send_all(request(way, number))
            await self.upstream.arrived[number].wait()
            if is_begun:
                assert b"200" in await stream.receive_some()
            if how == "resets":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            begin = trio.current_time()
            if how == "half-closes":
                await stream.send_eof()
                await until_the_end(stream)
        await self.upstream.left[number].wait()
        self.waits.append(trio.current_time() - begin)
        del self.upstream.arrived[number], self.upstream.left[number]


def request(way: Way | None, number: int) -> bytes:
    """A request with a number in it: one of the APIs, or else embeddings."""
    path, body = ("/v1/embeddings", EMBED) if way is None else (way.path("m"), way.body("m"))
    data = json.dumps(body).replace("Hello", f"number {number}.").encode()
    fields = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return f"POST {path} HTTP/1.1\r\n{fields}".encode() + data


async def until_the_end(stream: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def many(count: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Do something so many times, some at the same time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            with trio.fail_after(60):
                await work(number)

    async with trio.open_nursery() as nursery:
        for _ in range(min(AT_ONCE, count)):
            nursery.start_soon(worker)


@define
class Rest:
    """What there is in the process when nobody asks anything."""

    tasks: int
    files: int
    accounts: dict[str, int]

    @classmethod
    def of(cls, server: Inside) -> "Rest":
        """Look."""
        tasks = server.do(trio.lowlevel.current_statistics).tasks_living
        return cls(tasks, len(os.listdir("/proc/self/fd")), server.do(server.service.runtime.statistics))


def at_rest(server: Inside, expected: Rest | None = None) -> Rest:
    """Wait until everything is as expected, or else does not change any more."""
    end, last = time.monotonic() + SETTLED_S, Rest.of(server)
    while time.monotonic() < end:
        time.sleep(0.5)  # noqa: TID251 - waits for another thread
        now = Rest.of(server)
        if now == expected or (expected is None and now == last):
            return now
        last = now
    return last


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files")
@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
def test_clients_that_leave_a_silent_upstream_leave_nothing(tmp_path: Path, count: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        config = yaml_of(a=(f"http://127.0.0.1:{listening.getsockname()[1]}", ["m"], 1))
        with inside(tmp_path, config) as server:
            trio.run(everybody, server, listening, count)


async def everybody(server: Inside, listening: socket.socket, count: int) -> None:
    """Let them all come and go, and see what is left of them."""
    upstream = Upstream()
    crowd = Crowd(server, upstream, random.Random(5))
    async with trio.open_nursery() as nursery:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        nursery.start_soon(trio.serve_listeners, upstream.serve, [listener])
        await many(AT_ONCE, crowd.come_and_go)
        before = await trio.to_thread.run_sync(at_rest, server)
        crowd.waits.clear()
        server.records.clear()
        begin = time.monotonic()
        await many(count, crowd.come_and_go)
        seconds = time.monotonic() - begin
        after = await trio.to_thread.run_sync(at_rest, server, before)
        nursery.cancel_scope.cancel()
    assert (after, upstream.open) == (before, 0)
    assert not any(after.accounts.values())
    check_records(server, count)
    waits = sorted(wait * 1000 for wait in crowd.waits)
    middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(
        f"\n{count} clients left a silent upstream in {seconds:.0f} s; it was let go after {middle:.0f} ms",
        end="",
    )
    print(
        f" (99 %: {late:.0f} ms, longest {waits[-1]:.0f} ms); tasks {before.tasks}, then {after.tasks};",
        end="",
    )
    print(f" open files {before.files}, then {after.files}")
    assert late < WITHIN_MS


def check_records(server: Inside, count: int) -> None:
    """Each has left one record, and nothing is held against the account."""
    assert len(server.records) == count
    for record in server.records:
        assert (record.outcome, record.status) == (Outcome.CANCELLED, 499)
        assert [note.failure for note in record.attempts] == [None]
