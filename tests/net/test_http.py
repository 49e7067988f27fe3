"""Upstream HTTP over real sockets: faults, limits, proxies, and connections that are closed when left."""

import gc
import gzip
import socket
import warnings

import pytest
import trio
import trio.testing

from cliproxy.errors import Kind, TransportError
from cliproxy.net.http import USER_AGENT, Upstreams, check_proxy_url
from cliproxy.wire.http import Headers, HttpCall, Limits
from cliproxy.wire.secret import Secret
from support.upstream import OK, body, sends, serving

DIRECT = Secret("direct")


def get(url: str, **settings: object) -> HttpCall:
    return HttpCall(method="GET", url=url, **{"proxy_url": DIRECT, **settings})  # type: ignore[arg-type]


async def test_a_whole_answer() -> None:
    async with serving(sends(body(b"hello", b"X-A: 1"))) as server, Upstreams() as upstreams:
        answer = await upstreams.fetch(get(server.url))
    assert (answer.status, answer.body, answer.headers.get("x-a")) == (200, b"hello", "1")


async def test_we_say_who_we_are_unless_told_otherwise() -> None:
    async with serving(sends(body(b""))) as server, Upstreams() as upstreams:
        await upstreams.fetch(get(server.url))
        await upstreams.fetch(get(server.url, headers=Headers({"User-Agent": "x/1"})))
    first, second = (head.decode().lower() for head in server.requests)
    assert f"user-agent: {USER_AGENT}".lower() in first
    assert "user-agent: x/1" in second
    assert "user-agent: cliproxy" not in second


async def test_cookies_of_one_answer_are_not_sent_with_the_next_call() -> None:
    """Two accounts at one host share the connections and nothing else."""
    async with serving(sends(body(b"", b"set-cookie: session=1"))) as server, Upstreams() as upstreams:
        await upstreams.fetch(get(server.url))
        await upstreams.fetch(get(server.url))
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_streams_are_asked_for_uncompressed() -> None:
    async with serving(sends(body(b""))) as server, Upstreams() as upstreams:
        await upstreams.fetch(get(server.url, stream=True))
        await upstreams.fetch(get(server.url))
    assert b"accept-encoding: identity" in server.requests[0].lower()
    assert b"accept-encoding: gzip, deflate" in server.requests[1].lower()


async def test_compressed_answers_are_decompressed() -> None:
    packed = gzip.compress(b"hello" * 1000)
    async with serving(sends(body(packed, b"content-encoding: gzip"))) as server, Upstreams() as upstreams:
        assert (await upstreams.fetch(get(server.url))).body == b"hello" * 1000


async def test_a_decompressed_answer_is_bounded() -> None:
    packed = gzip.compress(b"x" * 10_000_000)
    async with (
        serving(sends(body(packed, b"content-encoding: gzip"))) as server,
        Upstreams() as upstreams,
        upstreams.open(get(server.url)) as stream,
    ):
        with pytest.raises(TransportError, match="exceeds"):
            await stream.read_all(1_000_000)


async def test_redirects_are_answers_like_any_other() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with serving(sends(moved)) as server, Upstreams() as upstreams:
        assert (await upstreams.fetch(get(server.url))).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        pytest.param((), Kind.UPSTREAM, id="closed before the head"),
        pytest.param((b"nonsense\r\n\r\n",), Kind.UPSTREAM, id="not HTTP"),
        pytest.param((OK + b"content-length: 9\r\n\r\nhalf",), Kind.UPSTREAM, id="closed in the body"),
        pytest.param((body(b"no gzip", b"content-encoding: gzip"),), Kind.UPSTREAM, id="broken compression"),
    ],
)
async def test_broken_answers(pieces: tuple[bytes, ...], kind: Kind) -> None:
    async with serving(sends(*pieces, then_close=True)) as server, Upstreams() as upstreams:
        with pytest.raises(TransportError) as caught:
            await upstreams.fetch(get(server.url))
    assert caught.value.kind is kind
    assert "127.0.0.1" in caught.value.message


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_refused_connection_blames_the_connection() -> None:
    async with Upstreams() as upstreams:
        with pytest.raises(TransportError) as caught:
            await upstreams.fetch(get(f"http://127.0.0.1:{free_port()}"))
    assert (caught.value.kind, caught.value.phase) == (Kind.UNAVAILABLE, "connect")


async def test_silence_before_the_head_is_limited() -> None:
    async def silent(_stream: trio.SocketStream, _head: bytes) -> None:
        await trio.Event().wait()

    async with serving(silent) as server, Upstreams() as upstreams:
        with pytest.raises(TransportError, match="no answer within") as caught:
            await upstreams.fetch(get(server.url, limits=Limits(first_byte=0.05)))
    assert (caught.value.kind, caught.value.phase) == (Kind.TIMEOUT, "head")


async def test_leaving_early_closes_the_connection_and_leaves_no_generators() -> None:
    """Warnings about generators left to the garbage collector are errors here."""

    async def endless(stream: trio.SocketStream, _head: bytes) -> None:
        await stream.send_all(OK + b"transfer-encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"1\r\nx\r\n")

    async with serving(endless) as server, Upstreams() as upstreams:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with upstreams.open(get(server.url, stream=True)) as stream:
                assert await stream.read()
            gc.collect()
        with trio.fail_after(2):
            await server.gone.wait()


async def test_leaving_early_is_no_occasion_for_a_fault_in_the_rest() -> None:
    """What was received behind the last read may be broken; nobody wanted it."""
    broken = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n"
    async with (
        serving(sends(broken)) as server,
        Upstreams() as upstreams,
        upstreams.open(get(server.url)) as stream,
    ):
        assert await stream.read() == b"hello"


async def test_cancelling_a_read_closes_the_connection() -> None:
    async def head_only(stream: trio.SocketStream, _head: bytes) -> None:
        await stream.send_all(OK + b"transfer-encoding: chunked\r\n\r\n")
        await stream.receive_some()

    async with serving(head_only) as server, Upstreams() as upstreams:
        with trio.move_on_after(0.05) as scope:
            async with upstreams.open(get(server.url, stream=True)) as stream:
                await stream.read()
        assert scope.cancelled_caught
        with trio.fail_after(2):
            await server.gone.wait()


async def test_many_cancelled_requests_leave_the_pool_usable() -> None:
    """A pool that leaks the places of cancelled requests would refuse the last one."""

    async def slow(stream: trio.SocketStream, _head: bytes) -> None:
        await trio.testing.wait_all_tasks_blocked(0.002)
        await stream.send_all(body(b"x"))

    async with serving(slow) as server, Upstreams() as upstreams:
        for number in range(100):
            with trio.move_on_after(0.0001 * (number % 60)):
                await upstreams.fetch(get(server.url))
        assert (await upstreams.fetch(get(server.url))).body == b"x"


async def test_connections_are_kept_and_used_again() -> None:
    async with serving(sends(body(b"x"))) as server, Upstreams() as upstreams:
        for _ in range(5):
            await upstreams.fetch(get(server.url))
        assert server.connections == 1


async def test_a_proxy_is_used_and_its_absence_is_an_error() -> None:
    async with serving(sends(body(b"via proxy"))) as proxy, Upstreams() as upstreams:
        call = get("http://upstream.invalid/x", proxy_url=Secret(proxy.url))
        assert (await upstreams.fetch(call)).body == b"via proxy"
        assert proxy.requests[0].startswith(b"GET http://upstream.invalid/x")
        dead = get(proxy.url, proxy_url=Secret(f"http://127.0.0.1:{free_port()}"))
        with pytest.raises(TransportError) as caught:
            await upstreams.fetch(dead)
        assert caught.value.phase == "connect"
        assert len(proxy.requests) == 1


async def test_the_default_proxy_serves_calls_that_name_none() -> None:
    async with (
        serving(sends(body(b"via proxy"))) as proxy,
        Upstreams(proxy_url=Secret(proxy.url)) as upstreams,
    ):
        answer = await upstreams.fetch(get("http://upstream.invalid/", proxy_url=None))
        assert answer.body == b"via proxy"


@pytest.mark.parametrize("proxy", ["ftp://x", "nonsense", "http://", "socks4://x:1", "http://[bad]"])
def test_proxies_that_cannot_work_are_named_without_their_password(proxy: str) -> None:
    with pytest.raises(TransportError) as caught:
        check_proxy_url(proxy)
    assert caught.value.phase == "connect"


async def test_a_bad_url_is_an_error_not_a_crash() -> None:
    async with Upstreams() as upstreams:
        for url in ("nonsense", "ftp://x.example/", "http://[bad"):
            with pytest.raises(TransportError):
                await upstreams.fetch(get(url))


@pytest.mark.parametrize("key", ["secret-a\nb", "secret-\x00", "secret-\u00e9", "secret-\u4e2d"])
async def test_a_key_that_no_header_can_carry_is_not_quoted(key: str) -> None:
    async with serving(sends(body(b""))) as server, Upstreams() as upstreams:
        with pytest.raises(TransportError, match="not legal HTTP") as caught:
            await upstreams.fetch(get(server.url, headers=Headers({"X-Api-Key": key})))
    assert "secret" not in caught.value.message


async def test_an_error_does_not_quote_what_was_sent_in_confidence() -> None:
    refusal = b"HTTP/1.1 400 Bad\r\ncontent-length: 31\r\n\r\nno grant for rt-0123456789, sir"
    form = Headers({"Content-Type": "application/x-www-form-urlencoded"})
    async with serving(sends(refusal)) as server, Upstreams() as upstreams:
        # The server of these tests reads heads only, so the call is its connection's last.
        call = HttpCall(
            method="POST",
            url=server.url,
            headers=form,
            body=b"refresh_token=rt-0123456789",
            proxy_url=DIRECT,
        )
        answer = await upstreams.fetch(call)
    assert answer.body == b"no grant for ***, sir"


@pytest.mark.parametrize("own", [True, False])
async def test_an_error_does_not_quote_the_password_of_a_proxy(own: bool) -> None:
    refusal = b"HTTP/1.1 407 Who\r\ncontent-length: 32\r\n\r\nnot you, u:pw-0123456789, and x!"
    async with serving(sends(refusal)) as proxy, Upstreams() as upstreams:
        url = Secret(proxy.url.replace("//", "//u:pw-0123456789@"))
        upstreams.use_proxy(None if own else url)
        answer = await upstreams.fetch(get("http://upstream.invalid/", proxy_url=url if own else None))
    assert (answer.status, answer.body) == (407, b"not you, u:***, and x!")


async def test_the_default_proxy_can_be_changed() -> None:
    async with serving(sends(body(b"via proxy"))) as proxy, Upstreams() as upstreams:
        upstreams.use_proxy(Secret(proxy.url))
        answer = await upstreams.fetch(get("http://upstream.invalid/", proxy_url=None))
        assert answer.body == b"via proxy"
