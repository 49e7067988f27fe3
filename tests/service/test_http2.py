"""HTTP/2, which clients choose inside TLS: one request is no danger to another."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
import trio
import trio.testing
import trustme

from cliproxy.config.groups import Timeouts, Tls
from cliproxy.config.model import Config
from cliproxy.service.service import hypercorn_config, serve_app
from support.lifespan import lived


async def early(scope: Any, receive: Any, send: Any) -> None:
    """Answer before the body has come, or never."""
    if await lived(scope, receive, send):
        return
    while scope["path"] == "/never":
        if (await receive())["type"] == "http.disconnect":
            return
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": False})


class Client:
    """One connection."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self.state = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False, header_encoding=None)
        )
        self.state.initiate_connection()

    async def begin(self, path: bytes) -> int:
        number = self.state.get_next_available_stream_id()
        fields = [(b":method", b"POST"), (b":path", path), (b":scheme", b"https"), (b":authority", b"x")]
        self.state.send_headers(number, fields)
        await self.stream.send_all(self.state.data_to_send())
        return number

    async def go_on(self, number: int, data: bytes) -> None:
        self.state.send_data(number, data)
        await self.stream.send_all(self.state.data_to_send())

    async def take_back(self, number: int) -> None:
        self.state.reset_stream(number)
        await self.stream.send_all(self.state.data_to_send())

    async def answer(self, number: int) -> bytes:
        body = b""
        with trio.fail_after(10):
            while data := await self.stream.receive_some(65536):
                for event in self.state.receive_data(data):
                    if isinstance(event, h2.events.DataReceived) and event.stream_id == number:
                        body += event.data or b""
                    if isinstance(event, h2.events.StreamEnded) and event.stream_id == number:
                        return body
        return body


@asynccontextmanager
async def served(directory: Path, app: Any = early) -> AsyncIterator[Callable[[], Awaitable[Client]]]:
    """Serve inside TLS; what connects a client."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        config = hypercorn_config(Config(tls=Tls(enable=True, cert=str(chain), key=str(key))), [listener])
        listener.detach()
    stop = trio.Event()

    async def connect() -> Client:
        plain = await trio.open_tcp_stream(*address)
        return Client(trio.SSLStream(plain, context, server_hostname="localhost", https_compatible=True))

    async with trio.open_nursery() as nursery:
        await nursery.start(serve_app, app, config, stop.wait)
        yield connect
        stop.set()


async def test_what_comes_of_a_request_that_is_answered_is_passed_over(tmp_path: Path) -> None:
    """More than the client may send without being told that it may."""
    async with served(tmp_path) as connect:
        client = await connect()
        async with client.stream:
            first = await client.begin(b"/first")
            assert await client.answer(first) == b"/first"
            for _ in range(10):
                await client.go_on(first, bytes(16_000))
                another = await client.begin(b"/another")
                assert await client.answer(another) == b"/another"


async def test_a_fault_ends_its_connection_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as connect:
        client = await connect()
        async with client.stream:
            assert await client.answer(await client.begin(b"/\xff")) == b""
        assert "a connection was cut by a fault" in caplog.text
        another = await connect()
        async with another.stream:
            assert await another.answer(await another.begin(b"/another")) == b"/another"


async def test_who_takes_its_request_back_is_idle(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    async with served(tmp_path) as connect:
        client = await connect()
        async with client.stream:
            number = await client.begin(b"/never")
            await trio.testing.wait_all_tasks_blocked(0.05)
            await client.take_back(number)
            await trio.testing.wait_all_tasks_blocked(0.05)
            mock_clock.jump(Timeouts().keep_alive_seconds + 1)
            with trio.fail_after(10):
                mock_clock.rate = 1
                while await client.stream.receive_some(65536):
                    pass


async def test_an_answer_that_waits_for_its_client_ends_with_the_connection(tmp_path: Path) -> None:
    """Whether or not whoever makes it wants to know that the client has left."""
    left = trio.Event()

    async def wide(scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": False})
        left.set()

    async with served(tmp_path, wide) as connect:
        client = await connect()
        await client.begin(b"/wide")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not left.is_set()
        await trio.aclose_forcefully(client.stream)
        with trio.fail_after(5):
            await left.wait()


async def test_everybody_is_told_that_the_client_has_left(tmp_path: Path) -> None:
    """Also where one of them finds out, and ends in the middle of telling it."""
    told, may_answer = [], trio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        async with trio.open_nursery() as nursery:
            if scope["path"] == "/answers":
                nursery.start_soon(answer, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            told.append(scope["path"])
            nursery.cancel_scope.cancel()

    async def answer(send: Any) -> None:
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})

    async with served(tmp_path, waiting) as connect:
        client = await connect()
        for path in (b"/answers", b"/waits", b"/waits", b"/waits"):
            await client.begin(path)
        await trio.testing.wait_all_tasks_blocked(0.05)
        may_answer.set()
        await trio.aclose_forcefully(client.stream)
        with trio.fail_after(5):
            while len(told) < 4:
                await trio.testing.wait_all_tasks_blocked()
