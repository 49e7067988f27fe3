"""Where the log goes: standard error, the memory, and a file where the owner wants one.

One handler does it all, so that a line is rendered once, in the task that has something to say and knows its
request. Standard error is written at once; a file, which may be slow or full, is somebody else's thread
(:mod:`cliproxy.observe.writer`), and nobody waits for it.

The process has one log, as the standard library has it, so what is set up here is found by asking the
library: :func:`installed`.
"""

import logging
import sys
from collections.abc import Callable
from typing import Final, TextIO

from cliproxy.observe.lines import FORMATTERS
from cliproxy.observe.tail import Tail

QUIET: Final = ("httpx2", "httpcore2", "hypercorn.access")
"""Loggers of libraries that say too much."""


UNUSED: Final = ("logThreads", "logProcesses", "logMultiprocessing")
"""What the library finds out for each record unless told that no line shows it."""


class Output(logging.Handler):
    """Renders a record and hands the line to everybody who keeps one."""

    file: Callable[[str], None] | None = None
    """Takes lines with their ends; never waits."""

    def __init__(self, stream: TextIO, form: str) -> None:
        super().__init__()
        self.stream = stream
        self.tail = Tail()
        self.use_form(form)

    def use_form(self, form: str) -> None:
        """Render lines as ``text`` or as ``json`` from now on."""
        self.setFormatter(FORMATTERS[form]())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            line = self.format(record)
            self.tail.add(line)
            line += "\n"
            if self.file is not None:
                self.file(line)
            self.stream.write(line)
            self.stream.flush()
        except Exception:
            # Says so where it can, and never fails whoever had something to say.
            self.handleError(record)


def configure(
    *, debug: bool, stream: TextIO | None = None, level: int = logging.INFO, form: str = "text"
) -> Output:
    """Send the program's log to a stream, standard error by default; ``debug`` overrides the level."""
    output = Output(stream or sys.stderr, form)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(output)
    root.setLevel(level)
    set_debug(debug=debug, level=level)
    for fact in UNUSED:
        setattr(logging, fact, False)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return output


def set_debug(*, debug: bool, level: int = logging.INFO) -> None:
    """Say everything, or what the level lets through."""
    logging.getLogger("cliproxy").setLevel(logging.DEBUG if debug else level)


def installed() -> Output | None:
    """Return the output of this process, if it has been set up."""
    outputs = (handler for handler in logging.getLogger().handlers if isinstance(handler, Output))
    return next(outputs, None)
