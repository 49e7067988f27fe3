"""The logins on a terminal: what is asked, what is typed, what is shown."""

import json
import os
import pty
import select
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from support.emulator import start_emulator
from support.server import ROOT

LIMIT_S = 30.0
Reply = str | Callable[[str], str]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


def session(directory: Path, arguments: Sequence[str], talk: Sequence[tuple[str, Reply]]) -> tuple[str, int]:
    """Run a command on a terminal; type each reply when its prompt shows. Returns what was on the screen and
    the exit code."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }
    (directory / "config.yaml").write_text(f"port: 0\nauth-dir: {directory / 'auth'}\n", encoding="utf-8")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(directory)
        os.execve(sys.executable, [sys.executable, "-m", "cliproxy", *arguments], environment)
    screen, position, end = "", 0, time.monotonic() + LIMIT_S
    waiting = list(talk)
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 0.5)[0]:
                continue
            # A terminal whose program has ended is an error on Linux.
            data = b""
            with suppress(OSError):
                data = os.read(terminal, 65536)
            if not data:
                break
            screen += data.decode()
            while waiting and (found := screen.find(waiting[0][0], position)) >= 0:
                prompt, reply = waiting.pop(0)
                position = found + len(prompt)
                typed = reply if isinstance(reply, str) else reply(screen)
                os.write(terminal, f"{typed}\n".encode())
        else:
            os.kill(process, signal.SIGKILL)
            raise AssertionError(f"no end in sight; on the screen:\n{screen}")
    finally:
        _, status = os.waitpid(process, 0)
        os.close(terminal)
    assert not waiting, f"never asked for {waiting[0][0]!r}; on the screen:\n{screen}"
    return screen, os.waitstatus_to_exitcode(status)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def where_the_browser_ends(screen: str) -> str:
    """Open the address on the screen as a browser elsewhere would, and return where it is sent to."""
    url = next(word for word in screen.split() if "/oauth/authorize?" in word)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(_Stay, urllib.request.ProxyHandler({})).open(url, timeout=10)
    with caught.value as answer:
        return answer.headers["Location"]


def saved(directory: Path) -> dict:
    (file,) = (directory / "auth").glob("*.json")
    return json.loads(file.read_text(encoding="utf-8"))


async def test_a_token_typed_at_the_prompt_is_not_shown(tmp_path: Path) -> None:
    async with start_emulator("gitlab") as emulator:
        talk = [("GitLab address [https://gitlab.com]: ", emulator.base_url), ("access token", "glpat-good")]
        screen, code = await trio.to_thread.run_sync(session, tmp_path, ["--gitlab-token-login"], talk)
    assert code == 0, screen
    assert f"{emulator.base_url}/-/user_settings/personal_access_tokens?scopes=api" in screen
    assert "Open to this account: the agent platform and the Code Suggestions gateway." in screen
    assert "glpat-good" not in screen
    assert saved(tmp_path)["personal_access_token"] == "glpat-good"


async def test_without_a_browser_the_address_can_be_pasted_at_once(tmp_path: Path) -> None:
    """A text that is none is explained and asked for again."""
    async with start_emulator("gitlab") as emulator:
        talk: list[tuple[str, Reply]] = [
            ("http://localhost:17999/auth/callback", "emulated-public"),
            ("Client secret", ""),
            ("Paste the address", "not an address"),
            ("Paste the address", where_the_browser_ends),
        ]
        applications = (await emulator.state())["applications"]
        applications["emulated-public"]["redirect_uris"].append("http://localhost:17999/auth/callback")
        await emulator.configure(applications=applications)
        flags = ["--gitlab-login", "--no-browser", "--oauth-callback-port", "17999"]
        flags += ["--gitlab-url", emulator.base_url]
        screen, code = await trio.to_thread.run_sync(session, tmp_path, flags, talk)
    assert code == 0, screen
    assert "ssh -L 17999:127.0.0.1:17999" in screen
    assert "there is neither a code nor an address" in screen
    assert saved(tmp_path)["refresh_token"]
