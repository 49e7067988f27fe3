"""Connections of our own: what is sent, what is read, which connections are used again."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.errors import Kind, TransportError
from cliproxy.net.direct import IDLE_S, JOINED_BYTES, MAX_IDLE, Connection, DirectConnections, Target
from cliproxy.wire.http import HttpCall, Limits
from support.upstream import OK, Server, body, sends, serving

CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def target_of(server: Server) -> Target:
    port = int(server.url.rpartition(":")[2])
    return Target(origin=(False, "127.0.0.1", port), authority=f"127.0.0.1:{port}", path="/v1/x?a=b")


def call(**settings: object) -> HttpCall:
    return HttpCall(**{"method": "GET", "url": "http://unused.invalid/", **settings})  # type: ignore[arg-type]


def connections() -> DirectConnections:
    return DirectConnections(ssl.create_default_context())


async def asked(direct: DirectConnections, server: Server, **settings: object) -> Connection:
    target = target_of(server)
    return await direct.ask(call(**settings), target, [("Host", target.authority)])


async def whole(connection: Connection) -> bytes:
    pieces = []
    while data := await connection.read():
        pieces.append(data)
    return b"".join(pieces)


class Wire:
    """A connection over memory; the other end belongs to the test. Stands for its socket, too."""

    def __init__(self) -> None:
        ours, self.stream = trio.testing.memory_stream_pair()
        self.is_closed = False
        self.connection = Connection((False, "h", 80), ours, self)  # type: ignore[arg-type]

    def is_readable(self) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True

    async def ask(self, data: bytes = b"", *fields: tuple[str, str]) -> bytes:
        """Send a request; return what of it arrived."""
        target = Target(origin=(False, "h", 80), authority="h", path="/x")
        head = self.connection.begin(call(method="POST", body=data), target, [("Host", "h"), *fields])
        await self.connection.send(head, data)
        return bytes(await self.stream.receive_some())

    async def answer(self, data: bytes) -> bytes:
        """Let an answer come, then the end; return its body as it is read."""
        await self.stream.send_all(data)
        await self.stream.send_eof()
        await self.connection.receive_head()
        return await whole(self.connection)


async def test_names_of_fields_keep_their_case_and_order() -> None:
    wire = Wire()
    sent = await wire.ask(b"{}", ("X-Goog-Api-Key", "k"), ("x-lower", "v"), ("Content-Length", "2"))
    lines = sent.split(b"\r\n")
    assert lines[0] == b"POST /x HTTP/1.1"
    assert lines[1:5] == [b"Host: h", b"X-Goog-Api-Key: k", b"x-lower: v", b"Content-Length: 2"]
    assert lines[6] == b"{}"


@pytest.mark.parametrize("size", [1, JOINED_BYTES, JOINED_BYTES + 1])
async def test_bodies_of_any_size_arrive(size: int) -> None:
    received = bytearray()

    async def reading(stream: trio.SocketStream, head: bytes) -> None:
        received.extend(head.partition(b"\r\n\r\n")[2])
        while len(received) < size:
            received.extend(await stream.receive_some())
        await stream.send_all(body(b"ok"))

    async with serving(reading) as server:
        direct = connections()
        target = target_of(server)
        fields = [("Host", target.authority), ("Content-Length", str(size))]
        connection = await direct.ask(call(method="POST", body=b"x" * size), target, fields)
        assert await whole(connection) == b"ok"
        direct.release(connection)
        direct.close()
    assert received == b"x" * size


async def test_what_has_arrived_is_one_read_however_it_is_chunked() -> None:
    wire = Wire()
    await wire.ask()
    await wire.stream.send_all(CHUNKED + b"1\r\na\r\n" * 50)
    await wire.connection.receive_head()
    assert await wire.connection.read() == b"a" * 50
    await wire.stream.send_all(b"1\r\nb\r\n0\r\n\r\n")
    assert await wire.connection.read() == b"b"
    assert await wire.connection.read() == b""
    assert await wire.connection.read() == b""


async def test_provisional_heads_are_passed_over() -> None:
    wire = Wire()
    await wire.ask()
    assert await wire.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + body(b"x", b"X-A: \xc3\xa9")) == b"x"
    assert (wire.connection.status, wire.connection.headers.get("X-A")) == (200, "é")


async def test_fields_that_are_no_utf_8_are_read_byte_by_byte() -> None:
    wire = Wire()
    await wire.ask()
    await wire.answer(body(b"", b"X-A: \xe9"))
    assert wire.connection.headers.get("x-a") == "é"


async def test_a_body_may_end_with_the_connection() -> None:
    wire = Wire()
    await wire.ask()
    assert await wire.answer(OK + b"\r\nto the end") == b"to the end"
    assert not wire.connection.recycle()


@pytest.mark.parametrize(
    ("answer", "before"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", b"", id="another protocol"),
        pytest.param(CHUNKED + b"2\r\nab\r\nnonsense\r\n", b"ab", id="nonsense behind a chunk"),
        pytest.param(CHUNKED + b"2\r\nab\r\n", b"ab", id="the end between chunks"),
        pytest.param(OK + b"content-length: 9\r\n\r\nab", b"ab", id="the end before the length"),
    ],
)
async def test_what_came_before_a_fault_is_delivered_before_it(answer: bytes, before: bytes) -> None:
    wire = Wire()
    await wire.ask()
    await wire.stream.send_all(answer)
    await wire.stream.send_eof()
    pieces: list[bytes] = []

    async def receive() -> None:
        await wire.connection.receive_head()
        while data := await wire.connection.read():
            pieces.append(data)

    with pytest.raises(TransportError) as caught:
        await receive()
    assert caught.value.kind is Kind.UPSTREAM
    assert b"".join(pieces) == before
    assert not wire.connection.recycle()


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=20), max_size=8),
    cuts=st.lists(st.integers(1, 30), max_size=30),
)
async def test_bodies_arrive_whole_however_packets_are_cut(chunks: list[bytes], cuts: list[int]) -> None:
    wire = Wire()
    await wire.ask()
    message = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"

    async def send() -> None:
        rest = message
        for cut in cuts:
            await wire.stream.send_all(rest[:cut])
            await trio.testing.wait_all_tasks_blocked()
            rest = rest[cut:]
        await wire.stream.send_all(rest)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wire.connection.receive_head()
        assert await whole(wire.connection) == b"".join(chunks)
    assert wire.connection.recycle()


async def test_an_upstream_may_answer_without_reading_the_request() -> None:
    async def refusing(stream: trio.SocketStream, _head: bytes) -> None:
        await stream.send_all(OK.replace(b"200 OK", b"413 Large") + b"connection: close\r\n\r\ntoo much")
        await stream.send_eof()

    size = 1_000_000
    async with serving(refusing) as server:
        direct, target = connections(), target_of(server)
        fields = [("Host", target.authority), ("Content-Length", str(size))]
        connection = await direct.ask(call(method="POST", body=b"x" * size), target, fields)
        assert connection.status == 413
        direct.release(connection)


# --- what is used again --------------------------------------------------------------------------------


async def test_a_connection_is_used_again_after_a_whole_exchange() -> None:
    async with serving(sends(body(b"x"))) as server:
        direct = connections()
        for _ in range(3):
            connection = await asked(direct, server)
            assert await whole(connection) == b"x"
            direct.release(connection)
        assert server.connections == 1
        direct.close()


async def test_one_that_was_left_early_is_not() -> None:
    async with serving(sends(CHUNKED + b"1\r\nx\r\n")) as server:
        direct = connections()
        for _ in range(2):
            connection = await asked(direct, server)
            assert await connection.read() == b"x"
            direct.release(connection)
        assert server.connections == 2


@pytest.mark.parametrize("then_close", [True, False])
async def test_nor_is_one_that_the_upstream_ends(then_close: bool) -> None:
    """Whether it says so or just does it."""
    fields = () if then_close else (b"connection: close",)
    async with serving(sends(body(b"x", *fields), then_close=then_close)) as server:
        direct = connections()
        for _ in range(2):
            connection = await asked(direct, server)
            assert await whole(connection) == b"x"
            direct.release(connection)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert server.connections == 2
        direct.close()


async def test_nor_is_one_that_was_idle_for_long(mock_clock: trio.testing.MockClock) -> None:
    async with serving(sends(body(b"x"))) as server:
        direct = connections()
        for _ in range(2):
            connection = await asked(direct, server)
            assert await whole(connection) == b"x"
            direct.release(connection)
            mock_clock.jump(IDLE_S)
        assert server.connections == 2
        direct.close()


async def test_few_idle_connections_are_kept() -> None:
    async with serving(sends(body(b"x"))) as server:
        direct = connections()
        opened = [await asked(direct, server) for _ in range(MAX_IDLE + 5)]
        for connection in opened:
            await whole(connection)
            direct.release(connection)
        again = [await asked(direct, server) for _ in range(MAX_IDLE)]
        assert server.connections == MAX_IDLE + 5
        again.append(await asked(direct, server))
        assert server.connections == MAX_IDLE + 6
        for connection in again:
            connection.close()


async def test_connections_of_one_host_are_not_used_for_another() -> None:
    async with serving(sends(body(b"a"))) as first, serving(sends(body(b"b"))) as second:
        direct = connections()
        for server, said in ((first, b"a"), (second, b"b"), (first, b"a")):
            connection = await asked(direct, server)
            assert await whole(connection) == said
            direct.release(connection)
        assert (first.connections, second.connections) == (1, 1)
        direct.close()


# --- limits --------------------------------------------------------------------------------------------


async def silent(_stream: trio.SocketStream, _head: bytes) -> None:
    await trio.sleep_forever()


async def test_a_cancelled_call_closes_its_connection() -> None:
    is_asked = trio.Event()

    async def listening(stream: trio.SocketStream, _head: bytes) -> None:
        is_asked.set()
        await stream.receive_some()

    async with serving(listening) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asked, connections(), server)
            await is_asked.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(5):
            await server.gone.wait()


async def test_an_upstream_that_does_not_read_ends_the_call(mock_clock: trio.testing.MockClock) -> None:
    size = 50_000_000
    async with serving(silent) as server, trio.open_nursery() as nursery:
        direct, target = connections(), target_of(server)
        failures: list[TransportError] = []

        async def ask() -> None:
            fields = [("Host", target.authority), ("Content-Length", str(size))]
            with pytest.raises(TransportError) as caught:
                await direct.ask(call(method="POST", body=b"x" * size), target, fields)
            failures.append(caught.value)

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked(0.1)
        mock_clock.jump(61)
    assert [(error.kind, error.phase) for error in failures] == [(Kind.TIMEOUT, "send")]


async def test_connecting_is_limited() -> None:
    """A listener whose queue is full accepts nobody."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        target = Target(
            origin=(False, "127.0.0.1", listener.getsockname()[1]), authority="127.0.0.1", path="/"
        )
        with pytest.raises(TransportError) as caught:
            await connections().ask(call(limits=Limits(connect=0.0)), target, [("Host", "127.0.0.1")])
    assert (caught.value.kind, caught.value.phase) == (Kind.TIMEOUT, "connect")


# --- TLS -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def secured(authority: trustme.CA, name: str) -> AsyncIterator[int]:
    """Serve one fixed answer over TLS; the port."""
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
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def tls_target(port: int) -> Target:
    return Target(origin=(True, "localhost", port), authority=f"localhost:{port}", path="/")


async def test_a_call_over_tls_and_another_on_the_same_connection() -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    direct = DirectConnections(context)
    async with secured(authority, "localhost") as port:
        used = []
        for _ in range(2):
            connection = await direct.ask(call(), tls_target(port), [("Host", "localhost")])
            assert await whole(connection) == b"secret"
            direct.release(connection)
            used.append(connection)
        assert used[0] is used[1]
        direct.close()


@pytest.mark.parametrize("name", ["localhost", "elsewhere.example"])
async def test_a_certificate_that_is_not_trusted_or_names_another_is_refused(name: str) -> None:
    authority, context = trustme.CA(), ssl.create_default_context()
    if name != "localhost":
        authority.configure_trust(context)
    async with secured(authority, name) as port:
        with pytest.raises(TransportError, match="certificate verify failed") as caught:
            await DirectConnections(context).ask(call(), tls_target(port), [("Host", "localhost")])
    assert (caught.value.kind, caught.value.phase) == (Kind.UNAVAILABLE, "connect")
