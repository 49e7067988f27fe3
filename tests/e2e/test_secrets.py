"""Secrets are planted everywhere they may stand; then everything is run, and all output is searched.

They look like nothing in particular, so that no pattern can hide one: what is not shown is not shown because
nobody prints it.
"""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import httpx2 as httpx
import pytest

from support.server import ROOT, running

LIMIT_S = 60
_numbers = count(1)


def canary(kind: str) -> str:
    """A secret that is found wherever it is printed."""
    return f"canary{next(_numbers):03}{kind}tweettweettweet"


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
