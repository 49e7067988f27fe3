"""Calls through proxy servers of every kind, over real sockets and TLS to a host that exists only there."""

import gc
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import frozen

from cliproxy.errors import Kind, TransportError
from cliproxy.net.http import Upstreams
from cliproxy.wire.http import HttpCall, Limits
from cliproxy.wire.secret import Secret
from emulators.internet import Internet

HOST = "vendor.example"
URL = f"https://{HOST}/x"
pytestmark = [
    # The library leaves the socket of a refused SOCKS connection to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIMITS = Limits(connect=5.0, first_byte=5.0, idle=5.0, total=10.0)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nreached"
WAYS = ("http", "https", "socks5", "socks5h")


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Nothing of these sockets is left to be found in the middle of another test, which is not excused."""
    yield
    gc.collect()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@frozen
class Proxy:
    """A running proxy server."""

    internet: Internet
    port: int

    def url(self, scheme: str, password: str = "") -> str:
        """Its address in a setting."""
        return f"{scheme}://{password}{'@' if password else ''}127.0.0.1:{self.port}"


@asynccontextmanager
async def proxy_server(internet: Internet | None = None) -> AsyncIterator[Proxy]:
    internet = internet or Internet({HOST})

    async def serve(stream: trio.SocketStream) -> None:
        try:
            inside = await internet.enter(stream)
            if inside is not None:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = await inside.receive_some(4096)
                    if not data:
                        return
                    head += data
                await inside.send_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nreached"
                )
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield Proxy(internet, listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    async with proxy_server() as running:
        running.internet.write_authority(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        yield running


def call(proxy_url: str | None = None, url: str = URL) -> HttpCall:
    secret = None if proxy_url is None else Secret(proxy_url)
    return HttpCall(method="GET", url=url, limits=LIMITS, proxy_url=secret)


async def reach(upstreams: Upstreams, proxy_url: str | None = None) -> None:
    assert (await upstreams.fetch(call(proxy_url))).body == b"reached"


async def failure(upstreams: Upstreams, proxy_url: str | None = None) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await upstreams.fetch(call(proxy_url))
    return caught.value


# --- kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("password", ["", "owner:let-me-out"])
async def test_every_kind_of_proxy_is_gone_through(proxy: Proxy, way: str, password: str) -> None:
    """The proxy looks the host up; this machine could not."""
    async with Upstreams() as upstreams:
        await reach(upstreams, proxy.url(way, password))
    assert proxy.internet.entered == [(way.rstrip("h"), HOST)]


@pytest.mark.parametrize("way", WAYS)
async def test_a_wrong_password_is_an_error_that_does_not_quote_it(proxy: Proxy, way: str) -> None:
    async with Upstreams() as upstreams:
        error = await failure(upstreams, proxy.url(way, "owner:wrong-canary"))
    assert "canary" not in str(error)
    assert error.phase == "connect"
    assert proxy.internet.entered == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_host_that_the_proxy_does_not_reach(proxy: Proxy, way: str) -> None:
    async with Upstreams() as upstreams:
        with pytest.raises(TransportError, match="the proxy refused or failed") as caught:
            await upstreams.fetch(call(proxy.url(way), "https://elsewhere.example/"))
    assert caught.value.kind is Kind.UNAVAILABLE
    assert proxy.internet.asked == ["elsewhere.example"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_dead_proxy_is_an_error_and_never_a_direct_connection(way: str) -> None:
    """The address called is one that would answer."""
    called: list[trio.SocketStream] = []

    async def serve(stream: trio.SocketStream) -> None:
        called.append(stream)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        async with Upstreams() as upstreams:
            for scheme in ("http", "https"):
                dead = call(f"{way}://127.0.0.1:{free_port()}", f"{scheme}://127.0.0.1:{port}/")
                with pytest.raises(TransportError) as caught:
                    await upstreams.fetch(dead)
                assert (caught.value.kind, caught.value.phase) == (Kind.UNAVAILABLE, "connect")
        nursery.cancel_scope.cancel()
    assert called == []


# --- which one ------------------------------------------------------------------------------------


async def test_the_calls_own_proxy_goes_before_the_global_one(proxy: Proxy) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    async with Upstreams(proxy_url=Secret(dead)) as upstreams:
        await failure(upstreams)
        await reach(upstreams, proxy.url("socks5"))
    async with Upstreams(proxy_url=Secret(proxy.url("https"))) as upstreams:
        await reach(upstreams)
        await failure(upstreams, dead)
    assert proxy.internet.entered == [("socks5", HOST), ("https", HOST)]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("way", ["http", "https", "socks5"])
async def test_the_environments_proxy_is_used_where_nothing_else_is_said(
    proxy: Proxy, variable: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, proxy.url(way))
    async with Upstreams() as upstreams:
        await reach(upstreams)
    assert proxy.internet.entered == [(way, HOST)]


async def test_a_setting_goes_before_the_environment(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    async with Upstreams(proxy_url=Secret(proxy.url("http"))) as upstreams:
        await reach(upstreams)
        await reach(upstreams, proxy.url("socks5"))


@pytest.mark.parametrize("word", ["direct", "none", "NONE"])
async def test_going_without_a_proxy_also_means_that_of_the_environment(
    proxy: Proxy, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url("http"))
    for settings, own in (({"proxy_url": Secret(word)}, None), ({}, word)):
        async with Upstreams(**settings) as upstreams:
            await failure(upstreams, own)
    assert proxy.internet.entered == []


async def test_hosts_that_the_environment_excepts_are_called_directly(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url("http"))
    monkeypatch.setenv("NO_PROXY", f"other.example,{HOST}")
    async with Upstreams() as upstreams:
        await failure(upstreams)
    assert proxy.internet.entered == []


# --- trust ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_an_authority_that_is_not_known_is_not_trusted(
    proxy: Proxy, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of the host behind the proxy nor that of the proxy itself."""
    monkeypatch.delenv("SSL_CERT_FILE")
    async with Upstreams() as upstreams:
        error = await failure(upstreams, proxy.url(way))
    assert "certificate verify failed" in str(error).lower()
    assert error.phase == "connect"


async def test_a_certificate_of_another_host_is_refused(proxy: Proxy) -> None:
    """The proxy is asked for the right host and leads to one with another's certificate."""
    proxy.internet._contexts[HOST] = proxy.internet._context("evil.example")
    async with Upstreams() as upstreams:
        error = await failure(upstreams, proxy.url("http"))
    assert "certificate" in str(error).lower()
