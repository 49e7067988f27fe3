"""What the commands print.

Much of it was written by others: upstreams explain their refusals, files contain what they contain. It goes
through here, so that no control character reaches the terminal and nothing that looks like a key is shown.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

from cliproxy.observe.logs import one_line, redacted


def say(text: str) -> None:
    """Print lines for the owner, at once."""
    _print(text, sys.stdout)


def write_now(text: str) -> None:
    """Write to the terminal without ending the line. The text is our own."""
    with suppress(BrokenPipeError):
        print(text, end="", flush=True)


def complain(text: str) -> None:
    """Print what went wrong, on standard error and under the program's name."""
    _print(f"cliproxy: {text}", sys.stderr)


def complain_about(group: BaseExceptionGroup[Exception]) -> None:
    """Print the reasons in a group of errors, each once."""
    for text in dict.fromkeys(str(error) for error in leaves(group)):
        complain(text)


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """Iterate over the errors in a group and in the groups inside it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _print(text: str, stream: TextIO) -> None:
    lines = [one_line(redacted(line)) for line in text.split("\n")]
    try:
        print("\n".join(lines), file=stream, flush=True)
    except BrokenPipeError:
        # Whoever read this has had enough. The work goes on (a login still has to be saved), unheard.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
