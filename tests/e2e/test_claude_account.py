"""A Claude account over the real program: login, token, and who may use a subscription."""

import json

import anthropic
import pytest
import trio

from support.accounts import Accounts
from support.emulator import Seen

FILE = "claude-me@example.org.json"
MODEL = "claude-sonnet-4-6"
AGENT = "You are Claude Code, Anthropic's official CLI for Claude."


def log_in(world: Accounts) -> None:
    done = world.login("-claude-login", in_browser=True)
    assert done.code == 0, done.output


def seen(world: Accounts, path: str) -> list[Seen]:
    return [entry for entry in trio.run(world.emulator.log) if entry.path == path]


def stored(world: Accounts) -> dict[str, object]:
    return json.loads((world.auth_dir / FILE).read_text())


def ask(url: str, system: str = AGENT, **headers: str) -> str:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, default_headers=headers) as client:
        said = client.messages.create(
            model=MODEL, max_tokens=99, system=system, messages=[{"role": "user", "content": "hello"}]
        )
    return said.content[0].text


def test_the_file_has_the_ids_of_person_and_organization(world: Accounts) -> None:
    log_in(world)
    assert {"account_uuid": "person-1", "organization_uuid": "org-1"}.items() <= stored(world).items()
    assert world.refusals() == []


def test_the_profile_names_an_account_that_the_tokens_do_not(world: Accounts) -> None:
    world.configure(claude={"names_owner": False})
    log_in(world)
    assert world.files() == [FILE]
    assert stored(world)["organization_name"] == "Mine"


def test_an_account_that_nobody_names_is_not_saved(world: Accounts) -> None:
    world.configure(claude={"names_owner": False, "has_profile": False})
    done = world.login("-claude-login", in_browser=True)
    assert done.code == 1
    assert "did not say whose account this is" in done.output
    assert world.files() == []


def test_the_agent_is_served_and_others_are_told_why_not(world: Accounts) -> None:
    """Nothing is added to make a request look like the agent's; a refusal leaves the account ready."""
    log_in(world)
    with world.server("request-retry: 0\n") as server:
        assert ask(server.url) == "You said: hello"
        with pytest.raises(anthropic.APIStatusError) as caught:
            ask(server.url, system="Be brief.")
        assert "only authorized for use with Claude Code" in caught.value.message
        assert ask(server.url) == "You said: hello"
    first, refused, last = seen(world, "/v1/messages")
    assert (first.status, refused.status, last.status) == (200, 400, 200)
    assert AGENT not in json.dumps(refused.body)


def test_the_betas_of_the_client_and_of_the_token_are_sent_together(world: Accounts) -> None:
    log_in(world)
    with world.server() as server:
        ask(server.url, **{"anthropic-beta": "context-1m-2025-08-07"})
    [sent] = seen(world, "/v1/messages")
    assert (sent.header("anthropic-beta") or "").split(",") == ["context-1m-2025-08-07", "oauth-2025-04-20"]


def test_tokens_are_counted_with_the_account(world: Accounts) -> None:
    log_in(world)
    with (
        world.server() as server,
        anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client,
    ):
        counted = client.messages.count_tokens(
            model=MODEL, system=AGENT, messages=[{"role": "user", "content": "hello"}]
        )
    assert counted.input_tokens > 0
    assert [entry.status for entry in seen(world, "/v1/messages/count_tokens")] == [200]


def test_a_token_that_is_refused_is_renewed_once_and_the_request_repeated(world: Accounts) -> None:
    log_in(world)
    old = stored(world)
    with world.server() as server:
        world.configure(claude={"oauth": {"expire": True}})
        assert ask(server.url) == "You said: hello"
        assert ask(server.url) == "You said: hello"
    assert [entry.status for entry in seen(world, "/v1/messages")] == [401, 200, 200]
    assert len(seen(world, "/v1/oauth/token")) == 2, "one for the code, one renewal"
    new = stored(world)
    assert new["refresh_token"] != old["refresh_token"]
    assert old.keys() <= new.keys()


def test_a_token_endpoint_that_asks_for_a_pause_gets_it(world: Accounts) -> None:
    log_in(world)
    pause = {
        "when": {"path": "/v1/oauth/token"},
        "status": 429,
        "retry_after": 200,
        "times": 0,
    }
    world.script(pause)
    with world.server("request-retry: 0\n") as server:
        world.configure(claude={"oauth": {"expire": True}})
        for _ in range(3):
            with pytest.raises(anthropic.APIStatusError):
                ask(server.url)
    assert len(seen(world, "/v1/oauth/token")) == 2, "one for the code, one that was told to wait"
