"""Sockets under the HTTP library: what goes wrong is told in its words, limits hold, nothing stays open."""

import socket
import ssl

import httpcore2
import pytest
import trio
import trio.testing
import trustme

from cliproxy.net.sockets import JOINED_BYTES, LOOK_S, READ_BYTES, SocketStream, connect

LONG = bytes(50_000_000)


async def pair() -> tuple[SocketStream, trio.SocketStream]:
    """A connection and its other end."""
    ours, theirs = trio.socket.socketpair()
    return SocketStream(trio.SocketStream(ours)), trio.SocketStream(theirs)


class Wire(trio.abc.Stream):
    """The stream below: takes notes."""

    def __init__(self, *, is_broken: bool = False) -> None:
        self.sent: list[bytes] = []
        self.wanted: list[int | None] = []
        self.is_broken = is_broken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_broken:
            raise trio.BrokenResourceError
        assert isinstance(data, bytes)
        self.sent.append(data)

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.wanted.append(max_bytes)
        return b"answer"

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_what_is_written_leaves_together_before_the_next_read() -> None:
    wire = Wire()
    stream = SocketStream(wire)
    await stream.write(b"head ")
    await stream.write(b"body")
    assert wire.sent == []
    assert await stream.read(10) == b"answer"
    assert await stream.read(10) == b"answer"
    assert wire.sent == [b"head body"]


async def test_no_more_is_received_at_a_time_than_it_is_worth() -> None:
    wire = Wire()
    assert await SocketStream(wire).read(64 * 1024) == b"answer"
    assert wire.wanted == [READ_BYTES]


async def test_a_long_body_is_not_copied() -> None:
    wire, long = Wire(), bytes(JOINED_BYTES)
    stream = SocketStream(wire)
    await stream.write(b"head")
    await stream.write(long)
    assert wire.sent[0] == b"head"
    assert wire.sent[1] is long


async def test_an_answer_is_read_even_if_the_request_could_not_be_sent() -> None:
    stream = SocketStream(Wire(is_broken=True))
    await stream.write(b"x")
    assert await stream.read(10) == b"answer"


async def test_what_is_written_arrives_and_what_comes_is_read() -> None:
    ours, theirs = await pair()
    async with theirs:
        await theirs.send_all(b"answer")
        await ours.write(b"question")
        await ours.write(b" and more", 5)
        assert await ours.read(3) == b"ans"
        assert await theirs.receive_some() == b"question and more"
        assert await ours.read(64, 5) == b"wer"
    assert await ours.read(64) == b""
    await ours.aclose()


@pytest.mark.parametrize("limit", [None, 5.0])
async def test_a_broken_connection_is_told_in_the_words_of_the_library(limit: float | None) -> None:
    ours, theirs = await pair()
    await theirs.aclose()
    with pytest.raises(httpcore2.WriteError):
        await ours.write(LONG, limit)
    await ours.aclose()
    with pytest.raises(httpcore2.ReadError):
        await ours.read(1, limit)


async def test_limits_of_time_hold(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = await pair()
    async with theirs:
        with pytest.raises(httpcore2.ReadTimeout):
            await ours.read(1, 3)
        assert trio.current_time() == pytest.approx(3)
        with pytest.raises(httpcore2.WriteTimeout):
            await ours.write(LONG, 4)
        assert trio.current_time() == pytest.approx(7)
    await ours.aclose()


async def test_one_can_tell_whether_something_came_unasked(autojump_clock: trio.testing.MockClock) -> None:
    ours, theirs = await pair()
    async with theirs:
        assert ours.get_extra_info("is_readable") is False
        await theirs.send_all(b"x")
        assert ours.get_extra_info("is_readable") is False
        await trio.sleep(LOOK_S)
        assert ours.get_extra_info("is_readable") is True
        assert await ours.read(1) == b"x"
        assert ours.get_extra_info("is_readable") is False
        await theirs.send_all(b"answer and something unasked")
        assert await ours.read(6) == b"answer"
        assert ours.get_extra_info("is_readable") is True
    assert ours.get_extra_info("ssl_object") is None
    await ours.aclose()


# --- connecting ------------------------------------------------------------------------------------------


async def test_options_reach_the_socket() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    async with listener:
        stream = await connect("127.0.0.1", port, 5, options)
        accepted = await listener.accept()
        async with accepted:
            await accepted.send_all(b"answer")
            await stream.write(b"x")
            assert await stream.read(64) == b"answer"
            assert await accepted.receive_some() == b"x"
            await stream.aclose()


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore2.ConnectError) as caught:
            await connect("127.0.0.1", unused.getsockname()[1], None, ())
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_host_without_an_address() -> None:
    with pytest.raises(httpcore2.ConnectError):
        await connect("host.invalid", 80, 5, ())


# --- TLS -------------------------------------------------------------------------------------------------


def contexts(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of this name needs, and somebody who trusts it."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    return server, client


async def test_bytes_go_both_ways_inside_tls() -> None:
    server, client = contexts("here.example")
    ours, theirs = await pair()
    other = trio.SSLStream(theirs, server, server_side=True, https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.do_handshake)
        secure = await ours.start_tls(client, "here.example", 5)
    await other.send_all(b"answer")
    await secure.write(b"question")
    assert await secure.read(64) == b"answer"
    assert await other.receive_some() == b"question"
    assert secure.get_extra_info("is_readable") is False
    await secure.aclose()
    assert await other.receive_some() == b""
    await other.aclose()


async def test_a_handshake_that_fails_closes_the_connection() -> None:
    server, client = contexts("elsewhere.example")
    ours, theirs = await pair()
    other = trio.SSLStream(theirs, server, server_side=True, https_compatible=True)

    async def talk() -> None:
        await other.do_handshake()
        await other.receive_some()

    async def try_to_talk() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await talk()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(try_to_talk)
        with pytest.raises(httpcore2.ConnectError):
            await ours.start_tls(client, "here.example", 5)
        with pytest.raises(httpcore2.ReadError):
            await ours.read(1)
    await trio.aclose_forcefully(other)


async def test_a_handshake_has_a_limit_of_time(autojump_clock: trio.testing.MockClock) -> None:
    _, client = contexts("here.example")
    ours, theirs = await pair()
    async with theirs:
        with pytest.raises(httpcore2.ConnectTimeout):
            await ours.start_tls(client, "here.example", 6)
        assert trio.current_time() == pytest.approx(6)
        assert await theirs.receive_some() != b""  # what we began with
        assert await theirs.receive_some() == b""
