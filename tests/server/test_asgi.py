"""The seam to the ASGI server: the nursery of a request, the last message, and faults behind the head."""

import math
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve
from quart import Response, request

from cliproxy.config.model import Config
from cliproxy.server.app import App
from cliproxy.server.asgi import LAST_MESSAGE_S, body_received, nursery_of
from cliproxy.service.service import hypercorn_config, serve_app
from support.application import application
from support.asgi import client_of
from support.exchange import Reply, bottle, chunk

STREAM = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PATH = "/v1/chat/completions"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def app_with(view: Callable[[], object], path: str = "/page") -> App:
    app = application(bottle())
    app.add_url_rule(path, view_func=view, methods=["GET", "POST"])
    return app


async def test_a_complete_body_is_one_message() -> None:
    async with client_of(app_with(lambda: Response(b"x" * 200_000))) as client:
        response = await client("GET", "/page")
        assert await response.read() == b"x" * 200_000
        assert len(response.sent) == 1
        assert response.is_complete


async def test_tasks_of_a_request_end_with_it() -> None:
    ended = trio.Event()

    async def lasting() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def view() -> Response:
        nursery_of(request).start_soon(lasting)
        await trio.testing.wait_all_tasks_blocked()
        return Response(b"done")

    async with client_of(app_with(view)) as client:
        assert await (await client("GET", "/page")).read() == b"done"
        await trio.testing.wait_all_tasks_blocked()
        assert ended.is_set()


async def test_the_end_of_a_body_is_told_also_when_nobody_reads_it() -> None:
    async def view() -> Response:
        await body_received(request)
        return Response(b"done")

    async with client_of(app_with(view)) as client:
        assert (await client("POST", "/page", {"a": 1})).status == 200


async def test_a_fault_before_the_head_is_a_status(caplog: pytest.LogCaptureFixture) -> None:
    async def view() -> Response:
        raise RuntimeError("a fault of ours")

    async with client_of(app_with(view)) as client:
        response = await client("GET", "/page")
        assert response.status == 500
        await response.read()
        assert response.is_complete
    assert "a fault of ours" in caplog.text


async def test_a_fault_behind_the_head_is_logged_and_the_answer_breaks_off(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    world = bottle(Reply(body=(chunk("Hel"), 1.0, ValueError("a fault of ours"))))
    async with client_of(application(world)) as client:
        response = await client("POST", PATH, STREAM)
        assert await response.read() == chunk("Hel")
        assert not response.is_complete
    assert "a fault of ours" in caplog.text
    assert PATH in caplog.text


async def test_a_body_that_fails_breaks_off_too(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"begin"
        raise RuntimeError("a fault of ours")

    async with client_of(app_with(lambda: Response(body()))) as client:
        response = await client("GET", "/page")
        assert await response.read() == b"begin"
        assert not response.is_complete
    assert "a fault of ours" in caplog.text


async def test_the_last_message_goes_out_although_the_server_has_said_goodbye(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The server reports the disconnect while it is still sending."""
    app = app_with(lambda: Response(b"done"))
    sent: list[bytes] = []
    left = trio.Event()

    async def receive() -> dict[str, object]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            left.set()
            await trio.sleep(1)
            sent.append(message["body"])  # type: ignore[arg-type]

    await app({**scope_of("/page")}, receive, send)  # type: ignore[arg-type]
    assert sent == [b"done"]


async def test_a_large_body_may_take_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """A client on a slow line reads for longer than the last message may take."""
    body = b"x" * 1_000_000
    sent: list[bytes] = []

    async def receive() -> dict[str, object]:
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        if data := message.get("body"):
            assert isinstance(data, bytes)
            await trio.sleep(10 * LAST_MESSAGE_S)
            sent.append(data)

    await app_with(lambda: Response(body))({**scope_of("/page")}, receive, send)  # type: ignore[arg-type]
    assert b"".join(sent) == body


async def test_a_client_that_takes_nothing_is_not_waited_for_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left = trio.Event()
    requests: list[dict[str, object]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, object]:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            left.set()
            await trio.sleep_forever()

    await app_with(lambda: Response(b"done"))({**scope_of("/page")}, receive, send)  # type: ignore[arg-type]
    assert trio.current_time() == pytest.approx(LAST_MESSAGE_S)


def scope_of(path: str) -> dict[str, object]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "extensions": {},
        "state": {},
    }


# --- with the real server, over a real socket -----------------------------------------------------


@asynccontextmanager
async def served(app: App) -> AsyncIterator[trio.SocketStream]:
    """Serve an application for real; the client's end of a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        config = hypercorn_config(Config(), [listener])
        listener.detach()
    stop = trio.Event()
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_app, app, config, stop.wait)
            async with await trio.open_tcp_stream(*address) as stream:
                yield stream
            stop.set()


def post(body: bytes) -> bytes:
    return HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def read_to_the_end(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


async def test_a_fault_behind_the_head_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Without the end of the chunked body, so that no client takes it for whole."""
    world = bottle(Reply(body=(chunk("Hel"), 0.05, ValueError("a fault of ours"))))
    async with served(application(world)) as stream:
        await stream.send_all(post(b'{"model":"m","messages":[],"stream":true}'))
        received = await read_to_the_end(stream)
    assert b"200" in received.partition(b"\r\n")[0]
    assert chunk("Hel") in received
    assert not received.endswith(b"0\r\n\r\n")
    assert "a fault of ours" in caplog.text


async def test_a_request_that_is_refused_early_does_not_cost_the_next_its_connection() -> None:
    """The head is refused before the body has come, which is on its way."""
    body = b'{"model":"nobody"}'
    head = b"POST /v1/nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with served(application(bottle())) as stream:
        for _ in range(3):
            await stream.send_all(head)
            await trio.sleep(0.05)
            await stream.send_all(body)
            received = b""
            while b'"not_found"' not in received:
                piece = await stream.receive_some()
                assert piece, "closed"
                received += piece
            assert received.startswith(b"HTTP/1.1 404")


async def test_a_client_that_resets_ends_the_upstream_at_once() -> None:
    world = bottle(Reply(body=(chunk("Hel"), math.inf)))
    is_over = trio.Event()
    world.deps = evolve(world.deps, record=lambda _record: is_over.set())
    async with served(application(world)) as stream:
        await stream.send_all(post(b'{"model":"m","messages":[],"stream":true}'))
        assert b"200" in await stream.receive_some()
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await stream.aclose()
        await is_over.wait()
    assert world.upstreams.open_streams == 0
