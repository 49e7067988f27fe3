"""The rules that hold for every request, on both ways through the application."""

import json
import logging
import math
from pathlib import Path

import pytest
import trio
import trio.testing

from cliproxy.observe.folder import Folder
from cliproxy.observe.lines import Facts
from cliproxy.observe.transcript import Scribe
from cliproxy.observe.writer import Writer
from cliproxy.server.rules import SCRIBE, dialect_of_path
from cliproxy.wire.jsontext import JsonValue
from support.application import application
from support.asgi import client_of
from support.exchange import ANSWER, WHOLE, Reply, bottle, chunk, json_reply

SHORT = "/v1/chat/completions"
LONG = "/v1/models"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WAYS = {"short": ("POST", SHORT, CHAT), "long": ("GET", LONG, b"")}

each_way = pytest.mark.parametrize(("method", "path", "body"), WAYS.values(), ids=WAYS.keys())


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages/nowhere", "claude"),
        ("/v1beta/anything", "gemini"),
        ("/v1/chat/completions", "openai"),
        ("/v1/responses/x", "openai-response"),
        ("/v1/other", "openai"),
    ],
)
def test_errors_of_unknown_paths_have_a_fitting_shape(path: str, dialect: str) -> None:
    assert dialect_of_path(path).id == dialect


@each_way
async def test_every_answer_carries_the_id_and_is_logged(
    method: str, path: str, body: dict[str, object] | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with client_of(application(bottle(json_reply(WHOLE)))) as client:
            response = await client(method, f"{path}?key=secret&a=b", body, {"x-request-id": "req-7"})
            other = await client(method, f"{path}/nowhere/at/all", body)
    assert (response.status, response.headers["x-request-id"]) == (200, "req-7")
    assert len(other.headers["x-request-id"]) == 32
    assert f'"{path}?key=***&a=b"' in caplog.text
    assert "200 |" in caplog.text


@each_way
async def test_headers_over_the_limit_are_refused(
    method: str, path: str, body: dict[str, object] | bytes
) -> None:
    async with client_of(application(bottle(json_reply(WHOLE)))) as client:
        assert (await client(method, path, body, {"x-long": "x" * 100_000})).status == 431


@each_way
async def test_more_headers_than_anybody_needs_are_refused(
    method: str, path: str, body: dict[str, object] | bytes
) -> None:
    many = {f"x-{number}": "x" for number in range(300)}
    async with client_of(application(bottle(json_reply(WHOLE)))) as client:
        response = await client(method, path, body, many)
        assert response.status == 431
        assert "256 headers" in (await response.json())["error"]["message"]


@each_way
async def test_allowed_origins_are_told_so(method: str, path: str, body: dict[str, object] | bytes) -> None:
    app = application(bottle(json_reply(WHOLE)), cors_allowed_origins=("https://a.example",))
    async with client_of(app) as client:
        response = await client(method, path, body, {"origin": "https://a.example"})
    assert response.headers["access-control-allow-origin"] == "https://a.example"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_known_path_with_another_method_is_not_found(method: str) -> None:
    async with client_of(application(bottle())) as client:
        response = await client(method, SHORT)
        assert response.status == 404
        assert "There is no route" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/chat/completions", "has to end in `/v1`"),
        ("/responses", "has to end in `/v1`"),
        ("/models", "has to end in `/v1`"),
        ("/v1/v1/messages", "has a version too many"),
        ("/v1/v1beta/models/demo:generateContent", "has a version too many"),
    ],
)
async def test_a_base_url_that_is_wrong_is_explained(path: str, said: str) -> None:
    async with client_of(application(bottle())) as client:
        response = await client("POST", path)
        assert response.status == 404
        assert said in (await response.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/favicon.ico", "/v2/models", "/chat"])
async def test_other_paths_are_just_not_found(path: str) -> None:
    async with client_of(application(bottle())) as client:
        response = await client("GET", path)
        assert (response.status, await response.read()) == (404, b"404 page not found")


async def test_a_fault_on_the_short_way_is_a_500_that_gives_nothing_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = bottle(json_reply(WHOLE))
    app = application(world)

    def broken() -> None:
        raise RuntimeError("secret detail")

    object.__setattr__(app._world, "keys", broken)
    async with client_of(app) as client:
        response = await client("POST", SHORT, CHAT, {"x-request-id": "req-7"})
        text = (await response.read()).decode()
    assert response.status == 500
    assert "req-7" in text
    assert "secret detail" not in text
    assert "secret detail" in caplog.text


def access_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, JsonValue]]:
    return [dict(record.msg.values) for record in caplog.records if isinstance(record.msg, Facts)]


async def test_a_stream_is_logged_when_its_last_byte_is_sent(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level(logging.INFO, "cliproxy.server.rules")
    async with client_of(application(bottle(Reply(body=(*ANSWER[:2], 5.0, *ANSWER[2:]))))) as client:
        response = await client("POST", SHORT, {**CHAT, "stream": True})
        assert access_lines(caplog) == []
        await response.read()
    assert [(line["status"], line["path"]) for line in access_lines(caplog)] == [(200, SHORT)]


@pytest.mark.parametrize(("body", "status"), [((math.inf,), 499), ((*ANSWER[:2], math.inf), 200)])
async def test_so_is_a_request_that_its_client_gives_up(
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
    body: tuple[bytes | float, ...],
    status: int,
) -> None:
    caplog.set_level(logging.INFO, "cliproxy.server.rules")
    with trio.move_on_after(5):
        async with client_of(application(bottle(Reply(body=body)))) as client:
            response = await client("POST", SHORT, {**CHAT, "stream": True})
            await response.read()
    assert [line["status"] for line in access_lines(caplog)] == [status]


def written(scribe: Scribe) -> dict[str, str]:
    """What was written down, by the paths of the requests."""
    assert scribe.writer.close(10)
    return {each.name.split("-20")[0]: each.read_text() for each in scribe.folder.path.iterdir()}


async def test_requests_to_apis_are_written_down_where_the_owner_wants_that(tmp_path: Path) -> None:
    """Neither lists and pages, nor what scanners ask for."""
    app = application(bottle(json_reply(WHOLE), json_reply(WHOLE)))
    scribe = Scribe(folder=Folder(tmp_path), writer=Writer())
    wanted: list[Scribe | None] = [None]
    app.config[SCRIBE] = lambda: wanted[0]
    async with client_of(app) as client:
        await client("POST", SHORT, CHAT)
        wanted[0] = scribe
        for method, path in (
            ("POST", SHORT),
            ("POST", "/v1beta/models/nobody:generateContent"),
            ("GET", LONG),
            ("OPTIONS", SHORT),
            ("POST", "/wp-login.php"),
            ("POST", "/v0/management/config"),
        ):
            await client(method, path, CHAT)
    files = written(scribe)
    assert set(files) == {"v1-chat-completions", "v1beta-models-nobody-generateContent"}
    text = files["v1-chat-completions"]
    assert json.dumps(CHAT) in text
    assert "=== RESPONSE ===\nStatus: 200\n" in text
    assert json.loads(text.splitlines()[-1])["choices"] == WHOLE["choices"]


async def test_a_fault_behind_the_head_is_a_failure_that_is_kept(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    app = application(bottle(Reply(body=(chunk("Hel"), 1.0, ValueError("a fault of ours")))))
    scribe = Scribe(folder=Folder(tmp_path), writer=Writer(), everything=False)
    app.config[SCRIBE] = lambda: scribe
    async with client_of(app) as client:
        response = await client("POST", SHORT, {**CHAT, "stream": True})
        assert await response.read() == chunk("Hel")
    assert set(written(scribe)) == {"error-v1-chat-completions"}
