"""Vertex AI: a service account is imported and serves, with one token for many requests; a key serves too."""

import json
import stat
import subprocess
import sys

import httpx2 as httpx
import pytest

from support.accounts import Accounts
from support.conversation import Clients, Given, Talk, Wish
from support.keys import EMAIL, known_account, service_account
from support.matrix import WEATHER
from support.talks import TALKS

MODEL = "gemini-2.5-pro"


@pytest.fixture
def world(world: Accounts) -> Accounts:
    world.configure(google={"vertex": {"accounts": known_account(), "keys": ["AQ.key"]}})
    (world.directory / "key.json").write_text(json.dumps(service_account()))
    return world


def converse(talk: Talk) -> None:
    """Have a tool called and its result read, streamed."""
    talk.say("Use get_weather")
    [called] = talk.answer(stream=True).calls
    talk.give([Given(called, "sunny")])
    assert talk.answer(stream=True).text == "The tool said: sunny"


def tokens(world: Accounts) -> int:
    """How many access tokens were got."""
    return world.state()["google"]["vertex"]["tokens"]


def test_a_service_account_serves_all_clients_with_one_token(world: Accounts) -> None:
    done = world.login("-vertex-import", str(world.directory / "key.json"))
    assert done.code == 0, done.output
    assert f"my-project ({EMAIL})" in done.output
    assert "PRIVATE KEY" not in done.output
    path = world.auth_dir / "vertex-my-project.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with world.server() as server:
        clients = Clients.of(server.url)
        for talk in TALKS.values():
            converse(talk(clients, Wish(model=MODEL, tools=(WEATHER,), max_tokens=4000)))
        clients.close()
        count = httpx.post(
            f"{server.url}/v1beta/models/{MODEL}:countTokens",
            json={"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
        )
        assert count.json()["totalTokens"] > 0
    assert world.refusals() == []
    assert tokens(world) == 1
    assert path.read_bytes() == before, "nothing of a token goes into the file"


@pytest.mark.parametrize("location", ["global", "europe-west4", "eu"])
def test_another_region(world: Accounts, location: str) -> None:
    done = world.login("-vertex-import", str(world.directory / "key.json"), "-location", location)
    assert done.code == 0, done.output
    assert say_hello(world) == "You said: hello"


def test_a_key_serves(world: Accounts) -> None:
    assert say_hello(world, "vertex-api-key:\n  - api-key: AQ.key\n") == "You said: hello"


def test_a_token_that_was_taken_back_is_replaced(world: Accounts) -> None:
    world.login("-vertex-import", str(world.directory / "key.json"))
    with world.server() as server:
        assert hello(server.url) == "You said: hello"
        world.script({"status": 401})
        assert hello(server.url) == "You said: hello"
    assert tokens(world) == 2


def test_a_file_that_is_no_key_is_refused(world: Accounts) -> None:
    (world.directory / "key.json").write_text('{"type": "authorized_user"}')
    done = world.login("-vertex-import", "key.json")
    assert done.code == 1
    assert "no `private_key`" in done.output
    assert world.files() == []


def test_the_library_for_keys_is_not_read_without_such_a_key() -> None:
    """It is the largest of all, and most owners never need it."""
    script = "import sys, cliproxy.service.run, cliproxy.server; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def say_hello(world: Accounts, config: str = "") -> str:
    with world.server(config) as server:
        return hello(server.url)


def hello(url: str) -> str:
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": "hello"}]},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]
