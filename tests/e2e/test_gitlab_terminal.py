"""The logins on a terminal: what is asked, what is typed, what is shown."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import trio

from support.emulator import start_emulator
from support.terminal import Reply, session

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")


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
