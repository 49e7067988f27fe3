"""Questions on a terminal, asked in a thread so that nothing else waits for the answer."""

import getpass
import sys
from collections.abc import Callable
from typing import TextIO

import trio

from cliproxy.cli.output import say
from cliproxy.login.steps import Ask, Show
from cliproxy.observe.logs import one_line


def has_terminal() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a line there can be written over."""
    return stream is not None and stream.isatty()


async def ask(step: Ask) -> str:
    """Ask one question; secrets are not shown while they are typed."""
    default = f" [{step.default}]" if step.default else ""
    question = f"{step.prompt}{default}: "
    read = getpass.getpass if step.secret else input
    # The read cannot be interrupted; the thread ends with the process.
    return await trio.to_thread.run_sync(_read, read, question, abandon_on_cancel=True)


def _read(read: Callable[[str], str], question: str) -> str:
    try:
        return read(question)
    except EOFError:
        return ""


async def paste() -> str:
    """Take a pasted callback address."""
    question = "Paste the address the browser ended at (or press Enter to keep waiting): "
    try:
        return await trio.to_thread.run_sync(_read, input, question, abandon_on_cancel=True)
    except trio.Cancelled:
        # The browser was faster. What is said next begins a line of its own.
        say("")
        raise


def say_where(step: Show, drawn: str = "") -> None:
    """Print where to go, with the address as a picture if it is given. The address is shown as it is, even if
    a part of it looks like a key."""
    if step.text:
        say(step.text)
    print(f"Visit the following URL to continue:\n{one_line(step.url)}", flush=True)
    if drawn:
        print(drawn, end="", flush=True)
    if step.code:
        say(f"and enter the code: {step.code}")
