"""Secrets are planted everywhere they may stand; then everything is run, and all output is searched.

They look like nothing in particular, so that no pattern can hide one: what is not shown is not shown because
nobody prints it.
"""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from support.parrot import FAULTS, parrot
from support.server import ROOT, Server, running

LIMIT_S = 60
PLANTED: list[str] = []


def canary(kind: str) -> str:
    """A secret that is found wherever it is printed."""
    PLANTED.append(f"canary{len(PLANTED):03}{kind}tweettweettweet")
    return PLANTED[-1]


CLIENT_KEY = canary("client")
CONFIG = f"""\
host: 127.0.0.1
api-keys: [{CLIENT_KEY}]
proxy-url: http://user:{canary("proxypassword")}@127.0.0.1:9
request-retry: 0
unknown-key: {canary("unknownvalue")}
remote-management: {{secret-key: {canary("management")}}}
oauth-clients: {{gitlab: {{client-id: app, client-secret: {canary("clientsecret")}}}}}
gitlab-api-key:
  - {{api-key: {canary("gitlab")}, base-url: "http://127.0.0.1:9", headers: {{X-Secret: {canary("header")}}}}}
gemini-api-key:
  - {{api-key: {canary("gemini")}, base-url: "http://127.0.0.1:9"}}
openai-compatibility:
  - name: other
    base-url: http://127.0.0.1:9/v1
    api-key-entries: [{{api-key: {canary("compatible")}, proxy-url: "http://u:{canary("ownproxy")}@127.0.0.1:9"}}]
    models: [{{name: m}}]
"""
FILES = {
    "oauth.json": {
        "type": "gitlab",
        "auth_method": "oauth",
        "base_url": "http://127.0.0.1:9",
        "access_token": canary("access"),
        "refresh_token": canary("refresh"),
        "oauth_client_secret": canary("fileclient"),
        "oauth_expires_at": "2020-01-01T00:00:00Z",
        "proxy_url": f"http://user:{canary('fileproxy')}@127.0.0.1:9",
        "priority": canary("priority"),
        "headers": {"X-Secret": canary("fileheader"), "bad header": canary("badheader")},
    },
    "pat.json": {
        "type": "gitlab",
        "auth_method": "pat",
        "base_url": "http://127.0.0.1:9",
        "personal_access_token": canary("pat"),
    },
    "strange.json": {"type": "martian", "token": canary("strangetoken")},
    "empty.json": {"type": "gitlab", "note": canary("note")},
}
BROKEN = '{"type": "gitlab", "access_token": "' + canary("broken")
MISTAKES = f"""\
port: 99999
api-keys: {{a: {canary("keymap")}}}
debug: [{canary("debug")}]
gitlab-api-key:
  - {canary("bareentry")}
proxy-url: ftp://user:{canary("ftppassword")}@proxy
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory full of secrets."""
    auth = tmp_path / "auth"
    auth.mkdir(mode=0o700)
    for name, content in FILES.items():
        (auth / name).write_text(json.dumps(content))
    (auth / "broken.json").write_text(BROKEN)
    (tmp_path / "good.yaml").write_text(f"auth-dir: {auth}\n{CONFIG}")
    (tmp_path / "bad.yaml").write_text(MISTAKES)
    (tmp_path / "torn.yaml").write_text(f"api-keys: [{canary('torn')}\nhost: x: y\n")
    return tmp_path


def output_of(place: Path, *arguments: str, **environment: str) -> str:
    """Everything a command writes."""
    done = subprocess.run(
        [sys.executable, "-m", "cliproxy", *arguments],
        cwd=place,
        env={"PATH": "/usr/bin:/bin", "HOME": str(place), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "config"),
    [
        ("check", "good.yaml"),
        ("check", "bad.yaml"),
        ("check", "torn.yaml"),
        ("models", "good.yaml"),
        ("server", "good.yaml"),
        ("server", "bad.yaml"),
    ],
)
def test_commands_show_no_secret(place: Path, command: str, config: str) -> None:
    arguments = [command, "-config", config, "-debug"]
    if command == "server" and config == "good.yaml":
        arguments += ["-host", "no.such.host.invalid"]
    output = output_of(place, *arguments)
    assert len(output) > 50
    assert "canary" not in output


def test_a_login_that_fails_shows_no_secret(place: Path) -> None:
    output = output_of(
        place,
        "-gitlab-token-login",
        "-config",
        "good.yaml",
        "-debug",
        "-gitlab-url=http://127.0.0.1:9",
        GITLAB_PERSONAL_ACCESS_TOKEN=canary("token"),
    )
    assert "login failed" in output
    assert "canary" not in output


def test_a_server_shows_no_secret_whatever_goes_wrong(place: Path) -> None:
    """Neither in its log nor to its clients."""
    wrong = canary("wrong")
    key = {"Authorization": f"Bearer {CLIENT_KEY}"}
    chat = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with running(place, "-debug", config=CONFIG) as server:
        said = [*server.greeting]
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            for headers in (key, {"x-api-key": wrong}, {"Authorization": wrong}, {}):
                said.append(client.post("/v1/chat/completions", json=chat, headers=headers).text)
                said.append(client.get("/v1/models", headers=headers).text)
            said.append(client.get(f"/v1beta/models?key={CLIENT_KEY}&auth_token={wrong}").text)
            models = client.get("/v1/models", headers=key).json()["data"]
            said += [
                client.post("/v1/chat/completions", json={**chat, "model": model["id"]}, headers=key).text
                for model in models
            ]
        server.stop()
        log = server.log()
    assert "exchange outcome=error" in log
    assert "canary" not in log
    assert "canary" not in "\n".join(said)


# --- a busy server among upstreams that quote ----------------------------------------------------------

STATUSES = ("400", "401", "403", "404", "429", "500", "503", "529")
NAMED = canary("namedclient")
COOKIE = canary("cookie")
UPSTREAM = {kind: canary(kind) for kind in ("chat", "claude", "gemini", "codex", "instance", "field")}
ACCOUNT = {kind: canary(kind) for kind in ("good", "refresh2", "application", "pat2")}
PROXY = {kind: canary(kind) for kind in ("chatproxy", "fileproxy2")}
CLIENT = {kind: canary(kind) for kind in ("wrongkey", "query", "clientfield", "clientcookie", "member")}
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "claude": ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}),
    "codex": ("/v1/responses", {"input": "hi"}),
    "gemini": ("/v1beta/models/{model}:{action}", {"contents": [{"parts": [{"text": "hi"}]}]}),
}
KINDS = {
    "text": "logging-to-file: true\nrequest-log: true\n",
    "json": "logging-to-file: true\nerror-log: true\nerror-logs-max-files: 0\nlog-format: json\n",
}
BUSY_S = 30


def busy_config(place: str) -> str:
    """Everybody is reached at one address, by keys and passwords of their own."""

    def models(kind: str) -> str:
        return json.dumps(
            [{"name": f"{kind}-{what}", "alias": f"{kind}-{what}"} for what in (*FAULTS, *STATUSES)]
        )

    return f"""\
host: 127.0.0.1
debug: true
request-retry: 0
disable-cooling: true
passthrough-headers: true
api-keys: [{CLIENT_KEY}]
client-keys: [{{name: alice, key: {NAMED}}}]
remote-management: {{secret-key: {canary("management2")}}}
oauth-clients: {{gitlab: {{client-id: app, client-secret: {canary("clientsecret2")}}}}}
gitlab-api-key:
  - api-key: {UPSTREAM["instance"]}
    base-url: http://{place}
    headers: {{X-Secret: {UPSTREAM["field"]}}}
claude-api-key:
  - {{api-key: {UPSTREAM["claude"]}, base-url: "http://{place}", models: {models("claude")}}}
codex-api-key:
  - {{api-key: {UPSTREAM["codex"]}, base-url: "http://{place}", models: {models("codex")}}}
gemini-api-key:
  - {{api-key: {UPSTREAM["gemini"]}, base-url: "http://{place}", models: {models("gemini")}}}
openai-compatibility:
  - name: quoting
    base-url: http://{place}/v1
    headers: {{X-Secret: {UPSTREAM["field"]}}}
    api-key-entries: [{{api-key: {UPSTREAM["chat"]}, proxy-url: "http://u:{PROXY["chatproxy"]}@{place}"}}]
    models: {models("chat")}
  - name: dead
    base-url: http://upstream.invalid/v1
    api-key-entries: [{{api-key: {canary("dead")}, proxy-url: "http://u:{canary("deadproxy")}@127.0.0.1:9"}}]
    models: [{{name: dead}}]
"""


def busy_files(place: str) -> dict[str, dict[str, Any]]:
    """Accounts, some of which have to renew their tokens first."""
    old = {"access_token": canary("old"), "refresh_token": ACCOUNT["refresh2"]}
    gitlab = {"type": "gitlab", "base_url": f"http://{place}"}
    oauth = {
        **gitlab,
        "auth_method": "oauth",
        "oauth_client_id": "app",
        "oauth_client_secret": ACCOUNT["application"],
    }
    return {
        "old.json": {**oauth, **old, "oauth_expires_at": "2020-01-01T00:00:00Z"},
        "good.json": {**oauth, "access_token": ACCOUNT["good"], "oauth_expires_at": "2099-01-01T00:00:00Z"},
        "pat.json": {**gitlab, "auth_method": "pat", "personal_access_token": ACCOUNT["pat2"]},
        "claude.json": {
            **old,
            "type": "claude",
            "email": "me@example.org",
            "expired": "2020-01-01T00:00:00Z",
            "proxy_url": f"http://u:{PROXY['fileproxy2']}@{place}",
        },
    }


def coded(secret: str) -> set[bytes]:
    """How a secret looks inside Basic credentials, wherever it begins in them."""
    return {base64.b64encode(b"x" * lead + secret.encode())[4:-4] for lead in range(3)}


def found_in(outputs: dict[str, bytes]) -> set[tuple[str, str]]:
    """Which outputs show a secret, or a piece of one, and how it begins there."""
    words = {b"canary", b"tweettweet", *(form for secret in PLANTED for form in coded(secret))}
    return {
        (name, said[at : at + 24].decode("utf-8", "replace"))
        for name, said in outputs.items()
        for word in words
        if (at := said.find(word)) >= 0
    }


Question = tuple[str, dict[str, Any]]


def questions(models: list[str]) -> Iterator[Question]:
    """All that goes well and all that goes wrong: paths, and the rest of the requests."""
    key = {"Authorization": f"Bearer {NAMED}"}
    for (kind, (path, body)), what, stream in product(ROUTES.items(), (*FAULTS, *STATUSES), (True, False)):
        model, action = f"{kind}-{what}", "streamGenerateContent" if stream else "generateContent"
        wanted = body if "{" in path else {**body, "model": model, "stream": stream}
        yield path.format(model=model, action=action), {"json": wanted, "headers": key}
    chat, body = ROUTES["chat"]
    for model in ("dead", "nobody's", *models):
        yield chat, {"json": {**body, "model": model}, "headers": key}
    body = {**body, "model": "chat-ok", "metadata": {"api_key": CLIENT["member"]}}
    for name, value in (
        ("x-api-key", CLIENT["wrongkey"]),
        ("x-goog-api-key", NAMED),
        ("x-api-key", CLIENT_KEY),
    ):
        yield chat, {"json": body, "headers": {name: value}}
    yield chat, {"content": b'{"api_key": "' + CLIENT["member"].encode(), "headers": key}
    path = f"/v1beta/models/gemini-ok:generateContent?key={CLIENT_KEY}&auth_token={CLIENT['query']}"
    yield path, {"json": ROUTES["gemini"][1]}
    for page, headers in product(("/healthz", "/readyz", "/metrics", "/v1/models"), ({}, key)):
        yield f"{page}?key={CLIENT['query']}", {"method": "GET", "headers": headers}


def ask_for_everything(server: Server) -> dict[str, bytes]:
    """Ask; what clients were told."""
    said: dict[str, bytes] = {}
    more = {"X-Odd-Auth": CLIENT["clientfield"], "Cookie": f"id={CLIENT['clientcookie']}"}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=BUSY_S, headers=more) as client:
        listed = client.get("/v1/models", headers={"x-api-key": NAMED}).json()["data"]
        for path, how in questions([model["id"] for model in listed]):
            answer = client.request(how.pop("method", "POST"), path, **how)
            shown = "".join(f"{name}: {value}\n" for name, value in answer.headers.multi_items())
            # What a client has told a model, it may hear again.
            content = (shown.encode() + answer.content).replace(CLIENT["member"].encode(), b"")
            said[f"answer {len(said)} of {path.partition('?')[0]}"] = content
    return said


def files_below(place: Path) -> dict[str, bytes]:
    """Everything the server has written."""
    ours = {place / "config.yaml", *(place / "auth").glob("*.json")}
    found: dict[str, bytes] = {}
    for path in set(place.rglob("*")) - ours:
        # It may have been renamed meanwhile.
        with suppress(FileNotFoundError, IsADirectoryError):
            found[str(path.relative_to(place))] = path.read_bytes()
    return found


def wait_for_database(place: Path) -> None:
    """Wait until the server has written something down."""
    deadline = time.monotonic() + BUSY_S
    while not any(said for name, said in files_below(place).items() if name.endswith("-wal")):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # noqa: TID251 - waits for another process


@pytest.mark.parametrize("kind", KINDS)
def test_no_output_shows_what_upstreams_quote(tmp_path: Path, kind: str) -> None:
    """Upstreams repeat our tokens wherever they can; proxies their passwords; clients put keys everywhere."""
    (tmp_path / "auth").mkdir(mode=0o700)
    with parrot(COOKIE) as bird:
        for name, content in busy_files(bird.place).items():
            (tmp_path / "auth" / name).write_text(json.dumps(content))
        with running(tmp_path, config=busy_config(bird.place) + KINDS[kind]) as server:
            outputs = {"greeting": "\n".join(server.greeting).encode(), **ask_for_everything(server)}
            wait_for_database(tmp_path)
            outputs |= {f"{name} before the stop": said for name, said in files_below(tmp_path).items()}
            assert server.stop() == 0
        outputs |= files_below(tmp_path)
        for command in ("check", "models", "keys"):
            said = output_of(tmp_path, command, "-config", "config.yaml", "-debug")
            outputs[command] = said.encode()
    heard = "\n".join(bird.heard)
    assert not [each for told in (UPSTREAM, ACCOUNT, PROXY) for each in told.values() if each not in heard]
    assert {"server.log", "logs/main.log", "auth/state/cliproxy.db"} <= set(outputs)
    assert sum(name.startswith(("logs/v1", "logs/error-v1")) for name in outputs) > 100
    assert found_in(outputs) == set()


def test_a_secret_is_found_wherever_it_is() -> None:
    """The search finds what it is meant to find."""
    basic = base64.b64encode(f"u:{CLIENT_KEY}".encode())
    outputs = {
        "plain": b"a" + CLIENT_KEY.encode(),
        "coded": b"Basic " + basic,
        "tail": b"\0" + CLIENT_KEY[-20:].encode(),
    }
    assert {name for name, _ in found_in(outputs)} == set(outputs)
    assert found_in({"none": b"nothing"}) == set()
