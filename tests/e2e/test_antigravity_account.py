"""What is Antigravity's alone: models of other families, hosts that stand in, a project that is found."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from emulators.google import ANTIGRAVITY
from support.accounts import Accounts
from support.conversation import Clients, Given, Wish
from support.matrix import WEATHER
from support.talks import TALKS

DAILY, PRODUCTION = "daily-cloudcode-pa.googleapis.com", "cloudcode-pa.googleapis.com"
MODEL = "gemini-3-flash"
LIST_LIMIT_S = 30.0


@pytest.fixture
def world(world: Accounts) -> Accounts:
    world.environment["ANTIGRAVITY_OAUTH_CLIENT_SECRET"] = ANTIGRAVITY.secret
    done = world.login("-antigravity-login", in_browser=True)
    assert done.code == 0, done.output
    return world


def rewrite(world: Accounts, **changes: Any) -> Path:
    """Change the credential file; ``None`` takes a member out."""
    path = world.auth_dir / "antigravity-me@example.org.json"
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not None}))
    return path


def hello(url: str, model: str = MODEL) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30)


def asked(world: Accounts) -> list[str]:
    """The hosts that models were asked for at."""
    return world.state()["google"]["antigravity"]["asked"]


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "gpt-oss-120b-medium"])
@pytest.mark.parametrize("stream", [True, False])
def test_models_of_other_families_call_tools(world: Accounts, model: str, *, stream: bool) -> None:
    with world.server() as server:
        clients = Clients.of(server.url)
        for make in TALKS.values():
            talk = make(clients, Wish(model=model, tools=(WEATHER,), max_tokens=4000))
            talk.say("Use get_weather")
            [called] = talk.answer(stream=stream).calls
            talk.give([Given(called, "sunny")])
            assert talk.answer(stream=stream).text == "The tool said: sunny"
        clients.close()
    assert world.refusals() == []


def test_a_host_without_capacity_hands_over(world: Accounts) -> None:
    world.configure(google={"antigravity": {"no_capacity": [DAILY]}})
    with world.server() as server:
        assert hello(server.url).status_code == 200
        assert asked(world) == [DAILY, PRODUCTION]
        assert hello(server.url).status_code == 200
        assert asked(world) == [DAILY, PRODUCTION, PRODUCTION], "the first host rests"


def test_a_used_up_quota_is_the_accounts(world: Accounts) -> None:
    world.configure(google={"antigravity": {"quota": {DAILY: "4h1m"}}})
    with world.server() as server:
        answer = hello(server.url)
    assert answer.status_code == 429
    assert 14_000 < int(answer.headers["retry-after"]) <= 14_460
    assert asked(world) == [DAILY]


def test_a_file_without_a_project_finds_it(world: Accounts) -> None:
    path = rewrite(world, project_id=None, note="mine")
    with world.server() as server:
        assert hello(server.url).status_code == 200
    data = json.loads(path.read_text())
    assert (data["project_id"], data["note"]) == ("antigravity-project", "mine")


def test_an_ended_token_is_renewed_and_kept(world: Accounts) -> None:
    path = rewrite(world, expired="2026-01-01T00:00:00Z", access_token="old")
    before = json.loads(path.read_text())
    with world.server() as server:
        assert hello(server.url).status_code == 200
        world.script({"status": 401})
        assert hello(server.url).status_code == 200, "renewed a second time"
    data = json.loads(path.read_text())
    assert data["access_token"] != "old"
    assert data["refresh_token"] == before["refresh_token"]
    assert data["expired"] > before["expired"]


def test_the_accounts_own_models_are_listed(world: Accounts) -> None:
    own = {"claude-sonnet-4-6", "gemini-2.5-flash", "gemini-3-flash", "gpt-oss-120b-medium"}
    with world.server() as server:
        end = time.monotonic() + LIST_LIMIT_S
        while listed(server.url) != own:
            assert time.monotonic() < end, listed(server.url)


def listed(url: str) -> set[str]:
    return {model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]}


def test_tokens_are_counted(world: Accounts) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    with world.server() as server:
        answer = httpx.post(f"{server.url}/v1beta/models/{MODEL}:countTokens", json=body)
    assert answer.json()["totalTokens"] > 0
    assert world.refusals() == []
