"""Routes and the rules that hold for all of them."""

import pytest
from quart.testing import WebsocketResponseError

from cliproxy.config.entries import ClientKey
from cliproxy.config.groups import Limits, Timeouts
from cliproxy.config.model import Config
from cliproxy.dialects import DIALECTS
from cliproxy.server.app import rule_of
from cliproxy.wire.secret import Secret
from support.application import application
from support.asgi import client_of
from support.exchange import bottle

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/v1/messages", "/v1/messages"),
        ("/v1/models/{target:path}", "/v1/models/<path:target>"),
        ("/x/{a}/{b}", "/x/<a>/<b>"),
    ],
)
def test_paths_are_spelled_the_frameworks_way(path: str, rule: str) -> None:
    assert rule_of(path) == rule


async def test_every_api_route_asks_for_the_key_and_nothing_else_does() -> None:
    """The route table is walked from another machine, with no key, with keys of both kinds, with one that may
    use nothing and with one that is switched off. What is for programs on this machine takes no key at all.
    """
    entries = [
        ClientKey(name="free", key=Secret("free-0123456789abcdef")),
        ClientKey(name="none", key=Secret("none-0123456789abcdef"), models=("nothing",)),
        ClientKey(name="off", key=Secret("off-0123456789abcdef"), disabled=True),
    ]
    app = application(bottle(), keys=[KEY], entries=entries)
    open_pages = {"/", "/healthz", "/readyz", "/api/event_logging/batch"}
    async with client_of(app, peer="192.0.2.1") as client:
        for rule in app.url_map.iter_rules():
            path = rule.rule.replace("<path:target>", "m:generateContent").replace("<path:model>", "m")
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            status = (await client(method, path, {} if method == "POST" else b"")).status
            refusal = 403 if path.startswith("/v1internal:") else 401
            assert (status == refusal) is (path not in open_pages), path
            is_open = path in open_pages
            for key in (KEY, "free-0123456789abcdef", "none-0123456789abcdef", "off-0123456789abcdef"):
                body = {"model": "m", "messages": []} if method == "POST" else b""
                answer = await client(method, path, body, {"authorization": f"Bearer {key}"})
                assert answer.status != 401, path
                assert (answer.status == 403) is (refusal == 403 or (key.startswith("off") and not is_open))
                if key.startswith("none") and not is_open:
                    assert b'"m"' not in await answer.read(), path


def test_every_endpoint_of_every_dialect_has_its_route() -> None:
    rules = {rule.rule for rule in application(bottle()).url_map.iter_rules()}
    for dialect in DIALECTS:
        for endpoint in dialect.endpoints:
            assert rule_of(endpoint.path) in rules


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/nowhere", "/"])
async def test_a_websocket_is_refused_in_a_way_codex_understands(path: str) -> None:
    """Codex asks for one first; of all statuses only 426 lets it go on with HTTP without trying again."""
    async with application(bottle()).test_client().websocket(path) as websocket:
        with pytest.raises(WebsocketResponseError) as caught:
            await websocket.receive()
    assert caught.value.response.status_code == 426


async def test_the_banner_lists_the_endpoints() -> None:
    async with client_of(application(bottle())) as client:
        banner = await (await client("GET", "/")).json()
    assert "POST /v1/chat/completions" in banner["endpoints"]
    assert banner["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("allowed", "shown"), [((), None), (("https://a.example",), "https://a.example"), (("*",), "*")]
)
async def test_cross_origin_headers_are_sent_to_allowed_origins_only(
    allowed: tuple[str, ...], shown: str | None
) -> None:
    async with client_of(application(bottle(), cors_allowed_origins=allowed)) as client:
        asked = {"origin": "https://a.example", "access-control-request-headers": "authorization"}
        response = await client("OPTIONS", "/v1/chat/completions", b"", asked)
        assert response.status == 204
        assert response.headers.get("access-control-allow-origin") == shown
        if shown:
            assert response.headers["access-control-allow-headers"] == "authorization"
        other = await client("OPTIONS", "/v1/models", b"", {"origin": "https://evil.example"})
        assert other.headers.get("access-control-allow-origin") == ("*" if shown == "*" else None)


async def test_a_fault_of_ours_is_a_500_that_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    world = bottle()
    app = application(world)

    async def broken() -> None:
        raise RuntimeError("secret detail")

    app.add_url_rule("/v1/broken", view_func=broken)
    async with client_of(app) as client:
        response = await client("GET", "/v1/broken", b"", {"x-request-id": "req-7"})
        text = (await response.read()).decode()
    assert response.status == 500
    assert "req-7" in text
    assert "secret detail" not in text
    assert "secret detail" in caplog.text


def test_the_framework_learns_of_new_bounds() -> None:
    app = application(bottle())
    app.set_bounds(Config(limits=Limits(body_mb=3), timeouts=Timeouts(body_seconds=7.0)))
    assert app.config["MAX_CONTENT_LENGTH"] == 3 * 1024 * 1024
    assert app.config["BODY_TIMEOUT"] == 7.0
