"""The emulated proxy server: strict in all three languages."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from emulators.internet import PASSWORD, USER, Internet

HOST = "vendor.example"
LIMIT_S = 5.0


@pytest.fixture
def internet() -> Internet:
    return Internet({HOST})


@pytest.fixture
async def port(internet: Internet) -> AsyncIterator[int]:
    """Where the proxy listens; behind it is something that says hello under TLS."""

    async def serve(stream: trio.SocketStream) -> None:
        try:
            inside = await internet.enter(stream)
            if inside is not None:
                await inside.send_all(b"hello")
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def exchange(port: int, *messages: bytes) -> list[bytes]:
    """Say one thing after the other, and return what came after each."""
    answers: list[bytes] = []
    with trio.fail_after(LIMIT_S):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            for message in messages:
                await stream.send_all(message)
                answers.append(await stream.receive_some(1024))
    return answers


def connect(target: str, *fields: str) -> bytes:
    return "\r\n".join([f"CONNECT {target} HTTP/1.1", f"host: {target}", *fields, "", ""]).encode()


def socks(host: str = HOST, *, command: int = 1, kind: int = 3, port: int = 443) -> bytes:
    return bytes([5, command, 0, kind, len(host)]) + host.encode() + port.to_bytes(2, "big")


# --- CONNECT --------------------------------------------------------------------------------------


async def test_a_played_host_is_reached_under_tls_with_a_certificate_of_its_own(
    internet: Internet, port: int, tmp_path: Path
) -> None:
    internet.write_authority(tmp_path / "authority.pem")
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    with trio.fail_after(LIMIT_S):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(connect(f"{HOST}:443"))
        assert (await stream.receive_some(1024)).startswith(b"HTTP/1.1 200 ")
        inside = trio.SSLStream(stream, context, server_hostname=HOST, https_compatible=True)
        assert await inside.receive_some(5) == b"hello"
        await trio.aclose_forcefully(inside)
    assert internet.entered == [("http", HOST)]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (connect("elsewhere.example:443"), 502),
        (connect(f"x.{HOST}:443"), 502),
        (connect("127.0.0.1:443"), 502),
        (f"GET http://{HOST}/ HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode(), 405),
        (b"nonsense\r\n\r\n", 405),
        (connect(f"{HOST}:443", "proxy-authorization: Basic b3duZXI6d3Jvbmc="), 407),
        (connect(f"{HOST}:443", "Proxy-Authorization: Bearer x"), 407),
    ],
)
async def test_everything_else_is_refused(internet: Internet, port: int, said: bytes, status: int) -> None:
    [answer] = await exchange(port, said)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert internet.entered == []


async def test_hosts_that_nobody_plays_are_remembered(internet: Internet, port: int) -> None:
    await exchange(port, connect("Elsewhere.example:443"))
    await exchange(port, b"\x05\x01\x00", socks("other.example"))
    assert internet.asked == ["elsewhere.example", "other.example"]


async def test_a_client_that_leaves_harms_nobody(internet: Internet, port: int) -> None:
    for said in (b"CONN", b"\x05", b"\x05\x02\x00", b"\x16\x03"):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(said)
    [answer] = await exchange(port, connect(f"{HOST}:443"))
    assert answer.startswith(b"HTTP/1.1 200 ")


# --- SOCKS5 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        (socks(), 0),
        (socks("elsewhere.example"), 4),
        (socks(port=80), 4),
        (socks(command=2), 7),
        (socks(command=3), 7),
        (bytes([5, 1, 0, 1, 127, 0, 0, 1, 1, 187]), 8),
    ],
)
async def test_socks_reaches_played_hosts_by_name_alone(port: int, request_: bytes, verdict: int) -> None:
    hello, answer = await exchange(port, b"\x05\x01\x00", request_)
    assert hello == b"\x05\x00"
    assert answer == bytes([5, verdict, 0, 1, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(("password", "verdict"), [(PASSWORD, 0), (b"wrong", 1), (b"", 1)])
async def test_a_password_over_socks(port: int, password: bytes, verdict: int) -> None:
    secret = bytes([1, len(USER)]) + USER + bytes([len(password)]) + password
    hello, answer = await exchange(port, b"\x05\x02\x00\x02", secret)
    assert hello == b"\x05\x02", "a client that knows a password has to tell it"
    assert answer == bytes([1, verdict])


async def test_a_way_to_prove_oneself_that_is_not_known(port: int) -> None:
    [answer] = await exchange(port, b"\x05\x01\x01")
    assert answer == b"\x05\xff"
