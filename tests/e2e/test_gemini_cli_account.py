"""A Google account over the real program: projects that take turns, quotas, renewal, and the Gemini CLI's own
requests."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
import trio

from emulators.google import GEMINI_CLI
from support.accounts import Accounts
from support.emulator import Seen
from support.server import running
from support.terminal import Reply, session

SECRET = {"GEMINI_OAUTH_CLIENT_SECRET": GEMINI_CLI.secret}
BOTH = "gemini-me@example.org-all.json"
MODEL, PREVIEW = "gemini-2.5-pro", "gemini-3.1-pro-preview"
ONCE = "request-retry: 0\n"


@pytest.fixture
def account(world: Accounts) -> Accounts:
    """Logged in with both projects."""
    log_in(world, "ALL")
    return world


def log_in(world: Accounts, project: str) -> str:
    done = world.login("-login", "-project_id", project, in_browser=True, **SECRET)
    assert done.code == 0, done.output
    return done.output


def code_assist(world: Accounts, **settings: object) -> None:
    world.configure(google={"code_assist": settings})


def stored(world: Accounts) -> dict[str, Any]:
    [name] = world.files()
    return json.loads((world.auth_dir / name).read_text())


def seen(world: Accounts) -> list[Seen]:
    """The requests to models."""
    entries = trio.run(world.emulator.log)
    return [entry for entry in entries if "enerateContent" in entry.path or "countTokens" in entry.path]


def asked(world: Accounts) -> list[tuple[str, str]]:
    """Which project was asked for which model, in order."""
    return [(entry.body["project"], entry.body["model"]) for entry in seen(world)]


def say_hello(url: str, *, stream: bool = False, model: str = MODEL) -> str:
    """Ask the model; return the name of the one that answered."""
    messages: Any = [{"role": "user", "content": "hello"}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        if not stream:
            answer = client.chat.completions.create(model=model, messages=messages)
            assert answer.choices[0].message.content == "You said: hello"
            return answer.model
        chunks = list(client.chat.completions.create(model=model, messages=messages, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: hello"
    return chunks[0].model


# --- login ----------------------------------------------------------------------------------------


def test_all_projects_make_one_file(account: Accounts) -> None:
    assert account.files() == [BOTH]
    data = stored(account)
    assert data["project_id"] == "first-project,second-project"
    assert (data["type"], data["auto"], data["checked"]) == ("gemini", False, True)
    assert data["token"]["client_secret"] == GEMINI_CLI.secret
    assert account.refusals() == []


def test_an_api_that_is_off_is_switched_on(world: Accounts) -> None:
    world.configure(google={"services": {"first-project": "DISABLED"}})
    log_in(world, "first-project")
    assert trio.run(world.emulator.state)["google"]["services"] == {"first-project": "ENABLED"}


def test_an_api_that_cannot_be_switched_on_saves_nothing(world: Accounts) -> None:
    world.configure(google={"services": {"first-project": "REFUSED"}})
    done = world.login("-login", "-project_id", "first-project", in_browser=True, **SECRET)
    assert done.code == 1
    assert "console.cloud.google.com/apis/library/cloudaicompanion.googleapis.com" in done.output
    assert world.files() == []


def test_google_one_gets_a_project_from_google(world: Accounts) -> None:
    code_assist(world, pending=1)
    log_in(world, "GOOGLE_ONE")
    assert stored(world)["project_id"] == "made-by-google"
    with world.server() as server:
        assert say_hello(server.url) == MODEL


def test_without_the_clients_secret_the_login_says_where_it_may_come_from(world: Accounts) -> None:
    done = world.login("-login", PATH=str(Path(sys.executable).parent))
    assert done.code == 1
    assert "GEMINI_OAUTH_CLIENT_SECRET" in done.output
    assert "oauth-clients" in done.output


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_on_a_terminal_the_address_is_pasted_and_the_projects_are_chosen(world: Accounts) -> None:
    def where_the_browser_ends(screen: str) -> str:
        url = next(word for word in screen.split() if word.startswith("https://accounts.google.com/"))
        context = httpx.create_ssl_context()
        context.load_verify_locations(world.authority)
        with httpx.Client(proxy=world.proxy, verify=context, trust_env=False) as outside:
            return str(outside.get(url).headers["location"])

    talk: list[tuple[str, Reply]] = [
        ("Paste the address", where_the_browser_ends),
        ("2: Google One", "1"),
        ("[2] second-project (Second Project)", "third"),
        ("third is not among", "2, first-project"),
    ]
    world.write_config()
    screen, code = session(
        world.directory, ["-login", "-no-browser"], talk, variables=world.variables(**SECRET)
    )
    assert code == 0, screen
    assert stored(world)["project_id"] == "second-project,first-project"
    assert stored(world)["token"]["access_token"] not in screen


# --- projects and quotas --------------------------------------------------------------------------


def test_projects_take_turns(account: Accounts) -> None:
    with account.server("routing: {session-affinity: false}\n") as server:
        for _ in range(4):
            say_hello(server.url)
    assert [project for project, _ in asked(account)] == ["first-project", "second-project"] * 2


def test_a_conversation_stays_with_its_project(account: Accounts) -> None:
    """The same words are the same conversation; its project has seen their prompt."""
    with account.server() as server:
        for _ in range(3):
            say_hello(server.url)
    assert {project for project, _ in asked(account)} == {"first-project"}


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_project_goes_on_when_a_quota_is_used_up(account: Accounts, stream: bool) -> None:
    code_assist(account, quota={"first-project": "90s"})
    with account.server(ONCE) as server:
        for _ in range(3):
            assert say_hello(server.url, stream=stream) == MODEL
    second = ("second-project", MODEL)
    assert asked(account) == [("first-project", MODEL), second, second, second]


def test_without_switching_projects_the_client_is_told_when_to_come_back(account: Accounts) -> None:
    code_assist(account, quota={"first-project": "90s"})
    setting = "quota-exceeded: {switch-project: false, switch-preview-model: false}\n"
    with account.server(ONCE + setting) as server:
        for _ in range(2):
            with pytest.raises(openai.RateLimitError) as caught:
                say_hello(server.url, stream=True)
            assert 80 < int(caught.value.response.headers["retry-after"]) < 110
    assert asked(account) == [("first-project", MODEL)]


QUOTAS = {f"{project}/{MODEL}": "10h15m" for project in ("first-project", "second-project")}


def test_a_preview_model_answers_when_no_project_has_quota_left(account: Accounts) -> None:
    code_assist(account, quota=QUOTAS)
    with account.server(ONCE) as server:
        assert say_hello(server.url) == PREVIEW
        assert say_hello(server.url, stream=True) == PREVIEW
    assert sorted(asked(account)[:2]) == [("first-project", MODEL), ("second-project", MODEL)]
    assert {model for _, model in asked(account)[2:]} == {PREVIEW}


def test_unless_the_owner_does_not_want_that(account: Accounts) -> None:
    code_assist(account, quota=QUOTAS)
    with account.server(f"{ONCE}quota-exceeded: {{switch-preview-model: false}}\n") as server:
        with pytest.raises(openai.RateLimitError) as caught:
            say_hello(server.url, stream=True)
        assert "exhausted your capacity" in caught.value.message
        assert 36_000 < int(caught.value.response.headers["retry-after"]) < 42_000
    assert len(asked(account)) == 2


# --- tokens ---------------------------------------------------------------------------------------


def test_all_projects_share_one_renewal_and_it_is_written_down(account: Accounts) -> None:
    before = stored(account)
    with account.server() as server:
        say_hello(server.url)
        account.configure(google={"oauth": {"expire": True}})
        for _ in range(4):
            say_hello(server.url)
    entries = trio.run(account.emulator.log)
    grants = [entry for entry in entries if entry.path == "/token"]
    assert len(grants) == 2, "the login and one renewal"
    after = stored(account)
    assert after["token"]["access_token"] != before["token"]["access_token"]
    assert after["token"]["refresh_token"] == before["token"]["refresh_token"]
    for data in (before, after):
        del data["token"]["access_token"], data["token"]["expiry"]
    assert after == before


def test_a_file_without_a_project_finds_it_on_first_use(world: Accounts) -> None:
    log_in(world, "first-project")
    code_assist(world, own_project="first-project")
    [name] = world.files()
    data = stored(world)
    del data["project_id"]
    (world.auth_dir / name).write_text(json.dumps(data))
    with world.server() as server:
        say_hello(server.url)
        say_hello(server.url)
    assert stored(world)["project_id"] == "first-project"
    assert asked(world) == [("first-project", MODEL)] * 2


def test_a_login_that_was_taken_back_is_no_account_any_more(account: Accounts) -> None:
    account.configure(google={"oauth": {"revoke": True}})
    with account.server(ONCE) as server, pytest.raises(openai.AuthenticationError) as caught:
        say_hello(server.url)
    assert "log in again" in caught.value.message
    assert len(asked(account)) == 1, "one project is enough to know"


# --- what the Gemini CLI itself sends -------------------------------------------------------------

GOOGLE = {
    "authorization": "Bearer ya29.of-the-client",
    "user-agent": f"GeminiCLI-tui/0.61.0/{MODEL} (linux; x64; terminal) google-api-nodejs-client/10.9.0",
    "x-goog-api-client": "gl-node/22.0.0",
}
SHELL = {
    "name": "run_shell_command",
    "description": "Runs a command.",
    "parametersJsonSchema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}


def envelope(*contents: Mapping[str, Any], model: str = MODEL) -> dict[str, Any]:
    """A request as the CLI writes it."""
    return {
        "model": model,
        "project": "theirs",
        "user_prompt_id": "prompt-1########0",
        "request": {
            "contents": [{"role": "user", "parts": [{"text": "run_shell_command"}]}, *contents],
            "systemInstruction": {"parts": [{"text": "You are an agent."}]},
            "tools": [{"functionDeclarations": [SHELL]}],
            "generationConfig": {
                "temperature": 1,
                "topP": 0.95,
                "topK": 64,
                "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
            },
            "session_id": "0b2f6e1a",
        },
    }


def streamed(url: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a streamed answer."""
    with httpx.Client(trust_env=False) as client:
        address = f"{url}/v1internal:streamGenerateContent?alt=sse"
        answer = client.post(address, json=dict(body), headers=GOOGLE)
    assert answer.status_code == 200, answer.text
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert all(set(event) <= {"response", "traceId"} for event in events)
    answers = [event["response"] for event in events]
    candidates = [answer["candidates"][0] for answer in answers if answer.get("candidates")]
    assert candidates[-1]["finishReason"] == "STOP"
    return [part for each in candidates for part in each.get("content", {}).get("parts", [])]


def tool_round(url: str, model: str) -> str:
    """Let a tool be called, and return what the model says to its result."""
    parts = streamed(url, envelope(model=model))
    [call] = [part for part in parts if "functionCall" in part]
    assert call["functionCall"]["name"] == "run_shell_command"
    reply = {"name": "run_shell_command", "response": {"output": "it works"}}
    identity = {"id": call["functionCall"]["id"]} if call["functionCall"].get("id") else {}
    history = [
        {"role": "model", "parts": [{"thoughtSignature": "skip_thought_signature_validator", **call}]},
        {"role": "user", "parts": [{"functionResponse": {**identity, **reply}}]},
    ]
    return "".join(part.get("text", "") for part in streamed(url, envelope(*history, model=model)))


def test_the_gemini_cli_converses_with_an_account_here(account: Accounts) -> None:
    """Its own key, project and token are not sent on."""
    with account.server("api-keys: [sk-client]\n") as server:
        assert tool_round(server.url, MODEL).endswith("The tool said: it works")
    assert [entry.status for entry in seen(account)] == [200, 200]
    for entry in seen(account):
        assert entry.body["project"] != "theirs"
        assert "of-the-client" not in json.dumps(entry.headers)
        assert entry.body["request"]["session_id"] == "0b2f6e1a"
    assert account.refusals() == []


def test_the_gemini_cli_counts_tokens(account: Accounts) -> None:
    contents = [{"role": "user", "parts": [{"text": "hi"}]}]
    body = {"request": {"model": f"models/{MODEL}", "contents": contents}}
    with account.server() as server, httpx.Client(trust_env=False) as client:
        answer = client.post(f"{server.url}/v1internal:countTokens", json=body, headers=GOOGLE)
    assert answer.json()["totalTokens"] > 0
    [entry] = seen(account)
    assert entry.body == body


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_the_gemini_cli_uses_every_model_the_server_has(tmp_path: Path, address: str) -> None:
    host = "host: ::1\n" if ":" in address else "host: 127.0.0.1\n"
    with running(tmp_path, "-demo", config=f"{host}api-keys: [sk-client]\n") as server:
        port = server.url.rpartition(":")[2]
        assert "it works" in tool_round(f"http://{address}:{port}", "demo")
