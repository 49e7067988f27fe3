"""Every account: login, file, a streamed answer, with the real program at the vendors' real addresses."""

import json
import stat
from contextlib import closing
from fnmatch import fnmatch
from typing import Any

import pytest
import trio
from attrs import field, frozen

from emulators.google import ANTIGRAVITY, GEMINI_CLI
from support.accounts import Accounts
from support.conversation import Clients, Given, Talk, Wish
from support.matrix import WEATHER
from support.talks import TALKS


@frozen(kw_only=True)
class Case:
    """One account."""

    login: str
    """The flag."""
    file: str
    """Pattern of its name."""
    model: str
    environment: dict[str, str] = field(factory=dict)
    in_browser: bool = False
    options: tuple[str, ...] = ()
    settings: dict[str, Any] = field(factory=dict)
    """Of the emulated vendors."""
    is_renewed_in_file: bool = True
    """What is renewed stands in the file; short-lived tokens that are exchanged for it do not."""


OF_ATTEMPT = {"requestId": ""}
"""Members of a body that name the attempt; they are empty where two are compared."""

AT_ONCE = {"oauth": {"pending": 0}}
"""The owner has entered the code when the vendor is first asked about it, not only by the next time."""

CASES = {
    "claude": Case(
        login="-claude-login",
        file="claude-me@example.org.json",
        model="claude-sonnet-4-6",
        in_browser=True,
        settings={"claude": {"only_agent": False}},
    ),
    "codex": Case(
        login="-codex-login",
        file="codex-ab712194-me@example.org-plus.json",
        model="gpt-5.4",
        in_browser=True,
    ),
    "gemini-cli": Case(
        login="-login",
        file="gemini-me@example.org-second-project.json",
        model="gemini-2.5-pro",
        environment={"GEMINI_OAUTH_CLIENT_SECRET": GEMINI_CLI.secret},
        in_browser=True,
        options=("-project_id", "second-project"),
    ),
    "qwen": Case(
        login="-qwen-login",
        file="qwen-me@example.org.json",
        model="qwen3-coder-plus",
        options=("-email", "me@example.org"),
    ),
    "antigravity": Case(
        login="-antigravity-login",
        file="antigravity-me@example.org.json",
        model="gemini-3-flash",
        environment={"ANTIGRAVITY_OAUTH_CLIENT_SECRET": ANTIGRAVITY.secret},
        in_browser=True,
    ),
    "iflow": Case(
        login="-iflow-login",
        file="iflow-me@example.org.json",
        model="glm-4.6",
        environment={"IFLOW_CLIENT_SECRET": "emulated-iflow-secret"},
        in_browser=True,
    ),
    "iflow-cookie": Case(
        login="-iflow-cookie",
        file="iflow-me@example.org-1*.json",
        model="deepseek-v3.2",
        environment={"IFLOW_COOKIE": "a=b; BXAuth=good-cookie"},
    ),
    "xai": Case(
        login="-xai-login",
        file="xai-me@example.org.json",
        model="grok-4.5",
        settings={"xai": AT_ONCE},
    ),
    "github-copilot": Case(
        login="-github-copilot-login",
        file="github-copilot-octocat.json",
        model="gpt-5-mini",
        settings={"copilot": AT_ONCE},
        is_renewed_in_file=False,
    ),
    "kimi": Case(login="-kimi-login", file="kimi-1*.json", model="kimi-k2.5", settings={"kimi": AT_ONCE}),
}


SECRETS = ("access_token", "refresh_token", "api_key", "cookie")
"""Members that no output may show."""


def converse(talk: Talk) -> None:
    """Have a tool called and its result read, streamed."""
    talk.say("Use get_weather")
    [called] = talk.answer(stream=True).calls
    assert called.name == "get_weather"
    talk.give([Given(called, "sunny")])
    assert talk.answer(stream=True).text == "The tool said: sunny"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_account_logs_in_and_serves(world: Accounts, case: Case) -> None:
    world.configure(**case.settings)
    world.environment |= case.environment
    done = world.login(case.login, *case.options, in_browser=case.in_browser)
    assert done.code == 0, done.output
    [name] = world.files()
    assert fnmatch(name, case.file)
    path = world.auth_dir / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = json.loads(path.read_text())
    secrets = secrets_of(data).values()
    assert secrets
    assert not [secret for secret in secrets if secret in done.output]
    with world.server() as server, closing(Clients.of(server.url)) as clients:
        for talk in TALKS.values():
            converse(talk(clients, Wish(model=case.model, tools=(WEATHER,), max_tokens=4000)))
        assert world.refusals() == []
        before = json.loads(path.read_text())
        is_refused_once(world, TALKS["chat"](clients, Wish(model=case.model, max_tokens=4000)))
        after = json.loads(path.read_text())
        assert (secrets_of(after) != secrets_of(before)) is case.is_renewed_in_file
        assert after.keys() >= before.keys()


def is_refused_once(world: Accounts, talk: Talk) -> None:
    """A token that is refused is renewed, and the same request sent again."""
    known = len(trio.run(world.emulator.log))
    world.script({"status": 401})
    talk.say("hello")
    assert talk.answer(stream=True).text == "You said: hello"
    refused, *renewal, again = trio.run(world.emulator.log)[known:]
    assert (refused.status, again.status) == (401, 200)
    assert refused.path == again.path
    assert refused.body | OF_ATTEMPT == again.body | OF_ATTEMPT
    assert renewal
    assert all(seen.status == 200 and seen.path != refused.path for seen in renewal)


def secrets_of(data: dict[str, Any]) -> dict[str, Any]:
    """The members of a credential file that no output may show."""
    return {k: v for k, v in (data | data.get("token", {})).items() if k in SECRETS and v}
