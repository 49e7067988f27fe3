"""What happens to accounts while the server runs: keys that end, logins made twice."""

import openai
import pytest

from support.accounts import Accounts
from support.server import Server

COOKIE = {"IFLOW_COOKIE": "BXAuth=good-cookie"}
APPLICATION = {"IFLOW_CLIENT_SECRET": "emulated-iflow-secret"}


@pytest.fixture
def world(world: Accounts) -> Accounts:
    """The owner enters the codes of devices at once."""
    world.configure(xai={"oauth": {"pending": 0}}, copilot={"oauth": {"pending": 0}})
    return world


def ask(server: Server, model: str) -> str:
    """Ask something and return the answer."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        done = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    return done.choices[0].message.content or ""


@pytest.mark.parametrize("by_cookie", [False, True], ids=["browser", "cookie"])
def test_a_key_of_iflow_that_is_refused_is_asked_for_again(world: Accounts, by_cookie: bool) -> None:
    if by_cookie:
        done = world.login("-iflow-cookie", **COOKIE)
    else:
        done = world.login("-iflow-login", in_browser=True, **APPLICATION)
    assert done.code == 0, done.output
    [name] = world.files()
    before = (world.auth_dir / name).read_text()
    world.environment |= APPLICATION
    with world.server() as server:
        world.configure(iflow={"spend_keys": True})
        assert ask(server, "glm-4.6") == "You said: hello"
    assert (world.auth_dir / name).read_text() != before
    assert [reason for reason in world.refusals() if reason != "invalid api key"] == []


def test_a_cookie_of_iflow_makes_one_account(world: Accounts) -> None:
    assert world.login("-iflow-cookie", **COOKIE).code == 0
    again = world.login("-iflow-cookie", **COOKIE)
    assert again.code == 1
    assert "was used for a login already" in again.output
    assert len(world.files()) == 1


def test_iflow_says_what_is_missing_without_the_secret(world: Accounts) -> None:
    done = world.login("-iflow-login")
    assert done.code == 1
    assert "IFLOW_CLIENT_SECRET" in done.output


def test_a_key_of_xai_needs_no_login(world: Accounts) -> None:
    with world.server("xai-api-key:\n  - api-key: xai-emulated\n") as server:
        assert ask(server, "grok-4.5") == "You said: hello"
    assert world.refusals() == []


def test_a_refused_token_of_xai_is_renewed(world: Accounts) -> None:
    assert world.login("-xai-login").code == 0
    with world.server() as server:
        world.configure(xai={"oauth": {"expire": True}})
        assert ask(server, "grok-4.5") == "You said: hello"
    assert [reason for reason in world.refusals() if "bad-credentials" not in reason] == []


COPILOT = ("-github-copilot-login",)


def test_copilots_models_are_reached_as_it_says(world: Accounts) -> None:
    """A chat client asks a model that the Responses endpoint alone serves, one that is served by chat alone,
    and one whose entry says nothing."""
    assert world.login(*COPILOT).code == 0
    with world.server() as server:
        for model in ("gpt-5.1-codex", "claude-sonnet-4.5", "gpt-4o"):
            assert ask(server, model) == "You said: hello"
    assert world.refusals() == []


def test_a_refused_token_of_copilot_is_exchanged_anew(world: Accounts) -> None:
    assert world.login(*COPILOT).code == 0
    with world.server() as server:
        assert ask(server, "gpt-5-mini") == "You said: hello"
        world.configure(copilot={"spend_tokens": True})
        assert ask(server, "gpt-5-mini") == "You said: hello"
    assert set(world.refusals()) == {"token expired"}


def test_without_a_seat_there_is_no_login(world: Accounts) -> None:
    world.configure(copilot={"has_seat": False})
    done = world.login(*COPILOT)
    assert done.code == 1
    assert "No access to GitHub Copilot found" in done.output
    assert world.files() == []
