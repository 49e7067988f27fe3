"""Everything that an account does goes through its proxy: login, calls, renewals, the list of models.

The vendors exist only behind the emulated proxy server, so that whatever reaches one went through it.
"""

import json
import socket
from contextlib import closing

import httpx2 as httpx
import pytest
import trio

from support.accounts import Accounts
from support.emulator import Seen

CODEX = "codex-ab712194-me@example.org-plus.json"
COPILOT = "github-copilot-octocat.json"
MODEL = "gpt-5.4"


def log_in(world: Accounts, flag: str = "-codex-login", *, in_browser: bool = True) -> None:
    done = world.login(flag, in_browser=in_browser)
    assert done.code == 0, done.output


def ask(url: str) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30, trust_env=False)


def seen(world: Accounts) -> list[Seen]:
    return trio.run(world.emulator.log)


def finished(world: Accounts, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command to its end."""
    process = world.start(*arguments, **environment)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def dead() -> str:
    """The address of a proxy that is not there."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def give(world: Accounts, name: str, proxy: str) -> None:
    """Give an account a proxy of its own, as its owner would."""
    path = world.auth_dir / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "proxy_url": proxy}))


def serves_and_renews(world: Accounts, config: str = "") -> None:
    """Answer, renew a token that is refused, answer."""
    world.configure(codex={"oauth": {"expire": True}})
    before = len(seen(world))
    with world.server(config) as server:
        for _ in range(2):
            answer = ask(server.url)
            assert answer.status_code == 200, answer.text
    assert [entry.status for entry in seen(world)[before:]] == [401, 200, 200, 200]


@pytest.mark.parametrize("way", ["https", "socks5"])
def test_a_global_proxy_of_any_kind_serves_logins_calls_and_renewals(world: Accounts, way: str) -> None:
    world.configured = world.proxy_by(way)
    log_in(world)
    serves_and_renews(world)


@pytest.mark.parametrize("way", ["http", "socks5"])
def test_a_proxy_of_the_environment_does_too_where_nothing_is_configured(world: Accounts, way: str) -> None:
    world.environment["ALL_PROXY"] = world.proxy_by(way)
    world.configured = ""
    log_in(world)
    serves_and_renews(world)


def test_a_configured_proxy_goes_before_that_of_the_environment(world: Accounts) -> None:
    world.environment["HTTPS_PROXY"] = dead()
    log_in(world)
    serves_and_renews(world)


def test_the_accounts_own_proxy_goes_before_the_global_one(world: Accounts) -> None:
    log_in(world)
    give(world, CODEX, world.proxy_by("socks5"))
    world.configured = dead()
    serves_and_renews(world)


def test_the_accounts_own_proxy_serves_the_list_of_models(world: Accounts) -> None:
    log_in(world, "-github-copilot-login", in_browser=False)
    give(world, COPILOT, world.proxy)
    world.configured = dead()
    before = len(seen(world))
    code, output = finished(world, "models")
    assert code == 0, output
    assert "github-copilot" in output
    assert any("/models" in entry.path and entry.status == 200 for entry in seen(world)[before:])


@pytest.mark.parametrize("own", [True, False], ids=["own", "global"])
def test_a_dead_proxy_is_an_error_that_says_so_and_nothing_goes_around_it(world: Accounts, own: bool) -> None:
    """Neither straight to the vendor nor over a proxy that is meant for others."""
    log_in(world)
    before = len(seen(world))
    if own:
        give(world, CODEX, dead())
    else:
        world.configured = dead()
        world.environment["HTTPS_PROXY"] = world.proxy
    with world.server("request-retry: 0\n") as server:
        answer = ask(server.url)
    assert answer.status_code >= 500
    assert "the connection failed" in answer.json()["error"]["message"]
    assert len(seen(world)) == before


def test_a_login_over_a_dead_proxy_says_so(world: Accounts) -> None:
    world.configured = dead()
    code, output = finished(world, "-qwen-login", "-no-browser")
    assert code != 0
    assert "login failed: " in output
    assert "Check the address, the proxy setting" in output
    assert seen(world) == []


def test_an_authority_that_is_not_trusted_is_named_as_the_reason(world: Accounts) -> None:
    code, output = finished(world, "-qwen-login", "-no-browser", SSL_CERT_FILE="")
    assert code != 0
    assert "certificate verify failed" in output.lower()
    assert seen(world) == []
