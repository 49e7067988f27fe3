import pytest
import trio

from cliproxy.errors import LoginError
from cliproxy.net.callback import CallbackListener, open_listener

PATH = "/auth/callback"


def port_of(listener: CallbackListener) -> int:
    return int(listener.url.split(":")[2].split("/")[0])


async def talk(listener: CallbackListener, request: bytes) -> str:
    stream = await trio.open_tcp_stream("127.0.0.1", port_of(listener))
    async with stream:
        await stream.send_all(request)
        answer = b""
        while piece := await stream.receive_some():
            answer += piece
    return answer.decode()


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_the_answer_reaches_the_login_and_the_browser_learns_the_end() -> None:
    pages: list[str] = []
    async with open_listener(0, PATH) as listener, trio.open_nursery() as nursery:

        async def browse() -> None:
            pages.append(await talk(listener, get(f"{PATH}?code=c%2Fd&state=s")))

        nursery.start_soon(browse)
        assert await listener.wait() == {"code": "c/d", "state": "s"}
        assert pages == []
        await listener.conclude(None)
    assert pages[0].startswith("HTTP/1.1 200")
    assert "Signed in" in pages[0]


async def test_a_browser_is_let_go_while_the_login_goes_on() -> None:
    pages: list[str] = []
    async with open_listener(0, PATH) as listener, trio.open_nursery() as nursery:

        async def browse() -> None:
            pages.append(await talk(listener, get(f"{PATH}?code=c&state=s")))
            nursery.cancel_scope.cancel()

        nursery.start_soon(browse)
        await listener.wait()
        await listener.release()
        await trio.sleep_forever()
    assert pages[0].startswith("HTTP/1.1 202")
    assert "The login goes on" in pages[0]


async def test_a_failed_login_gets_an_error_page_with_the_reason_escaped() -> None:
    pages: list[str] = []
    async with open_listener(0, PATH) as listener, trio.open_nursery() as nursery:

        async def browse() -> None:
            pages.append(await talk(listener, get(f"{PATH}?error=access_denied")))

        nursery.start_soon(browse)
        parameters = await listener.wait()
        await listener.conclude("no <script>.")
    assert parameters == {"error": "access_denied", "state": ""}
    assert pages[0].startswith("HTTP/1.1 400")
    assert "no &lt;script&gt;." in pages[0]
    assert "start the login again" in pages[0]


async def test_a_login_that_takes_long_gets_a_page_that_promises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cliproxy.net.callback.VERDICT_LIMIT_S", 0.01)
    async with open_listener(0, PATH) as listener:
        page = await talk(listener, get(f"{PATH}?code=c&state=s"))
    assert page.startswith("HTTP/1.1 202")
    assert "Return to the terminal" in page


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/favicon.ico"), "404"),
        (get(PATH), "400"),
        (get(f"{PATH}?state=s"), "400"),
        (f"POST {PATH}?code=c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode(), "405"),
        (b"nonsense\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", "400"),
    ],
)
async def test_what_does_not_end_the_login(request_bytes: bytes, status: str) -> None:
    async with open_listener(0, PATH) as listener:
        page = await talk(listener, request_bytes)
        assert page.startswith(f"HTTP/1.1 {status}")
        with trio.move_on_after(0.01) as scope:
            await listener.wait()
        assert scope.cancelled_caught


async def test_a_second_answer_is_told_that_it_is_late() -> None:
    async with open_listener(0, PATH) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(talk, listener, get(f"{PATH}?code=first&state=s"))
        first: dict[str, str] = dict(await listener.wait())
        page = await talk(listener, get(f"{PATH}?code=second&state=s"))
        await listener.conclude(None)
    assert first["code"] == "first"
    assert page.startswith("HTTP/1.1 409")


async def test_a_browser_that_leaves_does_not_hold_up_the_login() -> None:
    async with open_listener(0, PATH) as listener:
        stream = await trio.open_tcp_stream("127.0.0.1", port_of(listener))
        await stream.send_all(get(f"{PATH}?code=c&state=s"))
        await listener.wait()
        await stream.aclose()
        await listener.conclude(None)


async def test_pages_are_neither_stored_nor_leak_the_code() -> None:
    async with open_listener(0, PATH) as listener:
        page = await talk(listener, get("/other?code=c"))
    assert "Cache-Control: no-store" in page
    assert "Referrer-Policy: no-referrer" in page
    assert "Content-Security-Policy: default-src 'none'" in page


async def test_a_port_that_is_taken_is_reported_by_its_number() -> None:
    async with open_listener(0, PATH) as listener:
        port = port_of(listener)
        with pytest.raises(LoginError) as caught:
            async with open_listener(port, PATH):
                pass
    assert caught.value.code == "port_in_use"
    assert str(port) in caught.value.message


async def test_the_port_is_free_again_afterwards() -> None:
    async with open_listener(0, PATH) as listener:
        port = port_of(listener)
    async with open_listener(port, PATH) as again:
        assert port_of(again) == port


async def test_the_url_names_the_host_the_vendor_registered() -> None:
    async with open_listener(0, PATH, host_in_url="127.0.0.1") as listener:
        assert listener.url == f"http://127.0.0.1:{port_of(listener)}{PATH}"


async def test_an_error_of_the_login_leaves_the_listener_as_itself() -> None:
    """Nurseries wrap errors in groups; the flow's own error must not be wrapped."""
    with pytest.raises(LoginError):
        async with open_listener(0, PATH):
            raise LoginError("denied", code="denied")
