"""A ChatGPT account over the real program: its logins, its models, its token, its used-up plan."""

import json

import httpx2 as httpx
import openai
import pytest
import trio

from support.accounts import Accounts
from support.emulator import Seen

FILE = "codex-ab712194-me@example.org-plus.json"
MODEL = "gpt-5.4"
HELLO = [{"role": "user", "content": "hello"}]


def log_in(world: Accounts) -> None:
    done = world.login("-codex-login", in_browser=True)
    assert done.code == 0, done.output


def seen(world: Accounts, path: str) -> list[Seen]:
    return [entry for entry in trio.run(world.emulator.log) if entry.path == path]


def stored(world: Accounts, name: str = FILE) -> dict[str, object]:
    return json.loads((world.auth_dir / name).read_text())


def ask(url: str) -> str:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        said = client.chat.completions.create(model=MODEL, messages=HELLO)
    return said.choices[0].message.content


def test_a_code_entered_elsewhere_logs_in(world: Accounts) -> None:
    world.configure(codex={"oauth": {"pending": 0}, "plan": "Team", "account": "acct-2"})
    done = world.login("login", "codex", "-method", "device")
    assert done.code == 0, done.output
    assert "https://auth.openai.com/codex/device" in done.output
    assert "enter the code: CODE-" in done.output
    assert world.files() == ["codex-e1957682-me@example.org-team.json"]
    assert world.refusals() == []


def test_a_login_by_code_that_is_not_offered(world: Accounts) -> None:
    world.configure(codex={"devices": False})
    done = world.login("-codex-device-login")
    assert done.code == 1
    assert "Log in with -codex-login" in done.output
    assert world.files() == []


def test_a_login_that_the_owner_declines(world: Accounts) -> None:
    world.configure(codex={"oauth": {"decision": "deny"}})
    done = world.login("-codex-login", in_browser=True)
    assert done.code == 1
    assert "access was declined" in done.output
    assert world.files() == []


def test_the_backend_is_told_the_account_and_nothing_that_is_not_so(world: Accounts) -> None:
    log_in(world)
    with world.server() as server:
        assert ask(server.url) == "You said: hello"
    [sent] = seen(world, "/backend-api/codex/responses")
    assert sent.header("chatgpt-account-id") == "acct-emulated"
    assert sent.header("originator") is None
    assert (sent.header("user-agent") or "").startswith("cliproxy/")


@pytest.mark.parametrize(("plan", "has_it"), [("plus", True), ("free", False)])
def test_the_plan_decides_which_models_there_are(world: Accounts, plan: str, has_it: bool) -> None:
    world.configure(codex={"plan": plan})
    log_in(world)
    with world.server() as server:
        listed = httpx.get(f"{server.url}/v1/models", trust_env=False).json()["data"]
    assert ("gpt-5.6-sol" in {model["id"] for model in listed}) is has_it


def test_a_token_that_is_refused_is_renewed_once_and_the_request_repeated(world: Accounts) -> None:
    log_in(world)
    old = stored(world)
    with world.server() as server:
        world.configure(codex={"oauth": {"expire": True}})
        assert ask(server.url) == "You said: hello"
        assert ask(server.url) == "You said: hello"
    assert [entry.status for entry in seen(world, "/backend-api/codex/responses")] == [401, 200, 200]
    assert len(seen(world, "/oauth/token")) == 2, "one for the code, one renewal"
    new = stored(world)
    assert new["refresh_token"] != old["refresh_token"]
    assert new["access_token"] != old["access_token"]
    assert {**new, "account_id": 0} == {**old, **new, "account_id": 0}, "nothing was lost"


def test_a_login_that_was_revoked_asks_for_another_one(world: Accounts) -> None:
    log_in(world)
    with world.server() as server:
        world.configure(codex={"oauth": {"revoke": True}})
        for _ in range(2):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(server.url)
            assert "og in again" in caught.value.message
    assert len(seen(world, "/oauth/token")) == 2, "what only the owner can cure is not tried again"


def test_a_used_up_plan_says_when_it_is_renewed_and_is_left_alone(world: Accounts) -> None:
    log_in(world)
    world.configure(codex={"used_up": 3600})
    with world.server("request-retry: 0\n") as server:
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as caught:
                ask(server.url)
            assert 3500 < int(caught.value.response.headers["retry-after"]) <= 3960, "with some spread"
    assert len(seen(world, "/backend-api/codex/responses")) == 1


def test_a_listener_that_was_moved_leaves_the_vendors_address(world: Accounts) -> None:
    """The vendor knows one address only; the browser would come back there."""
    process = world.start("-codex-login", "-no-browser", "-oauth-callback-port", "0")
    try:
        assert process.stdout is not None
        shown = next(line for line in process.stdout if line.startswith("https://"))
    finally:
        process.kill()
        process.communicate()
    assert "redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback" in shown
