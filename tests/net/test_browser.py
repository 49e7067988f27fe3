import sys

import pytest

from cliproxy.net.browser import _launch, command_for, open_browser

URL = "https://example.org/oauth?a=1&b=2"


def which(*installed: str):
    return lambda name: f"/usr/bin/{name}" if name in installed else None


@pytest.mark.parametrize(
    ("platform", "environ", "installed", "expected"),
    [
        ("linux", {"DISPLAY": ":0"}, ("xdg-open", "firefox"), ["/usr/bin/xdg-open", URL]),
        ("linux", {"WAYLAND_DISPLAY": "w"}, ("firefox",), ["/usr/bin/firefox", URL]),
        ("linux", {}, ("xdg-open",), None),
        ("linux", {"DISPLAY": ":0"}, (), None),
        ("darwin", {}, ("open",), ["/usr/bin/open", URL]),
        ("win32", {}, ("rundll32",), ["/usr/bin/rundll32", "url.dll,FileProtocolHandler", URL]),
    ],
)
def test_which_program_opens_an_address(platform, environ, installed, expected) -> None:
    assert command_for(URL, platform, environ, which(*installed)) == expected


@pytest.mark.parametrize(
    ("platform", "installed", "expected"),
    [
        ("linux", ("xdg-open", "firefox"), ["/usr/bin/firefox", "--private-window", URL]),
        ("linux", ("xdg-open", "chromium"), ["/usr/bin/chromium", "--incognito", URL]),
        ("linux", ("xdg-open",), ["/usr/bin/xdg-open", URL]),
        ("darwin", ("open",), ["/usr/bin/open", URL]),
    ],
)
def test_a_private_window_where_there_is_a_browser_that_can(platform, installed, expected) -> None:
    assert command_for(URL, platform, {"DISPLAY": ":0"}, which(*installed), is_private=True) == expected


@pytest.mark.parametrize("url", ["file:///etc/passwd", "-version", "javascript:alert(1)"])
def test_only_web_addresses_are_opened(url: str) -> None:
    assert command_for(url, "darwin", {}, which("open")) is None


async def test_without_a_browser_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert await open_browser(URL) is False


@pytest.mark.parametrize(
    ("command", "worked"),
    [
        ([sys.executable, "-c", "pass"], True),
        ([sys.executable, "-c", "exit(3)"], False),
        (["/no/such/program"], False),
    ],
)
def test_an_opener_that_fails_is_noticed(command: list[str], worked: bool) -> None:
    assert _launch(command) is worked


def test_an_opener_that_stays_counts_as_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some openers are the browser itself; its end is awaited by a thread of its own."""
    monkeypatch.setattr("cliproxy.net.browser.SETTLE_S", 0.05)
    assert _launch(
        [sys.executable, "-c", "import sys; sys.stdin.read(); import select; select.select([], [], [], 0.5)"]
    )
