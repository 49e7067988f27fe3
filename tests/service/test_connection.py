"""How long connections last, and in how many pieces they are written to."""

import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from cliproxy.config.groups import Limits, Timeouts
from cliproxy.config.model import Config
from cliproxy.service.connection import AHEAD_BYTES, LINGER_S, Http1
from cliproxy.service.service import hypercorn_config, serve_app
from support.lifespan import lived
from support.server import Server, running

REQUESTS = 40
BODY = '{"model":"demo","max_tokens":4,"messages":[{"role":"user","content":"hi"}]}'


def open_files(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def ask_and_close(server: Server) -> None:
    """Do what a command-line tool does: one request, the whole answer, goodbye."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
    assert connection.getresponse().read()
    connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the files of another process")
def test_clients_that_close_after_the_answer_leave_nothing_behind(tmp_path: Path) -> None:
    """With the server's own connections most of them would stay until the keep-alive time is over."""
    with running(tmp_path, "-demo") as server:
        before = open_files(server)
        for _ in range(REQUESTS):
            ask_and_close(server)
        deadline = time.monotonic() + 5
        while open_files(server) > before + 2:
            assert time.monotonic() < deadline, open_files(server) - before
            time.sleep(0.05)  # noqa: TID251 - waits for another process


# --- patience ------------------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path: at once, in pieces, or when it is time."""
    if await lived(scope, receive, send):
        return
    path = scope["path"].removeprefix("/")
    if path == "slow":
        await trio.sleep(30)
    fields = [] if path == "pieces" else [(b"content-length", str(len(path)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if path == "pieces":
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    elif path == "broken":
        raise RuntimeError("between head and body")
    else:
        await send({"type": "http.response.body", "body": path.encode(), "more_body": False})


@asynccontextmanager
async def served(
    keep_alive_s: float, header_s: float = 1000.0, connections: int = 0, app: Any = None
) -> AsyncIterator[tuple[trio.SocketStream, trio.Event]]:
    """Serve for real; a connection, and the event that stops the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        times = Timeouts(keep_alive_seconds=keep_alive_s, header_seconds=header_s)
        config = hypercorn_config(Config(timeouts=times, limits=Limits(connections=connections)), [listener])
        listener.detach()
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_app, app or echo, config, stop.wait)
        async with await trio.open_tcp_stream(*address) as stream:
            yield stream, stop
        stop.set()


def get(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def answered(stream: trio.SocketStream, path: str) -> None:
    await stream.send_all(get(path))
    data = b""
    while not data.endswith(path.encode()):
        piece = await stream.receive_some()
        assert piece
        data += piece


async def settle(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let what is under way on the sockets happen, then time pass, then what follows from it."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked(0.05)


@pytest.mark.parametrize("asks_first", [False, True])
async def test_an_idle_connection_is_closed_when_its_time_is_over(
    asks_first: bool, mock_clock: trio.testing.MockClock
) -> None:
    async with served(keep_alive_s=5) as (stream, _):
        if asks_first:
            await answered(stream, "first")
            await settle(mock_clock, 4)
            await answered(stream, "second")
        await settle(mock_clock, 4.5)
        await answered(stream, "third")
        await settle(mock_clock, 5.5)
        assert await stream.receive_some() == b""


async def test_a_connection_that_waits_for_its_answer_is_not_idle(mock_clock: trio.testing.MockClock) -> None:
    async with served(keep_alive_s=5) as (stream, _):
        await stream.send_all(get("slow"))
        await settle(mock_clock, 29)
        await settle(mock_clock, 2)
        assert (await stream.receive_some()).endswith(b"slow")


async def test_the_end_of_the_server_ends_idle_connections_at_once() -> None:
    async with served(keep_alive_s=1000) as (stream, stop):
        await answered(stream, "first")
        stop.set()
        with trio.fail_after(10):
            assert await stream.receive_some() == b""


async def read_to_the_end(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


@pytest.mark.parametrize("asks_first", [False, True])
async def test_a_head_that_trickles_in_has_a_deadline(
    asks_first: bool, mock_clock: trio.testing.MockClock
) -> None:
    """It starts with the first byte; further ones do not move it. The time for another request is another."""
    async with served(keep_alive_s=1000, header_s=10) as (stream, _):
        if asks_first:
            await answered(stream, "first")
            await settle(mock_clock, 500)
        for piece in (b"GET /", b"x HTTP/1.1", b"\r\nHost: x\r\n"):
            await stream.send_all(piece)
            await settle(mock_clock, 3)
        await stream.send_all(b"X-More: ")
        await settle(mock_clock, 2)
        answer = await read_to_the_end(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer


async def test_a_head_that_comes_in_time_is_answered(mock_clock: trio.testing.MockClock) -> None:
    async with served(keep_alive_s=5, header_s=10) as (stream, _):
        for _ in range(3):
            await stream.send_all(b"GET /slow HTTP/1.1\r\n")
            await settle(mock_clock, 9)
            await stream.send_all(b"Host: x\r\n\r\n")
            await settle(mock_clock, 29)
            await settle(mock_clock, 2)
            assert (await stream.receive_some()).endswith(b"slow")


async def test_who_never_says_anything_is_not_waited_for_longer(mock_clock: trio.testing.MockClock) -> None:
    """And not told anything: a browser that connects in advance would take it for an answer."""
    async with served(keep_alive_s=1000, header_s=10) as (stream, _):
        await settle(mock_clock, 11)
        assert await stream.receive_some() == b""


async def test_who_is_in_the_middle_of_a_head_at_the_end_of_the_server_is_not_blamed() -> None:
    async with served(keep_alive_s=1000) as (stream, stop):
        await stream.send_all(b"GET / HT")
        await trio.testing.wait_all_tasks_blocked(0.05)
        stop.set()
        with trio.fail_after(10):
            assert await stream.receive_some() == b""


# --- numbers -------------------------------------------------------------------------------------------


async def test_one_connection_too_many_is_told_so_and_the_others_go_on() -> None:
    async with served(keep_alive_s=1000, connections=1) as (stream, _):
        await answered(stream, "first")
        address = stream.socket.getpeername()
        async with await trio.open_tcp_stream(*address) as second:
            await second.send_all(get("second"))
            with trio.fail_after(10):
                assert (await read_to_the_end(second)).startswith(b"HTTP/1.1 503 ")
        await answered(stream, "third")
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        async with await trio.open_tcp_stream(*address) as third:
            await answered(third, "fourth")


# --- versions ------------------------------------------------------------------------------------------


async def test_a_wish_for_another_protocol_is_passed_over() -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    async with served(keep_alive_s=1000) as (stream, _):
        await stream.send_all(b"GET /first HTTP/1.1\r\nHost: x\r\n" + wish + b"\r\n")
        answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 200 ")
        await answered(stream, "second")


async def test_another_version_is_refused() -> None:
    async with served(keep_alive_s=1000) as (stream, _):
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        with trio.fail_after(10):
            assert (await read_to_the_end(stream)).startswith(b"HTTP/1.1 505 ")


# --- reading on ----------------------------------------------------------------------------------------


async def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    async with served(keep_alive_s=1000) as (stream, _):
        await stream.send_all(get("first") + get("pieces") + get("third")[:9])
        await trio.testing.wait_all_tasks_blocked(0.05)
        await stream.send_all(get("third")[9:] + get("last"))
        data = b""
        with trio.fail_after(10):
            while not data.endswith(b"last"):
                data += await stream.receive_some()
    assert [data.index(word) for word in (b"first", b"two", b"third", b"last")] == sorted(
        data.index(word) for word in (b"first", b"two", b"third", b"last")
    )
    assert data.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize("rest", [b"", get("last")])
async def test_who_waits_long_for_its_turn_gets_it(mock_clock: trio.testing.MockClock, rest: bytes) -> None:
    """Also where more came meanwhile."""
    async with served(keep_alive_s=1000) as (stream, _):
        await stream.send_all(get("slow") + get("next"))
        await settle(mock_clock, 1)
        if rest:
            await stream.send_all(rest)
        await settle(mock_clock, 30)
        data, end = b"", b"last" if rest else b"next"
        with trio.fail_after(10):
            while not data.endswith(end):
                data += await stream.receive_some()
    assert data.index(b"slow") < data.index(b"next")


async def test_a_turn_that_comes_at_the_very_moment_when_it_is_not_waited_for_any_more(
    mock_clock: trio.testing.MockClock,
) -> None:
    """Which of the two is first is left to chance; both happen."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        body = scope["path"].encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(1)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with served(keep_alive_s=1000, app=late) as (stream, _):
        for number in range(16):
            await stream.send_all(get("first") + get(f"next-{number}"))
            data = b""
            with trio.fail_after(100):
                while not data.endswith(f"next-{number}".encode()):
                    data += await stream.receive_some()


@pytest.mark.parametrize("more", [b"\r\n", get("next"), b"GET /"])
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_client_that_leaves_is_noticed_whatever_it_has_sent_ahead(more: bytes, how: str) -> None:
    asked, left = trio.Event(), trio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with served(keep_alive_s=1000, app=waiting) as (stream, _):
        await stream.send_all(get("first") + more)
        await asked.wait()
        if how == "rst":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        await stream.aclose()
        with trio.fail_after(5):
            await left.wait()


@pytest.mark.parametrize("has_left", [True, False])
async def test_who_is_far_ahead_keeps_no_connection_that_is_over(has_left: bool) -> None:
    """Nothing is read then, so that nobody sees the end; the connection would be counted for ever."""
    asked = trio.Event()

    async def never_ready(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or scope["path"] == "/new":
            await echo(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        asked.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_with_client, receive, nursery.cancel_scope)
            while has_left:
                await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
                await trio.sleep(0.01)
            await trio.testing.wait_all_tasks_blocked(0.1)
            raise RuntimeError("between head and body")

    async def end_with_client(receive: Any, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async with served(keep_alive_s=1000, connections=1, app=never_ready) as (stream, _):
        address = stream.socket.getpeername()
        await stream.send_all(get("first") + get("again") * (2 * AHEAD_BYTES // len(get("again"))))
        await asked.wait()
        if has_left:
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.2)
        async with await trio.open_tcp_stream(*address) as another:
            with trio.fail_after(5):
                await answered(another, "new")


async def test_no_more_than_so_much_is_received_ahead() -> None:
    """The rest waits in the system, and holds the client back; nothing is lost."""
    count = 4 * AHEAD_BYTES // len(get("again"))
    async with served(keep_alive_s=1000) as (stream, _), trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, get("first") + get("again") * count)
        data, seen = b"", 0
        with trio.fail_after(60):
            while seen <= count:
                data += await stream.receive_some()
                seen += data.count(b"HTTP/1.1 200")
                data = data[-11:] if not data.endswith(b"HTTP/1.1 200") else b""


async def test_a_client_that_is_still_sending_can_read_its_answer(mock_clock: trio.testing.MockClock) -> None:
    """What it sends meanwhile is passed over, for a while."""
    head = b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n"
    async with served(keep_alive_s=1000) as (stream, _):
        await stream.send_all(head + b"x" * 100_000)
        assert (await stream.receive_some()).endswith(b"first")
        await stream.send_all(b"x" * 1_000_000)
        assert await stream.receive_some() == b""
        await stream.send_all(b"x" * 1_000_000)
        await settle(mock_clock, LINGER_S + 1)
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x" * 100_000_000)


# --- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("whole", [b"whole"]),
        ("", [b"\r\n\r\n"]),
        ("pieces", [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]),
        ("broken", []),
    ],
)
async def test_the_head_is_written_with_what_follows_it(path: str, written: list[bytes]) -> None:
    events: list[Event] = []

    async def send(event: Event) -> None:
        events.append(event)
        await trio.lowlevel.checkpoint()

    config = HypercornConfig()
    config.accesslog = config.errorlog = None
    context = WorkerContext(None)
    app = ASGIWrapper(echo)
    async with TaskGroup() as group:
        state = ConnectionState({})
        protocol = Http1(app, config, context, group, state, False, ("x", 1), ("y", 80), send)
        await protocol.handle(RawData(get(path)))
        await trio.testing.wait_all_tasks_blocked()
    pieces = [event.data for event in events if isinstance(event, RawData)]
    assert len(pieces) == len(written)
    assert all(piece.endswith(end) for piece, end in zip(pieces, written, strict=True))
    assert all(piece.startswith(b"HTTP/1.1 200") for piece in pieces[:1])
    assert any(isinstance(event, Closed) for event in events) is (path == "broken")
