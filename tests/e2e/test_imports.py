"""Logins of the vendors' own programs, taken over by the real program and used."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
import trio

from emulators.google import GEMINI_CLI
from support.accounts import Accounts


def issued(world: Accounts, *login: str, in_browser: bool = True) -> dict[str, Any]:
    """Have a vendor issue tokens, which no file of ours keeps."""
    done = world.login(*login, in_browser=in_browser)
    assert done.code == 0, done.output
    [name] = world.files()
    path = world.auth_dir / name
    tokens = json.loads(path.read_text())
    path.unlink()
    return tokens


def leave(world: Accounts, path: str, document: dict[str, Any]) -> Path:
    """Write a file as a vendor's program does."""
    file = world.directory / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def speaks(world: Accounts, model: str) -> None:
    with (
        world.server() as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        messages = [{"role": "user", "content": "hello"}]
        said = client.chat.completions.create(model=model, messages=messages)
        assert said.choices[0].message.content == "You said: hello"


def test_the_codex_clis_login(world: Accounts) -> None:
    tokens = issued(world, "-codex-login")
    kept = {name: tokens[name] for name in ("id_token", "access_token", "refresh_token", "account_id")}
    document = {"OPENAI_API_KEY": None, "tokens": kept, "last_refresh": "2026-11-20T10:00:00.123456Z"}
    path = leave(world, "elsewhere/auth.json", document)
    done = world.login("login", "codex", "-import", CODEX_HOME=str(path.parent))
    assert done.code == 0, done.output
    assert world.files() == ["codex-ab712194-me@example.org-plus.json"]
    assert "Codex CLI and cliproxy now share one login" in done.output
    assert not [secret for secret in kept.values() if secret in done.output]
    speaks(world, "gpt-5.4")
    assert world.refusals() == []


def claude_document(tokens: dict[str, Any]) -> dict[str, Any]:
    inner = {
        "accessToken": tokens["access_token"],
        "refreshToken": tokens["refresh_token"],
        "expiresAt": 1_999_999_999_000,
        "scopes": tokens["scope"].split(),
        "subscriptionType": "max",
    }
    return {"claudeAiOauth": inner}


def test_claude_codes_login(world: Accounts) -> None:
    world.configure(claude={"only_agent": False})
    leave(world, ".claude/.credentials.json", claude_document(issued(world, "-claude-login")))
    done = world.login("login", "-import")
    assert done.code == 0, done.output
    assert world.files() == ["claude-me@example.org.json"], "the profile says whose it is"
    assert "Claude Code and cliproxy now share one login" in done.output
    speaks(world, "claude-sonnet-4-6")
    assert world.refusals() == []


def test_whoever_renews_second_is_logged_out_and_told_so(world: Accounts) -> None:
    leave(world, ".claude/.credentials.json", claude_document(issued(world, "-claude-login")))
    assert world.login("login", "claude", "-import").code == 0
    [name] = world.files()
    taken = (world.auth_dir / name).read_text()
    world.configure(claude={"oauth": {"expire": True}})
    with (
        world.server() as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        ask = {"model": "claude-3-5-haiku-20241022", "messages": [{"role": "user", "content": "hello"}]}
        client.chat.completions.create(**ask)
    assert json.loads(taken)["refresh_token"] not in (world.auth_dir / name).read_text()
    (world.auth_dir / name).write_text(taken)
    world.configure(claude={"oauth": {"expire": True}})
    with (
        world.server() as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(**ask)
        assert "log in again" in caught.value.message
    refusals = trio.run(world.emulator.refusals)
    assert any("used before" in reason for reason in refusals)


def test_qwen_codes_login(world: Accounts) -> None:
    world.configure(qwen={"oauth": {"pending": 0}})
    tokens = issued(world, "-qwen-login", "-email", "x", in_browser=False)
    kept = {name: tokens[name] for name in ("access_token", "refresh_token", "token_type", "resource_url")}
    leave(world, ".qwen/oauth_creds.json", {**kept, "expiry_date": 1_999_999_999_000})
    done = world.login("login", "-import", "-email", "me@example.org")
    assert done.code == 0, done.output
    assert world.files() == ["qwen-me@example.org.json"]
    speaks(world, "qwen3-coder-plus")


def test_there_is_nothing_to_take_over(world: Accounts) -> None:
    done = world.login("login", "-import")
    assert done.code == 1
    assert str(world.directory / ".codex" / "auth.json") in done.output


def test_the_gemini_clis_login(world: Accounts) -> None:
    """Its refresh token does not rotate; the project may be named as at a login."""
    world.environment |= {"GEMINI_OAUTH_CLIENT_SECRET": GEMINI_CLI.secret}
    token = issued(world, "-login", "-project_id", "first-project")["token"]
    kept = {name: token[name] for name in ("access_token", "refresh_token", "token_type")}
    document = {**kept, "scope": " ".join(token["scopes"]), "expiry_date": 1_999_999_999_000}
    leave(world, ".gemini/oauth_creds.json", document)
    done = world.login("login", "gemini-cli", "-import", "-project_id", "first-project")
    assert done.code == 0, done.output
    assert "now share one login" not in done.output
    assert world.files() == ["gemini-me@example.org-first-project.json"]
    speaks(world, "gemini-2.5-pro")
    assert world.refusals() == []
