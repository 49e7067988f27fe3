"""Run the program on a terminal, and type what a person would."""

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support.server import ROOT

LIMIT_S = 30.0
Reply = str | Callable[[str], str]
"""What to type; a function makes it out of what is on the screen."""


def session(
    directory: Path,
    arguments: Sequence[str],
    talk: Sequence[tuple[str, Reply]],
    variables: Mapping[str, str] | None = None,
) -> tuple[str, int]:
    """Run a command on a terminal; type each reply when its prompt shows. Returns what was on the screen and
    the exit code. ``variables``: the whole environment, and the configuration is in place already."""
    environment = dict(variables or {})
    if variables is None:
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
