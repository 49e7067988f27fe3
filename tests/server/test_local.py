"""Routes for programs on the same machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.server.local import is_loopback
from support.application import application
from support.asgi import client_of
from support.exchange import bottle, json_reply

PATH = "/v1internal:generateContent"
BODY = {"model": "m", "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}
GOOGLE = {"authorization": "Bearer ya29.of-google"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
async def test_local_programs_need_no_client_key(peer: str) -> None:
    """What they send in its place is Google's, and goes nowhere."""
    world = bottle(json_reply(WHOLE))
    async with client_of(application(world, keys=["sk-1"]), peer) as client:
        response = await client("POST", PATH, BODY, GOOGLE)
        assert response.status == 200
        answer = await response.json()
        assert answer["response"]["candidates"][0]["content"]["parts"] == [{"text": "Hello"}]
    [call] = world.upstreams.calls
    assert "ya29" not in str(dict(call.headers))


@pytest.mark.parametrize("peer", ["192.0.2.1", "::2", "::ffff:192.0.2.1", "10.0.0.1", "unix", ""])
@pytest.mark.parametrize("path", [PATH, "/v1internal:loadCodeAssist"])
async def test_everybody_else_is_refused_with_a_client_key_too(peer: str, path: str) -> None:
    app = application(bottle(), keys=["sk-1"])
    async with client_of(app, peer) as client:
        response = await client("POST", path, BODY, {"authorization": "Bearer sk-1"})
        assert response.status == 403
        error = (await response.json())["error"]
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
        assert "same machine" in error["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("Via", "1.1 proxy"),
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
)
async def test_reverse_proxies_and_web_pages_are_not_local(name: str, value: str) -> None:
    async with client_of(application(bottle())) as client:
        response = await client("POST", PATH, BODY, {name: value})
        assert response.status == 403


async def test_other_routes_go_by_the_client_key() -> None:
    async with client_of(application(bottle(), keys=["sk-1"])) as client:
        assert (await client("POST", "/v1/chat/completions", {})).status == 401


@given(st.ip_addresses(network="127.0.0.0/8"))
def test_all_of_the_loopback_network_is_this_machine(address: object) -> None:
    assert is_loopback(str(address))
    assert is_loopback(f"::ffff:{address}")


@given(st.ip_addresses().filter(lambda address: not address.is_loopback))
def test_no_other_address_is(address: object) -> None:
    assert not is_loopback(str(address)) or "::ffff:127." in str(address)


def test_a_scope_does_not_matter_and_nonsense_is_not_local() -> None:
    assert is_loopback("::1%lo")
    for nonsense in ("localhost", "127.1", "0x7f.0.0.1", "127.0.0.1.evil.example"):
        assert not is_loopback(nonsense)
