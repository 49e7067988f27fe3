"""The short way to an upstream: which connections are used again, limits."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore2
import pytest
import trio
import trio.testing
import trustme

from cliproxy.errors import Kind, TransportError
from cliproxy.net.direct import DirectConnections, Target
from cliproxy.net.sockets import JOINED_BYTES
from cliproxy.wire.http import HttpCall, Limits
from support.upstream import OK, Server, body, sends, serving

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
HOST = (b"Host", b"h")


def target_of(server: Server) -> Target:
    return Target(url=httpcore2.URL(f"{server.url}/v1/x?a=b"), authority="h")


def call(**settings: object) -> HttpCall:
    return HttpCall(**{"method": "GET", "url": "http://unused.invalid/", **settings})


@asynccontextmanager
async def direct(tls: ssl.SSLContext | None = None) -> AsyncIterator[DirectConnections]:
    connections = DirectConnections(tls or ssl.create_default_context())
    try:
        yield connections
    finally:
        await connections.aclose()


async def whole(response: httpcore2.Response) -> bytes:
    try:
        return b"".join([piece async for piece in response.aiter_stream()])
    finally:
        await response.aclose()


@pytest.mark.parametrize("size", [0, 1, JOINED_BYTES, JOINED_BYTES + 1])
async def test_bodies_of_any_size_arrive(size: int) -> None:
    received = bytearray()

    async def reading(stream: trio.SocketStream, head: bytes) -> None:
        received.extend(head.partition(b"\r\n\r\n")[2])
        while len(received) < size:
            received.extend(await stream.receive_some())
        await stream.send_all(body(b"ok"))

    async with serving(reading) as server, direct() as connections:
        fields = [HOST, (b"Content-Length", str(size).encode())]
        asked = call(method="POST", body=b"x" * size)
        assert await whole(await connections.ask(asked, target_of(server), fields)) == b"ok"
    assert received == b"x" * size


async def test_names_of_fields_keep_their_case_and_order() -> None:
    async with serving(sends(body(b""))) as server, direct() as connections:
        fields = [HOST, (b"X-Goog-Api-Key", b"k"), (b"x-lower", b"v")]
        await whole(await connections.ask(call(), target_of(server), fields))
        assert server.requests[0].split(b"\r\n")[:4] == [
            b"GET /v1/x?a=b HTTP/1.1",
            b"Host: h",
            b"X-Goog-Api-Key: k",
            b"x-lower: v",
        ]


# --- what is used again --------------------------------------------------------------------------------


async def test_a_connection_is_used_again_after_a_whole_exchange() -> None:
    async with serving(sends(body(b"x"))) as server, direct() as connections:
        for _ in range(3):
            assert await whole(await connections.ask(call(), target_of(server), [HOST])) == b"x"
        assert server.connections == 1


async def test_one_that_was_left_early_is_not() -> None:
    async with serving(sends(CHUNKED + b"1\r\nx\r\n")) as server, direct() as connections:
        for _ in range(2):
            response = await connections.ask(call(), target_of(server), [HOST])
            await response.aclose()
        assert server.connections == 2


@pytest.mark.parametrize("then_close", [True, False])
async def test_nor_is_one_that_the_upstream_ends(then_close: bool) -> None:
    """Whether it says so or just does it."""
    fields = () if then_close else (b"connection: close",)
    answering = sends(body(b"x", *fields), then_close=then_close)
    async with serving(answering) as server, direct() as connections:
        for _ in range(2):
            assert await whole(await connections.ask(call(), target_of(server), [HOST])) == b"x"
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.connections == 2


async def test_nor_one_that_ends_a_moment_after_it_was_looked_at(mock_clock: trio.testing.MockClock) -> None:
    """Nothing has been sent on it by then, so another one takes the request."""
    has_answer = trio.Event()

    async def answering(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(body(b"x"))
        await has_answer.wait()
        await stream.aclose()

    async with serving(answering) as server, direct() as connections:
        assert await whole(await connections.ask(call(), target_of(server), [HOST])) == b"x"
        has_answer.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await whole(await connections.ask(call(), target_of(server), [HOST])) == b"x"
        assert (server.connections, len(server.requests)) == (2, 2)


# --- limits --------------------------------------------------------------------------------------------


async def test_a_cancelled_call_closes_its_connection() -> None:
    is_asked = trio.Event()

    async def listening(stream: trio.SocketStream, _head: bytes) -> None:
        is_asked.set()
        await stream.receive_some()

    async with serving(listening) as server, direct() as connections:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connections.ask, call(), target_of(server), [HOST])
            await is_asked.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            await server.gone.wait()


async def silent(_stream: trio.SocketStream, _head: bytes) -> None:
    await trio.sleep_forever()


async def test_an_upstream_that_does_not_read_ends_the_call(mock_clock: trio.testing.MockClock) -> None:
    size = 50_000_000
    async with serving(silent) as server, direct() as connections, trio.open_nursery() as nursery:

        async def ask() -> None:
            fields = [HOST, (b"Content-Length", str(size).encode())]
            with pytest.raises(httpcore2.WriteTimeout):
                await connections.ask(call(method="POST", body=b"x" * size), target_of(server), fields)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.1)
        mock_clock.jump(61)


async def test_a_late_first_byte_names_the_limit(mock_clock: trio.testing.MockClock) -> None:
    async with serving(silent) as server, direct() as connections, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(TransportError, match="no answer within 5 s") as caught:
                await connections.ask(call(limits=Limits(first_byte=5.0)), target_of(server), [HOST])
            assert (caught.value.kind, caught.value.phase) == (Kind.TIMEOUT, "head")

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.1)
        mock_clock.jump(6)


# --- TLS -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def secured(authority: trustme.CA, name: str) -> AsyncIterator[Target]:
    """Serve one fixed answer over TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with trio.CancelScope() as scope:
            try:
                while await stream.receive_some():
                    await stream.send_all(body(b"secret"))
            except trio.BrokenResourceError:
                scope.cancel()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_ssl_over_tcp_listeners(
            0, context, host="127.0.0.1", https_compatible=True
        )
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        port = listeners[0].transport_listener.socket.getsockname()[1]
        yield Target(url=httpcore2.URL(f"https://localhost:{port}/"), authority="localhost")
        nursery.cancel_scope.cancel()


async def test_a_call_over_tls() -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    async with secured(authority, "localhost") as target, direct(context) as connections:
        for _ in range(2):
            assert await whole(await connections.ask(call(), target, [HOST])) == b"secret"


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
async def test_a_certificate_that_is_not_trusted_or_names_another_is_refused(name: str) -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    if name != "localhost":
        authority.configure_trust(context)
    async with secured(authority, name) as target, direct(context) as connections:
        with pytest.raises(httpcore2.ConnectError):
            await connections.ask(call(), target, [HOST])
