"""Open the owner's browser, if there is one.

The standard library's opener falls back to text browsers, which would take over the terminal the login runs
in; here only openers that leave it alone are used. Starting a program blocks, so it is done in a thread.
"""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Final

import trio

OPENERS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "darwin": (("open",),),
    "win32": (("rundll32", "url.dll,FileProtocolHandler"),),
    "": (
        ("xdg-open",),
        ("x-www-browser",),
        ("www-browser",),
        ("firefox",),
        ("chromium",),
        ("google-chrome",),
    ),
}
"""Programs that open a URL, by ``sys.platform``; the empty key stands for every other system."""
PRIVATE: Final = (
    ("firefox", "--private-window"),
    ("google-chrome", "--incognito"),
    ("chromium", "--incognito"),
    ("chromium-browser", "--incognito"),
    ("brave-browser", "--incognito"),
    ("microsoft-edge", "--inprivate"),
)
"""Browsers that open a private window when told to. Openers cannot be told, and where a browser is no program
of this kind there is none to be found: then it is an ordinary window."""
SETTLE_S: Final = 3.0
"""An opener that has not failed by then is taken to have worked."""


def command_for(
    url: str,
    platform: str,
    environ: Mapping[str, str],
    which: Callable[[str], str | None],
    *,
    is_private: bool = False,
) -> list[str] | None:
    """Return the command that opens a URL; ``None`` where there is no browser to open it in."""
    if not url.startswith(("https://", "http://")):
        return None
    known = platform in OPENERS
    if not known and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return None
    openers = OPENERS[platform if known else ""]
    for program, *arguments in (*PRIVATE, *openers) if is_private else openers:
        found = which(program)
        if found:
            return [found, *arguments, url]
    return None


async def open_browser(url: str, *, is_private: bool = False) -> bool:
    """Open a URL in the owner's browser, in a private window if wanted and possible; return whether that
    seems to have worked. May be cancelled at any time."""
    command = command_for(url, sys.platform, os.environ, shutil.which, is_private=is_private)
    if command is None:
        await trio.lowlevel.checkpoint()
        return False
    return await trio.to_thread.run_sync(_launch, command, abandon_on_cancel=True)


def _launch(command: list[str]) -> bool:
    try:
        process = subprocess.Popen(  # noqa: S603 - a program of the table above, the URL its only argument, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(timeout=SETTLE_S) == 0
    except subprocess.TimeoutExpired:
        # Some openers are the browser itself and stay; somebody has to collect them when they end.
        threading.Thread(target=process.wait, name="browser", daemon=True).start()
        return True
